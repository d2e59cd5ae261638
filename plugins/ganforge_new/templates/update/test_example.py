"""Tests of the update `example`."""

from pathlib import Path

import torch
from ganforge.testing import assert_sound, components_of

from .example import Example


def test_sound() -> None:
    for component in components_of(Path(__file__).with_name("example.py")):
        assert_sound(component)


def test_gradients_of_weights_are_centralised_and_those_of_biases_are_not() -> None:
    weight, bias = (torch.nn.Parameter(torch.zeros(shape)) for shape in ((2, 2), (2,)))
    weight.grad, bias.grad = torch.tensor([[1.0, 3.0], [5.0, 5.0]]), torch.tensor([1.0, 3.0])
    assert Example().before([weight, bias, torch.nn.Parameter(torch.zeros(1))])
    assert weight.grad.tolist() == [[-1.0, 1.0], [0.0, 0.0]]
    assert bias.grad.tolist() == [1.0, 3.0]
