"""Tests of the evaluation `example`."""

from pathlib import Path

import pytest
import torch
from ganforge.testing import assert_sound, components_of

from .example import distance


def test_sound() -> None:
    for component in components_of(Path(__file__).with_name("example.py")):
        assert_sound(component)


def test_means_are_compared() -> None:
    real = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    assert distance(real.flip(0), real) == 0
    assert distance(real + torch.tensor([0.5, -1.5]), real) == pytest.approx(1.0)
