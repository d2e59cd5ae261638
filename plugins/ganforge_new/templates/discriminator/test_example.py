"""Tests of the discriminator `example`."""

from pathlib import Path

import pytest
import torch
from ganforge.testing import assert_sound, components_of

from .example import Example


def test_sound() -> None:
    for component in components_of(Path(__file__).with_name("example.py")):
        assert_sound(component)


def test_each_patch_has_a_score() -> None:
    score, features = Example((3, 8, 12), width=2)(torch.rand(2, 3, 8, 12))
    assert score.shape == (2, 1, 2, 3)
    assert [list(one.shape) for one in features] == [[2, 2, 4, 6], [2, 4, 2, 3]]


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"8x8 or more, got \[2\]"):
        Example((2,))
