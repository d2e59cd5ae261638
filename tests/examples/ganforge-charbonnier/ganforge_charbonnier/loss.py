"""The Charbonnier distance (Charbonnier et al. 1994)."""

from typing import Annotated

from attrs.validators import gt
from torch import Tensor


def charbonnier(reconstructed: Tensor, source: Tensor, *, eps: Annotated[float, gt(0)] = 1e-3) -> Tensor:
    """Mean of sqrt((reconstructed - source)^2 + eps^2)."""
    return ((reconstructed - source).square() + eps**2).sqrt().mean()
