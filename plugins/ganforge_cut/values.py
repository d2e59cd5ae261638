"""FastCUT's flip equivariance: with probability 1/2 the generator sees mirrored pictures."""

from typing import Any

import torch
from torch import Tensor, nn


def mirrored() -> None:
    """Whether the generator sees mirrored pictures: never; another value under this name changes that."""


class MirroredAtRandom(nn.Module):
    """Whether the generator sees mirrored pictures: with probability 1/2 in training, never outside of it."""

    def forward(self, source: Tensor) -> Tensor | None:
        """Draw true or false, [], for all pictures of a step; None outside of training."""
        return torch.rand((), device=source.device) < 0.5 if self.training else None


def translation_of_mirrored(generator: Any, source: Tensor, mirrored: Tensor | None) -> Tensor:
    """G(x), or G of mirrored x: [N, *target shape]."""
    shown = source if mirrored is None else torch.where(mirrored, source.flip(3), source)
    return generator(shown)  # type: ignore[no-any-return]
