"""Sizes at which networks translate, and fitting pictures to them."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganforge import InputError, Picture

Size = Literal["own", "training"] | tuple[int, int]  # (height, width)

LONGEST = 65_535  # pixels of a side


def size_named(text: str) -> Size:
    """Parse a size: `own`, `training`, `512x768` (height x width) or `512`.

    >>> size_named("512x768"), size_named("64")
    ((512, 768), (64, 64))

    Raises:
        InputError: it is none of these.
    """
    if text in ("own", "training"):
        return text  # type: ignore[return-value]  # the two words
    sides = re.fullmatch(r"([0-9]+)(?:x([0-9]+))?", text)
    if sides is None:
        raise InputError(f"--size: expected own, training, or height x width such as 512x768, got '{text}'")
    size = int(sides[1]), int(sides[2] or sides[1])
    if not all(1 <= side <= LONGEST for side in size):
        raise InputError(f"--size: height and width must be in 1..{LONGEST:,}, got '{text}'")
    return size


def fitting(side: int, multiple: int, least: int = 1) -> int:
    """Return the smallest multiple that is at least `side` and `least`."""
    return math.ceil(max(side, least) / multiple) * multiple


def reflected(side: int, start: int, stop: int) -> Tensor:
    """Return the pixel indices at positions start to stop of a side that is continued by reflection.

    >>> reflected(3, 0, 8).tolist(), reflected(1, 0, 3).tolist()
    ([0, 1, 2, 1, 0, 1, 2, 1], [0, 0, 0])
    """
    period = max(1, 2 * (side - 1))
    places = torch.arange(start, stop) % period
    return torch.where(places < side, places, period - places)


def padded(pictures: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Pad pictures [N, C, H, W] by reflection at the bottom and right, to the next multiple.

    A side of one pixel is continued by that pixel.
    """
    rows, columns = (reflected(side, 0, fitting(side, multiple, least)) for side in pictures.shape[2:])
    if (len(rows), len(columns)) == tuple(pictures.shape[2:]):
        return pictures
    return pictures[:, :, rows.to(pictures.device)[:, None], columns.to(pictures.device)]


def resized(picture: Picture, size: tuple[int, int]) -> Picture:
    """Resize a picture to (height, width) like samples: bilinear with antialiasing, each channel separately.

    8 bits stay 8 bits, as in samples; all other numbers become floats.
    """
    if picture.size == size:
        return picture
    numbers = picture.numbers if picture.numbers.dtype == torch.uint8 else picture.numbers.float()
    bands = [
        np.asarray(Image.fromarray(band).resize(size[::-1], Image.Resampling.BILINEAR)) for band in numbers.numpy()
    ]
    return Picture(torch.from_numpy(np.stack(bands)), picture.depth)


def range_of(sizes: Sequence[tuple[int, int]]) -> str:
    """Describe the range of sizes, height x width.

    >>> range_of([(1, 1), (2001, 3000), (20, 30)])
    '1x1 to 2001x3000'
    """
    area: Callable[[tuple[int, int]], int] = math.prod
    least, most = min(sizes, key=area), max(sizes, key=area)
    return "x".join(map(str, least)) + (f" to {most[0]}x{most[1]}" if most != least else "")
