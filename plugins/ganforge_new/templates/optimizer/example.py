"""The optimizer `example`."""

from collections.abc import Sequence
from typing import Annotated

import torch
from attrs.validators import ge
from ganforge import Register, hookimpl


def example(parameters: Sequence[torch.nn.Parameter], *, lr: Annotated[float, ge(0)] = 2e-3) -> torch.optim.Optimizer:
    """Adamax (Kingma & Ba 2015, section 7.1), with b1 = 0.5."""
    return torch.optim.Adamax(parameters, lr=lr, betas=(0.5, 0.999))


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the optimizer."""
    register.optimizer("example", example)
