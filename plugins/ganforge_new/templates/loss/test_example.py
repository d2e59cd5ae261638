"""Tests of the loss `example`."""

from pathlib import Path

import pytest
import torch
from ganforge.testing import assert_sound, components_of

from .example import example


def test_sound() -> None:
    for component in components_of(Path(__file__).with_name("example.py")):
        assert_sound(component)


def test_it_is_the_mean_over_all_samples() -> None:
    reconstructed, source = torch.tensor([[3.0], [0.0]]), torch.zeros(2, 1)
    assert float(example(reconstructed, source, eps=4.0)) == pytest.approx(4.5)  # (sqrt(9 + 16) + sqrt(16)) / 2
