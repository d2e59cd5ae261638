"""How much memory a translation takes, measured on a small picture."""

import math
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ganforge import free_memory

HIDDEN = 2.0  # what is taken in all, for each byte of layers' results: work space, results of functions


def bytes_per_pixel(make: Callable[[Tensor], Tensor], networks: Iterable[nn.Module], small: Tensor) -> float:
    """Return the bytes that a translation takes at its peak for each pixel of a picture.

    Every layer's result is counted for as long as it is there.

    Args:
        make: translates [1, C, H, W].
        networks: through which it does so.
        small: a picture to try it on.
    """
    now = peak = 0

    def gone(size: int) -> None:
        nonlocal now
        now -= size

    def made(module: nn.Module, given: Any, result: Any) -> None:
        nonlocal now, peak
        if isinstance(result, Tensor) and not any(result is one for one in given):  # else it was changed in place
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
    return HIDDEN * max(peak, small.nbytes + result.nbytes) / math.prod(small.shape[2:])


def free_on(device: torch.device) -> float:
    """Return the bytes that are free where networks compute."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
