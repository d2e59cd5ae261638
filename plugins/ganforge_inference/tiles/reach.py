"""How far networks look: which output pixels an input pixel can change, found by following NaN through them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ganforge_inference.sizes import fitting

FURTHEST = 16_384  # pixels of a picture beyond which nobody looks for the end of what an input pixel reaches

Make = Callable[[Tensor], Tensor]


def reach_of(make: Make, channels: int, multiple: int, least: int, device: torch.device) -> int | None:
    """Return how many pixels beyond a border at a multiple can be changed by what lies behind it; None for all of them.

    A stripe of NaN as wide as the multiple, so of every phase of the strides, is put into a picture of zeros. NaN
    passes through convolutions, sums, pooling, padding and activations wherever the result depends on it, whatever the
    weights are. What normalises over whole pictures must be out of the way.

    Args:
        make: translates [1, channels, H, W] to [1, any, H, W].
        channels: of its input.
        multiple: what height and width are multiples of.
        least: the smallest height and width.
        device: of its input.
    """
    with _plain():
        found = [_along(make, channels, multiple, least, device, axis) for axis in (2, 3)]
    known = [reach for reach in found if reach is not None]
    return max(known) if len(known) == len(found) else None


@contextmanager
def _plain() -> Iterator[None]:
    """Have convolutions computed as they are defined: fast ones (Winograd, FFT) spread NaN over all that they share."""
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
    """Return the reach in one direction; the picture is as narrow in the other one as networks allow."""
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
