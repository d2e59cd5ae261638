"""The network `example`: heads for CUT."""

import copy
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from attrs.validators import ge
from ganforge import Register, Shape, hookimpl
from torch import Tensor, nn


class Example(nn.Module):
    """A linear layer for each chosen layer of the generator, from patches to vectors of length 1.

    Args:
        generator: the generator, given by the coupling; its `features(pictures, layers)` are compared.
        shape: (channels, height, width) of a source picture.
        layers: indices of the generator's layers.
        width: length of a vector.
    """

    def __init__(
        self,
        generator: Any,
        shape: Shape,
        *,
        layers: list[int] = [0, 4, 8],  # noqa: B006  # a setting's default, never changed
        width: Annotated[int, ge(1)] = 16,
    ) -> None:
        super().__init__()
        self.layers = layers
        with torch.no_grad():  # on the meta device, which only computes shapes
            features = copy.deepcopy(generator).to("meta").features(torch.zeros(2, *shape, device="meta"), layers)
        self.linear = nn.ModuleList(nn.Linear(one.shape[1], width) for one in features)

    def forward(self, activations: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Return vectors of some patches, [N, S, width] for each layer.

        Args:
            activations: activations of the chosen layers, [N, C, H, W] each.
            places: for each layer, positions in H x W, counted row by row, [S].
        """
        pairs = zip(activations, places, strict=True)
        patches = [layer.flatten(2)[:, :, place].transpose(1, 2) for layer, place in pairs]  # [N, S, C]
        vectors = [linear(patch) for linear, patch in zip(self.linear, patches, strict=True)]
        return [nn.functional.normalize(vector, dim=2) for vector in vectors]


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the network."""
    register.network("example", Example)
