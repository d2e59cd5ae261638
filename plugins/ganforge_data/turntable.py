"""Rendered cars, chairs and heads at known angles, which need no files; for Figures 5, 6 and 8 (Kim et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen, validators
from PIL import Image

from ganforge import InputError, Prepared, Split
from ganforge_data.decode import MODES
from ganforge_data.opened import Opened
from ganforge_data.pictures import Pictures, pair

if TYPE_CHECKING:
    from torch import Tensor

Shape = Literal["car", "chair", "head"]
View = tuple[str, int, float, float]  # shape, model, azimuth, elevation


@frozen(kw_only=True)
class Turntable(Pictures):
    """Shaded cars, chairs and heads at any azimuth; no model is in two domains, or in both train and test.

    At azimuth 0 is the front view, at 180 degrees the rear view; at +90 the front points to the left of the picture.

    Attributes:
        a: the kind of object in domain A.
        b: the same for B.
        models: number of training models of each domain.
        test_models: number of test models of each domain.
        angles: the smallest and the largest azimuth, in degrees.
        step: degrees from one azimuth to the next.
        elevations: elevations of the camera above the horizon, in degrees; every model is seen from each.
        paired: whether sample i of A and of B have the same azimuth and elevation, and belong together.
        seed: determines the models.
    """

    a: Shape = "car"
    b: Shape = "car"
    models: int = field(default=60, validator=validators.ge(1))
    test_models: int = field(default=12, validator=validators.ge(1))
    angles: tuple[float, float] = (-75.0, 75.0)
    step: float = field(default=15.0, validator=[validators.gt(0), validators.le(360)])
    elevations: list[float] = field(factory=lambda: [10.0])
    paired: bool = False
    seed: int = field(default=0, validator=validators.ge(0))

    def __attrs_post_init__(self) -> None:
        if self.angles[0] > self.angles[1]:
            raise InputError("expected [smallest, largest]", key="angles")
        if self.channels not in (1, 3):
            raise InputError("expected 1 or 3", key="channels")
        if not self.elevations:
            raise InputError("expected at least one angle", key="elevations")

    @property
    def groups(self) -> Sequence[Sequence[str]]:
        """A and B in one group, if they are paired: both list their views in the same order."""
        return [["A", "B"]] if self.paired else [["A"], ["B"]]

    def samples(self, split: Split) -> Mapping[str, Prepared]:
        """Return the pictures of every model of the split at every angle."""
        count = self.models if split == "train" else self.test_models
        skip = 0 if split == "train" else self.models
        # Domains with the same kind of object take turns, so that they show different models.
        stride = 2 if self.a == self.b else 1
        numbers = range(skip * stride, (skip + count) * stride, stride)
        return {
            "A": self._views("A", self.a, numbers),
            "B": self._views("B", self.b, [number + stride - 1 for number in numbers]),
        }

    def kin(self, labels: Mapping[str, Sequence[Any]]) -> Sequence[Any]:
        """Return the models, each of which is seen at many angles."""
        return labels["model"]

    def _views(self, domain: str, shape: str, models: Sequence[int]) -> Prepared:
        steps = int((self.angles[1] - self.angles[0]) / self.step + 1e-6)
        azimuths = [self.angles[0] + self.step * number for number in range(steps + 1)]
        views = [
            (shape, model, azimuth, elevation)
            for model in models
            for elevation in self.elevations
            for azimuth in azimuths
        ]
        columns = zip(*views, strict=True)
        labels = dict(zip(("shape", "model", "azimuth", "elevation"), map(list, columns), strict=True))
        return self.prepared(domain, partial(self._render, domain), views, labels, self.seed)

    def _render(self, domain: str, view: View) -> Tensor:
        import torch

        from ganforge_data.render import render
        from ganforge_data.shapes import SHAPES

        shape, model, azimuth, elevation = view
        parts = SHAPES[shape](Random(f"{self.seed} {shape} {model}"))
        values = render(parts, pair(self.size), azimuth, elevation).mul(255).round().to(torch.uint8)  # [3, H, W]
        picture = Image.fromarray(values.permute(1, 2, 0).contiguous().numpy())
        return self.fitted(domain, Opened([picture.convert(MODES[self.channels])]))
