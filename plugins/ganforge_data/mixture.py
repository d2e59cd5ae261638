"""The toy experiment: two mixtures of Gaussians in the plane (Kim et al. 2017, section 3.1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from attrs import field, frozen, validators

from ganforge import Dataset, Drawn, Samples, Shape, Split, Stored, random_generator

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PROBES = 5000
TEST_SEED, VALIDATION_SEED = 2017, 2018


@frozen
class Arc:
    """Modes at equal steps along an arc of a circle; 360 degrees put them on a regular polygon.

    Attributes:
        modes: number of modes.
        radius: radius of the circle.
        centre: centre of the circle.
        start: angle of the first mode, in degrees, counter-clockwise from the right.
        stop: angle of the last mode; a full turn after `start`, it is not repeated.
    """

    modes: int = field(validator=validators.ge(1))
    radius: float = field(validator=validators.gt(0))
    centre: tuple[float, float] = (0.0, 0.0)
    start: float = 90.0
    stop: float = 450.0

    def points(self) -> Tensor:
        """Return the modes' centres, [modes, 2]."""
        import torch

        closed = math.isclose(abs(self.stop - self.start), 360)
        angles = torch.linspace(self.start, self.stop, self.modes + 1 if closed else self.modes)[: self.modes].deg2rad()
        return torch.tensor(self.centre) + self.radius * torch.stack([angles.cos(), angles.sin()], dim=1)


@frozen
class Mixture(Dataset):
    """Two mixtures of Gaussians in the plane, drawn anew at every step.

    The defaults are 5 modes on a pentagon and 10 along an arc, all with positive coordinates, so that a generator that
    ends in a ReLU can reach them.

    Attributes:
        a: positions of the modes of domain A.
        b: positions of the modes of domain B.
        sigma: standard deviation of every mode, in both coordinates.
    """

    a: Arc = Arc(modes=5, radius=1.0, centre=(1.5, 1.5))
    b: Arc = Arc(modes=10, radius=4.0, centre=(0.25, 0.25), start=5.0, stop=85.0)
    sigma: float = field(default=0.1, validator=validators.gt(0))

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Points in the plane."""
        return {"A": (2,), "B": (2,)}

    @property
    def modes(self) -> Mapping[str, Tensor]:
        """The modes' centres in each domain, [modes, 2]."""
        return {domain: arc.points() for domain, arc in self._arcs.items()}

    @property
    def _arcs(self) -> Mapping[str, Arc]:
        return {"A": self.a, "B": self.b}

    def open(self, split: Split) -> Mapping[str, Samples]:
        """Train: new samples at every step. Test: 5,000 fixed samples, equally many per mode, with the label `mode`."""
        if split == "train":
            return {domain: Drawn(partial(self._draw, cache(arc.points))) for domain, arc in self._arcs.items()}
        return {domain: self._probes(domain, TEST_SEED) for domain in self._arcs}

    def held(self, kin: Collection[Any]) -> Mapping[str, Samples]:
        """Return other fixed samples, as many as in the test split."""
        return {domain: self._probes(domain, VALIDATION_SEED) for domain in self._arcs}

    def _draw(self, points: Callable[[], Tensor], count: int, generator: torch.Generator) -> Tensor:
        import torch

        centres = points()
        chosen = torch.randint(len(centres), (count,), generator=generator)
        return centres[chosen] + self.sigma * torch.randn(count, 2, generator=generator)

    def _probes(self, domain: str, seed: int) -> Stored:
        arc = self._arcs[domain]
        # Interleaved, so that the first few show every mode.
        chosen = [*range(arc.modes)] * (PROBES // arc.modes)

        @cache
        def points() -> Tensor:
            import torch

            noise = torch.randn(len(chosen), 2, generator=random_generator(seed, domain))
            return arc.points()[chosen] + self.sigma * noise

        return Stored(len(chosen), lambda indices: points()[list(indices)], {"mode": chosen})
