"""The reach of networks: which output pixels an input pixel can change, found by propagating NaN."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ganforge_inference.sizes import fitting

FURTHEST = 16_384  # side in pixels of the largest picture on which the reach is searched

Make = Callable[[Tensor], Tensor]


def reach_of(make: Make, channels: int, multiple: int, least: int, device: torch.device) -> int | None:
    """Return how many pixels beyond a border at a multiple are affected by what lies behind it; None if all are.

    A stripe of NaN as wide as the multiple, to cover every phase of the strides, is put into a picture of zeros. NaN
    passes through convolutions, sums, pooling, padding and activations wherever the result depends on it, whatever the
    weights. Norms over whole pictures must be turned off.

    Args:
        make: translates [1, channels, H, W] to [1, any, H, W].
        channels: channels of its input.
        multiple: height and width are multiples of it.
        least: the smallest height and width.
        device: device of its input.
    """
    with _plain():
        found = [_along(make, channels, multiple, least, device, axis) for axis in (2, 3)]
    known = [reach for reach in found if reach is not None]
    return max(known) if len(known) == len(found) else None


@contextmanager
def _plain() -> Iterator[None]:
    """Compute convolutions directly: fast algorithms (Winograd, FFT) spread NaN beyond the kernel."""
    libraries: tuple[Any, ...] = torch.backends.mkldnn, torch.backends.cudnn
    before = [library.enabled for library in libraries]
    try:
        for library in libraries:
            library.enabled = False
        yield
    finally:
        for library, enabled in zip(libraries, before, strict=True):
            library.enabled = enabled


def _along(make: Make, channels: int, multiple: int, least: int, device: torch.device, axis: int) -> int | None:
    """Return the reach along one axis; along the other one the picture is as small as networks allow."""
    narrow, length = fitting(1, multiple, least), fitting(4 * least, multiple, 8 * multiple)
    while True:
        start = length // 2 // multiple * multiple
        picture = torch.zeros(1, channels, narrow, length, device=device)
        picture[..., start : start + multiple] = torch.nan
        made = make(picture if axis == 3 else picture.transpose(2, 3)).transpose(axis, 3)
        places = made.isnan().flatten(0, 2).any(0).nonzero().flatten()
        first, last = int(places[0]), int(places[-1])
        if first > 0 and last < length - 1:
            return max(start - first, last - (start + multiple - 1), 0)
        if length >= FURTHEST:
            return None
        length = fitting(2 * length, multiple)
