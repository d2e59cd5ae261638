"""The update `example`."""

from collections.abc import Sequence

from ganforge import Register, hookimpl
from torch import nn


class Example:
    """Centralises gradients (Yong et al. 2020, arXiv 2004.01461, Eq. 1): the mean over each output's weights is 0."""

    def before(self, parameters: Sequence[nn.Parameter]) -> bool:
        """Change the gradients in place before the optimizer's step; return True to let it step."""
        for parameter in parameters:
            if parameter.grad is not None and parameter.ndim > 1:
                parameter.grad -= parameter.grad.mean(tuple(range(1, parameter.ndim)), keepdim=True)
        return True


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the update."""
    register.update("example", Example)
