"""Pictures as data sets see them: with the right channels, over a background, and with a depth."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from attrs import evolve, field, frozen
from PIL import Image, ImageColor

from ganforge import Depth, Picture, compare
from ganforge_data.decode import MODES, decode, naming
from ganforge_data.ranges import NAMES, Array, as_known, kind_of, number, own_depth

if TYPE_CHECKING:
    from torch import Tensor

LUMA = (19595 / 65536, 38470 / 65536, 7471 / 65536)  # of red, green and blue, as in Pillow


@frozen(eq=False)
class Opened:
    """A picture of a domain at its own size, upright.

    Attributes:
        bands: one grey or colour picture of 8 bits, or a grey one of any of Pillow's types for each channel.
        depth: what their numbers mean.
    """

    bands: Sequence[Image.Image]
    depth: Depth = field(factory=Depth)

    @property
    def picture(self) -> Picture:
        """The numbers [C, H, W] in the depth's type."""
        import torch

        numbers = torch.cat([to_tensor(band) for band in self.bands])
        return Picture(numbers.to(getattr(torch, self.depth.kind)), self.depth)

    def changed(self, change: Callable[[Image.Image], Image.Image]) -> Opened:
        """Return a copy with each band changed."""
        return evolve(self, bands=[change(band) for band in self.bands])


def open_picture(path: Path, channels: int = 3, background: str = "white", depth: Depth | None = None) -> Opened:
    """Open a picture; warn if something about it is odd.

    Args:
        path: any file that Pillow reads, a multi-channel TIFF, or a NumPy array [H, W, C] or [H, W] in .npy.
        channels: 1 for grey and 3 for RGB, with transparent parts over the background; 2 and 4 keep transparency; any
            other number must be that of the file.
        background: a colour.
        depth: what the numbers of its domain mean, by default 8 bits; a file of another type has its own depth.

    Raises:
        InputError: the file is not a picture, is damaged or suspiciously large, holds numbers that are not finite, or
            has other channels.
    """
    wanted = depth or Depth()
    with naming(path):
        decoded = decode(path, channels)
        if isinstance(decoded, np.ndarray):
            array = as_known(decoded, wanted.kind)
            if array.dtype != np.uint8 or channels not in MODES:
                return _deep(array, channels, background, wanted)
            decoded = Image.fromarray(np.ascontiguousarray(array.squeeze(2) if array.shape[2] == 1 else array))
        own = wanted if wanted.kind == "uint8" else _own(np.zeros(1, np.uint8), wanted)
        return _told(_shallow(decoded, channels, background), own)


def to_tensor(picture: Image.Image) -> Tensor:
    """Return a picture's numbers as a tensor [C, H, W]."""
    import torch

    array = np.array(picture)
    return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1).copy())


def _shallow(picture: Image.Image, channels: int, background: str) -> list[Image.Image]:
    """Convert an 8-bit picture to a number of channels."""
    picture = picture.convert("LA") if picture.mode == "La" else picture  # Pillow converts it to nothing else
    if channels in (2, 4):
        return list(picture.convert(MODES[channels]).split())
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, background), picture)
    return [picture if picture.mode == MODES[channels] else picture.convert(MODES[channels])]


def _deep(array: Array, channels: int, background: str, wanted: Depth) -> Opened:
    """Convert numbers [H, W, C] to a number of channels in the same way."""
    if channels not in MODES:
        return _told(_bands(array), _own(array, wanted))
    colours, alpha = parted(array)
    depth = _own(colours, wanted)
    if alpha is not None and channels in (1, 3):
        colours = _laid_over(colours, alpha, background, depth)
    if channels in (1, 2) and colours.shape[2] == 3:
        colours = _like(colours @ np.array(LUMA)[:, None], colours)
    bands = _bands(colours)
    bands = bands * 3 if channels in (3, 4) and len(bands) == 1 else bands
    if channels in (2, 4):
        full = np.full((*array.shape[:2], 1), depth.high)
        bands += _bands(full.astype(array.dtype) if alpha is None else alpha)
    return _told(bands, depth)


def parted(array: Array) -> tuple[Array, Array | None]:
    """Split numbers [H, W, C] into colours and transparency, the last of two or four channels."""
    return (array[:, :, :-1], array[:, :, -1:]) if array.shape[2] in (2, 4) else (array, None)


def _laid_over(colours: Array, alpha: Array, background: str, depth: Depth) -> Array:
    """Lay colours [H, W, 1 or 3] over a background in the depth's range."""
    full = 1 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
    share = (alpha / full).clip(0, 1)
    if share.min() == 1:
        return colours
    ground = np.array(ImageColor.getrgb(background)) / 255 * (depth.high - depth.low) + depth.low
    laid = colours * share + ground * (1 - share)  # in colour, as the background is
    return _like(laid, colours)


def _like(numbers: Array, others: Array) -> Array:
    """Return numbers in the type of others, rounded if that is an integer type."""
    found: Array = (numbers if others.dtype.kind == "f" else numbers.round()).astype(others.dtype)
    return found


def _bands(array: Array) -> list[Image.Image]:
    """Split numbers [H, W, C] into a grey picture for each channel."""
    array = array.astype(np.int32) if array.dtype == np.int16 else array
    return [Image.fromarray(np.ascontiguousarray(array[:, :, place])) for place in range(array.shape[2])]


def _own(array: Array, wanted: Depth) -> Depth:
    """Return the domain's depth; for numbers of another type, their own."""
    if kind_of(array) == wanted.kind:
        return wanted
    own = own_depth(array)
    read = f"numbers from {number(own.low)} to {number(own.high)} are read as black to white"
    warnings.warn(f"it has {NAMES[own.kind]}, unlike its domain ({NAMES[wanted.kind]}): its {read}", stacklevel=2)
    if own.kind == "float32":
        compare(read)  # floats have their own scale in each file
    return own


def _told(bands: Sequence[Image.Image], depth: Depth) -> Opened:
    """Warn of numbers that are out of range."""
    if depth != Depth():
        low = min(np.asarray(band).min() for band in bands)
        high = max(np.asarray(band).max() for band in bands)
        if low < depth.low or high > depth.high:
            warnings.warn(
                f"numbers below {number(depth.low)} or above {number(depth.high)} are clipped: "
                f"it has {number(float(low))} to {number(float(high))}",
                stacklevel=2,
            )
    return Opened(bands, depth)
