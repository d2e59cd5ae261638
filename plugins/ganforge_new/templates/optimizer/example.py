"""The optimizer `example`."""

from collections.abc import Sequence
from typing import Annotated

from attrs.validators import ge
from ganforge import Register, hookimpl
from torch.nn import Parameter
from torch.optim import Adamax, Optimizer


def example(parameters: Sequence[Parameter], *, lr: Annotated[float, ge(0)] = 2e-3) -> Optimizer:
    """Adamax (Kingma & Ba 2015, section 7.1) with beta1 = 0.5."""
    return Adamax(parameters, lr=lr, betas=(0.5, 0.999))


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the optimizer."""
    register.optimizer("example", example)
