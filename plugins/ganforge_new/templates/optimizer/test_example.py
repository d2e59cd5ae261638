"""Tests of the optimizer `example`."""

from pathlib import Path

import pytest
import torch
from ganforge.testing import assert_sound, components_of

from .example import example


def test_sound() -> None:
    for component in components_of(Path(__file__).with_name("example.py")):
        assert_sound(component)


def test_the_first_step_has_the_length_of_the_learning_rate() -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = example([parameter], lr=0.25)
    parameter.grad = torch.tensor([2.0])
    optimizer.step()
    assert float(parameter.detach()) == pytest.approx(0.75)
