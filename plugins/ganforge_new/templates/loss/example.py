"""The loss `example`."""

from typing import Annotated

from attrs.validators import gt
from ganforge import Register, hookimpl
from torch import Tensor


def example(reconstructed: Tensor, source: Tensor, *, eps: Annotated[float, gt(0)] = 1e-3) -> Tensor:
    """Mean of sqrt((reconstructed - source)^2 + eps^2): a smooth L1 (Charbonnier et al. 1994)."""
    return ((reconstructed - source).square() + eps**2).sqrt().mean()


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the loss."""
    register.loss("example", example)
