"""The value `example`."""

from typing import Annotated

import torch
from attrs.validators import ge
from ganforge import Register, hookimpl
from torch import Tensor


def example(fake: Tensor, *, deviation: Annotated[float, ge(0)] = 0.05) -> Tensor:
    """Instance noise (Sønderby et al. 2017, arXiv 1610.04490): fake + N(0, deviation^2), in the same shape."""
    return fake + deviation * torch.randn_like(fake)


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the value."""
    register.value("example", example)
