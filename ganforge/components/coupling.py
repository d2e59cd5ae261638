"""Couplings: which networks exist, who updates them, and which directions are trained."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

PLAYERS = ("discriminator", "generator")


@frozen
class Network:
    """A network that a coupling needs.

    Attributes:
        name: the name in the paper, such as `G_AB`; weights are saved under it.
        role: the recipe's table that configures it. The roles `generator` and `discriminator` take a component of that
            kind; every other role, such as `heads` or `encoder`, takes one of the kind `network`.
        domains: for a generator (source, target), or one domain for both; for a discriminator the domain that it
            scores, or several that are stacked along the channels.
        player: the player that updates it; by default the one named like the role. A network of another role without a
            player is frozen: neither optimized nor saved.
        facts: further arguments that its component may ask for, besides the shapes of its domains; a `Network` among
            them is passed as its module.
    """

    name: str
    role: str
    domains: tuple[str, ...]
    player: str | None = field()
    facts: Mapping[str, Any] = field(factory=dict)

    @player.default
    def _player_of_role(self) -> str | None:
        return self.role if self.role in PLAYERS else None

    @property
    def kind(self) -> str:
        """The kind of component that makes it."""
        return self.role if self.role in ("generator", "discriminator") else "network"

    @property
    def label(self) -> str:
        """A key below the role's table that configures this network alone, such as `AB` in `[generator.AB]`.

        >>> [Network("G", "generator", domains).label for domains in (("A", "B"), ("day", "night"), ("A",))]
        ['AB', 'day2night', 'A']
        """
        return ("" if all(len(domain) == 1 for domain in self.domains) else "2").join(self.domains)


@frozen
class View:
    """The wiring of one direction: what stands behind the names that values and losses ask for.

    Attributes:
        name: the direction, such as `AB`.
        domains: source and target.
        fields: names of batch fields: `source="A"`, `real="B"`, `noise="Z"`, `label="B.label"`.
        networks: names of networks: `generator="G_AB"`, `discriminator="D_B"`, `inverse="G_BA"`.
        constants: names of constants.
    """

    name: str
    domains: tuple[str, ...]
    fields: Mapping[str, str]
    networks: Mapping[str, str]
    constants: Mapping[str, Any] = field(factory=dict)


class Coupling(ABC):
    """Base class of couplings: derive an attrs class, whose fields are settings, with `networks` and `views`."""

    players: Sequence[str] = PLAYERS
    """The players of a step, in this order; each has its own optimizer."""

    noise: Mapping[str, tuple[int, ...]] = {}
    """Fields of the batch that are drawn from N(0, 1) in every step, with the shape of a sample."""

    pairs: Sequence[Sequence[str]] = ()
    """Fields of the batch whose samples must be paired, such as `(("A", "B"),)`."""

    @property
    @abstractmethod
    def networks(self) -> Sequence[Network]:
        """The networks, in the order in which they are built."""

    @property
    @abstractmethod
    def views(self) -> Sequence[View]:
        """The directions that are trained with each batch."""
