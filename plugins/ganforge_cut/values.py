"""FastCUT's equivariance to flips: half of the time the generator is shown pictures as in a mirror."""

from typing import Any

import torch
from torch import Tensor, nn


def mirrored() -> None:
    """Whether the generator is shown mirrored pictures: never; another value of this name changes that."""


class MirroredAtRandom(nn.Module):
    """Whether the generator is shown mirrored pictures: in every second training step, at random; never to look at."""

    def forward(self, source: Tensor) -> Tensor | None:
        """Draw true or false, [], for all pictures of a step."""
        return torch.rand((), device=source.device) < 0.5 if self.training else None


def translation_of_mirrored(generator: Any, source: Tensor, mirrored: Tensor | None) -> Tensor:
    """G(x), or G of mirrored x: [N, *target shape]."""
    shown = source if mirrored is None else torch.where(mirrored, source.flip(3), source)
    return generator(shown)  # type: ignore[no-any-return]
