"""Tests of the network `example`."""

from collections.abc import Sequence
from pathlib import Path

import torch
from ganforge.testing import assert_sound, components_of
from torch import Tensor, nn

from .example import Example


class Features(nn.Module):
    """A stand-in for a generator: in every layer, the picture twice, stacked along the channels."""

    def features(self, pictures: Tensor, layers: Sequence[int]) -> list[Tensor]:
        return [torch.cat([pictures, pictures], 1) for _ in layers]


def test_sound() -> None:
    for component in components_of(Path(__file__).with_name("example.py")):
        assert_sound(component)


def test_each_patch_becomes_a_vector_of_length_1() -> None:
    heads = Example(Features(), (3, 4, 4), layers=[0, 1], width=5)
    activations = Features().features(torch.rand(2, 3, 4, 4), [0, 1])
    vectors = heads(activations, [torch.tensor([0, 7, 15])] * 2)
    assert [list(one.shape) for one in vectors] == [[2, 3, 5], [2, 3, 5]]
    assert torch.allclose(vectors[0].norm(dim=2), torch.ones(2, 3))
