"""Tests of the data set `example`."""

from pathlib import Path

import torch
from ganforge import Stored
from ganforge.testing import assert_sound, components_of

from .example import Example


def test_sound() -> None:
    for component in components_of(Path(__file__).with_name("example.py")):
        assert_sound(component)


def test_samples_lie_on_the_rings_and_stay_the_same() -> None:
    opened = Example(radius=3.0).open("test")
    for domain, radius in (("A", 1.0), ("B", 3.0)):
        samples = opened[domain]
        assert isinstance(samples, Stored)
        points = samples.load([0, 999])
        assert torch.allclose(points.norm(dim=1), torch.tensor([radius, radius]))
        assert torch.equal(points, samples.load([0, 999]))
