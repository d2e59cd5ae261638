"""Torch's optimizers, fused if the parameters' device supports it."""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from attrs.validators import ge, gt, lt
from torch.nn import Parameter

from ganforge_optimizers.fused import Adam

Rate = Annotated[float, ge(0)]  # many schedules end at 0
Small = Annotated[float, gt(0)]
Decay = Annotated[float, ge(0)]
Share = Annotated[float, ge(0), lt(1)]


def _betas(_: object, attribute: Any, betas: tuple[float, float]) -> None:
    """Each beta >= 0 and < 1."""
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"{attribute.name} must lie in [0, 1)")


Betas = Annotated[tuple[float, float], _betas]


def _fused(parameters: Sequence[Parameter]) -> bool:
    """Whether torch can update all of these parameters in one call."""
    return all(parameter.device.type in ("cpu", "cuda") and parameter.is_floating_point() for parameter in parameters)


def _adam(parameters: Sequence[Parameter], **options: Any) -> torch.optim.Adam:
    """Make torch's Adam, with less overhead where all parameters fit into one call of the fused kernel."""
    alike = len({(parameter.device, parameter.dtype) for parameter in parameters}) == 1
    if alike and _fused(parameters):
        return Adam(parameters, **options)
    return torch.optim.Adam(parameters, **options)


def adam(
    parameters: Sequence[Parameter],
    *,
    lr: Rate = 2e-4,
    betas: Betas = (0.5, 0.999),
    beta2: Share | None = None,
    eps: Small = 1e-8,
    weight_decay: Decay = 0.0,
) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015) with weight decay as an L2 penalty, as in Kim et al. 2017.

    `beta2` replaces the second of `betas`, and may follow a schedule (R3GAN, Huang et al. 2024).
    """
    optimizer = _adam(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
    if beta2 is not None:
        for group in optimizer.param_groups:
            group["beta2"] = beta2
        optimizer.register_step_pre_hook(_take_beta2)
    return optimizer


def _take_beta2(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Make Adam use the present value of the separate `beta2`."""
    for group in optimizer.param_groups:
        group["betas"] = (group["betas"][0], group["beta2"])


def adamw(
    parameters: Sequence[Parameter],
    *,
    lr: Rate = 2e-4,
    betas: Betas = (0.5, 0.999),
    eps: Small = 1e-8,
    weight_decay: Decay = 0.01,
) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""
    return _adam(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, decoupled_weight_decay=True)


def sgd(
    parameters: Sequence[Parameter],
    *,
    lr: Rate,
    momentum: Share = 0.0,
    nesterov: bool = False,
    weight_decay: Decay = 0.0,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(
        parameters,
        lr=lr,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        fused=_fused(parameters),
    )


def rmsprop(
    parameters: Sequence[Parameter],
    *,
    lr: Rate = 5e-5,
    alpha: Share = 0.99,
    eps: Small = 1e-8,
    momentum: Share = 0.0,
    weight_decay: Decay = 0.0,
) -> torch.optim.Optimizer:
    """RMSprop (Hinton 2012); the default learning rate is that of the Wasserstein GAN (Arjovsky et al. 2017)."""
    return torch.optim.RMSprop(parameters, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)
