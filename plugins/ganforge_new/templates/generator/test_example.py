"""Tests of the generator `example`."""

from pathlib import Path

import pytest
import torch
from ganforge.testing import assert_sound, components_of

from .example import Example


def test_sound() -> None:
    for component in components_of(Path(__file__).with_name("example.py")):
        assert_sound(component)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_translation_has_the_targets_shape_and_pixels(channels: int) -> None:
    translated = Example((3, 8, 12), (channels, 8, 12))(torch.rand(2, 3, 8, 12))
    assert translated.shape == (2, channels, 8, 12)
    assert bool(((translated >= 0) & (translated <= 1)).all())


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of 4, got \[3, 6, 8\]"):
        Example((3, 6, 8), (3, 6, 8))
