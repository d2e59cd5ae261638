"""What comes out of networks becomes files: checked before anything is computed, and whole or not there."""

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganforge import Depth, InputError, RunFailedError, write_file

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # that a PNG can hold, by number of channels

Array = np.ndarray[Any, Any]


def require_free(targets: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse files that cannot be written, or would replace others without leave.

    Raises:
        InputError: says which.
    """
    targets = list(targets)
    for folder in dict.fromkeys(target.parent for target in targets):
        there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
        if not os.path.isdir(there):
            raise InputError(f"'{there}' is no folder: choose another --out")
        if not os.access(there, os.W_OK | os.X_OK):
            raise InputError(f"the folder '{there}' cannot be written: choose another --out")
    for target in targets:
        if os.path.isdir(target):
            raise InputError(f"'{target}' is a folder: choose another --out")
        if os.path.lexists(target) and not os.path.exists(target):
            raise InputError(f"'{target}' is a link to what is not there: choose another --out")
        if os.path.exists(target) and not overwrite:
            raise InputError(f"'{target}' exists already: choose another --out, or say --overwrite")


@contextmanager
def telling_how_many(target: Path, done: int, total: int) -> Iterator[None]:
    """While a file is written: say which one cannot be, and how many were before it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise RunFailedError(
            f"'{target}' cannot be written: {reason}; {done} of {total} were written before"
        ) from error


def save(made: Image.Image | Array, target: Path) -> None:
    """Write a picture as a PNG, or an array as it is; make the folder that it needs.

    An OSError says that it cannot be written.
    """
    content = io.BytesIO()
    if isinstance(made, Image.Image):
        made.save(content, "PNG")
    else:
        np.save(content, made, allow_pickle=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_file(target, content.getvalue(), lasting=False)


def suffix_of(wanted: str | None, depth: Depth, channels: int) -> str:
    """Return the suffix of files that hold a picture of a depth and channels, in the format that is wanted.

    Raises:
        InputError: the format cannot hold it.
    """
    if wanted == "npy" or (wanted is None and channels not in MODES):
        return ".npy"
    if wanted not in (None, "png") or channels not in MODES:
        raise InputError(f"--format: {wanted} cannot hold {channels} channels of {depth.kind}")
    return ".png"


def encoded(pixels: Tensor, depth: Depth, suffix: str) -> bytes:
    """Return the bytes of a file that holds a picture [C, H, W] in [0, 1] in a depth."""
    content = io.BytesIO()
    if suffix == ".npy":
        np.save(content, eight_bit(pixels), allow_pickle=False)
    else:
        to_image(pixels).save(content, "PNG")
    return content.getvalue()


def eight_bit(picture: Tensor) -> Array:
    """Turn a picture [C, H, W] in 0..1 into 8 bits, [H, W, C]."""
    return picture.mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def to_image(picture: Tensor) -> Image.Image:
    """Turn a picture [C, H, W] in 0..1, of channels that a PNG can hold, into 8 bits."""
    array = eight_bit(picture)
    return Image.fromarray(array.squeeze(-1) if array.shape[2] == 1 else array, MODES[array.shape[2]])


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Put two pictures of any modes and sizes on a white canvas, aligned at their upper edges."""
    modes = left.mode + right.mode
    mode = ("RGB" if "RGB" in modes else "L") + ("A" if "A" in modes else "")
    canvas = Image.new(mode, (left.width + right.width, max(left.height, right.height)), "white")
    canvas.paste(left.convert(mode), (0, 0))
    canvas.paste(right.convert(mode), (left.width, 0))
    return canvas
