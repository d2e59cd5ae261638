"""The memory that a translation takes, measured on a small picture."""

import math
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ganforge import free_memory

HIDDEN = 2.0  # total bytes per counted byte, including workspace and results of functions (measured)


def bytes_per_pixel(make: Callable[[Tensor], Tensor], networks: Iterable[nn.Module], small: Tensor) -> float:
    """Return the peak bytes of a translation per pixel of a picture.

    Every layer's result is counted while it exists.

    Args:
        make: translates [1, C, H, W].
        networks: the networks that `make` uses.
        small: a picture to measure with.
    """
    now = peak = 0

    def gone(size: int) -> None:
        nonlocal now
        now -= size

    def made(module: nn.Module, given: Any, result: Any) -> None:
        nonlocal now, peak
        if isinstance(result, Tensor) and not any(result is one for one in given):  # otherwise it was changed in place
            now += result.nbytes
            peak = max(peak, now)
            weakref.finalize(result, gone, result.nbytes)

    layers = [layer for network in networks for layer in network.modules() if not any(layer.children())]
    hooks = [layer.register_forward_hook(made) for layer in layers]
    try:
        result = make(small)
    finally:
        for hook in hooks:
            hook.remove()
    return HIDDEN * (small.nbytes + peak + result.nbytes) / math.prod(small.shape[2:])


def free_on(device: torch.device) -> float:
    """Return the free bytes on a device."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
