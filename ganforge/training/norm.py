"""With which statistics batch normalisation works outside of training (Kim et al. 2017 leave it open).

In training, a generator that closes a cycle sees real inputs and translated ones in turn, each batch normalised by its
own statistics; the running averages mix both and fit neither.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

Norm = Literal["recalibrated", "running", "batch"]
Statistics = Mapping[str, Tensor]


def layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the name and module of every layer that keeps running statistics."""
    for name, module in network.named_modules():
        if isinstance(getattr(module, "running_mean", None), Tensor):
            yield name, module


def statistics(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of a network's running statistics, by their names in its state."""
    return {
        f"{name}.{key}".removeprefix("."): value.clone()
        for name, module in layers(network)
        for key, value in module.named_buffers(recurse=False)
    }


def put(network: nn.Module, values: Statistics) -> None:
    """Set running statistics."""
    buffers = dict(network.named_buffers())
    with torch.no_grad():
        for name, value in values.items():
            buffers[name].copy_(value)


def measure(network: nn.Module, batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """Measure a network's statistics on batches: the mean over them of each batch's own. The network stays as it is.

    Args:
        network: on the device of the batches.
        batches: inputs, [N, *shape] each, at least one.
    """
    found = dict(layers(network))
    before, mode, momenta = statistics(network), network.training, {name: found[name].momentum for name in found}
    try:
        network.eval()
        for module in found.values():
            module.train()
            module.momentum = None  # type: ignore[assignment]  # a plain average
            module.reset_running_stats()  # type: ignore[operator]
        with torch.no_grad():
            for batch in batches:
                network(batch)
        return statistics(network)
    finally:
        for name, module in found.items():
            module.momentum = momenta[name]
        network.train(mode)
        put(network, before)


@contextmanager
def outside_training(
    networks: Mapping[str, nn.Module], norm: Norm, measured: Mapping[str, Statistics] | None = None
) -> Iterator[None]:
    """Put networks into evaluation mode, batch normalisation as `norm` says, and everything back afterwards.

    Args:
        networks: by name.
        norm: where `batch`, normalisation stays as it is in training.
        measured: statistics to use instead of the networks' own, by the name of the network.
    """
    modes = {name: network.training for name, network in networks.items()}
    before = {name: statistics(network) for name, network in networks.items()}
    try:
        for network in networks.values():
            network.eval()
            for _, module in layers(network):
                module.train(norm == "batch")
        for name, values in (measured or {}).items():
            put(networks[name], values)
        yield
    finally:
        for name, network in networks.items():
            network.train(modes[name])
            put(network, before[name])
