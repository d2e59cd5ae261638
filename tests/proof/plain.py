"""What the plain loops of the proof share: plain torch, and nothing of ganforge's training."""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


def adam(*modules: nn.Module, lr: float = 1e-3) -> torch.optim.Adam:
    """Adam for all of some modules' parameters, one by one."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    return torch.optim.Adam(parameters, lr=lr, betas=(0.5, 0.999), foreach=False)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step downhill."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()


def with_weights(network: nn.Module, folder: Path, name: str) -> nn.Module:
    """Give a network the weights that a checkpoint holds, for use."""
    network.load_state_dict(load_file(folder / f"{name}.safetensors"))
    return network.float().eval()


def score(network: nn.Module, samples: Tensor) -> Tensor:
    """D(x): what a discriminator returns first."""
    return network(samples)[0]


def calls(networks: Iterable[tuple[str, nn.Module]], counted: dict[str, int]) -> None:
    """Count from now on how often each network is called."""
    for name, network in networks:
        counted[name] = 0

        def count(*_: object, name: str = name) -> None:
            counted[name] += 1

        network.register_forward_hook(count)
