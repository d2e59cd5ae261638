"""The data set `example`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen, validators
from ganforge import (
    Dataset,
    Drawn,
    Register,
    Samples,
    Shape,
    Split,
    Stored,
    hookimpl,
    random_generator,
)

if TYPE_CHECKING:
    import torch

TESTED = 1000


@frozen
class Ring:
    """Points at a fixed distance from the origin."""

    radius: float

    def draw(self, count: int, generator: "torch.Generator") -> "torch.Tensor":
        """Draw points, [count, 2]."""
        import torch  # imported here, so that `ganforge validate` does not need it

        angles = 2 * torch.pi * torch.rand(count, generator=generator)
        return self.radius * torch.stack([angles.cos(), angles.sin()], dim=1)

    def fixed(self, indices: Sequence[int]) -> "torch.Tensor":
        """Return some of the test points, which are always the same."""
        return self.draw(TESTED, random_generator(0, self.radius))[list(indices)]


@frozen
class Example(Dataset):
    """Points on two rings in the plane; the ring of A has radius 1.

    Attributes:
        radius: radius of the ring of B.
    """

    radius: float = field(default=2.0, validator=validators.gt(0))

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Points in the plane."""
        return {"A": (2,), "B": (2,)}

    def open(self, split: Split) -> Mapping[str, Samples]:
        """Train: new points at every step. Test: 1,000 fixed points."""
        rings = {"A": Ring(1.0), "B": Ring(self.radius)}
        if split == "train":
            return {domain: Drawn(ring.draw) for domain, ring in rings.items()}
        return {domain: Stored(TESTED, ring.fixed) for domain, ring in rings.items()}


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the data set."""
    register.dataset("example", Example)
