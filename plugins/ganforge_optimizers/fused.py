"""Adam with torch's fused kernel, but less Python around it, which takes longer than the kernel for small networks."""

from collections.abc import Callable
from typing import Any

import torch
from attrs import frozen
from torch import Tensor


@frozen
class Lists:
    """The tensors of a parameter group, as the kernel takes them.

    Attributes:
        parameters: the parameters.
        averages: the averages of their gradients.
        squares: the averages of their squared gradients.
        steps: the number of each parameter's updates, elements of `count`.
        count: all these numbers, [len(parameters)].
    """

    parameters: list[Tensor]
    averages: list[Tensor]
    squares: list[Tensor]
    steps: list[Tensor]
    count: Tensor


class Adam(torch.optim.Adam):
    """Torch's fused Adam or AdamW, with bit for bit the same results and the same state.

    The parameters of a group must have one device and one floating-point type.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options, fused=True)
        self._lists: dict[int, Lists] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state, also a loaded one."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._lists = {}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # A gradient scaler for fp16 sets these.
        scale, found_inf = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        for place, group in enumerate(self.param_groups):
            gradients = [parameter.grad for parameter in group["params"]]
            given = [gradient for gradient in gradients if gradient is not None]
            lists = self._lists.pop(place, None)
            if lists is None or len(given) < len(gradients) or not self._holds(lists):
                lists = self._collect(group)
            if not given:
                continue
            lists.count.add_(1)
            kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
            kernel(
                lists.parameters,
                given,
                lists.averages,
                lists.squares,
                [],
                lists.steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
                grad_scale=scale,
                found_inf=found_inf,
            )
            if found_inf is not None:  # the kernel has updated nothing if it is 1
                lists.count.sub_(found_inf)
            if len(given) == len(gradients):
                self._lists[place] = lists
        return loss

    def _holds(self, lists: Lists) -> bool:
        """Return whether the state is still in these lists, and was not cleared."""
        return not lists.parameters or self.state.get(lists.parameters[0], {}).get("exp_avg") is lists.averages[0]

    def _collect(self, group: dict[str, Any]) -> Lists:
        """Return the tensors of the parameters that have a gradient; new parameters get a state."""
        parameters: list[Tensor] = []
        averages: list[Tensor] = []
        squares: list[Tensor] = []
        steps: list[Tensor] = []
        self._init_group(group, parameters, [], averages, squares, [], steps)  # type: ignore[no-untyped-call]
        count = torch.stack(steps) if steps else torch.empty(0)
        for parameter, number in zip(parameters, count, strict=True):
            self.state[parameter]["step"] = number
        return Lists(parameters, averages, squares, list(count), count)
