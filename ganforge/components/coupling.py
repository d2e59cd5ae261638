"""Which networks exist and which directions are played: what feeds what."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen
from torch import Tensor

from ganforge.components.view import View


@frozen
class Network:
    """A network that a coupling needs.

    Attributes:
        name: as in the paper, such as `G_AB`; its weights are saved under it.
        role: `generator` or `discriminator`: the table of the recipe that configures it, and the phase that updates it.
        domains: for a generator (source, target); for a discriminator the domain that it judges, or several ones if it
            sees their pictures together, stacked along the channels.
    """

    name: str
    role: str
    domains: tuple[str, ...]

    @property
    def label(self) -> str:
        """The key below the role's table that configures this network alone, such as `AB` in `[generator.AB]`."""
        return "".join(self.domains)


class Coupling(ABC):
    """Base of all couplings: derive an attrs class, whose fields are settings, and say two things."""

    @property
    @abstractmethod
    def networks(self) -> Sequence[Network]:
        """The networks, in the order in which they are built."""

    @abstractmethod
    def views(self, networks: Mapping[str, Callable[..., Any]], batch: Mapping[str, Tensor]) -> Sequence[View]:
        """Yield the directions that are played with one batch.

        Args:
            networks: every network by name.
            batch: the pictures or points of each domain, [N, *shape] each.
        """
