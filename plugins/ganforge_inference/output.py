"""Writing results to files: checked before anything is computed, and whole or not at all."""

import io
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganforge import Depth, InputError, RunFailedError, write_file

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # Pillow's mode of a PNG by number of channels

FORMATS = {"png": ".png", "tiff": ".tif", "npy": ".npy"}

LEVEL = 4  # PNG compression: a third faster than 6, and photographs become hardly larger

Array = np.ndarray[Any, Any]


def require_free(targets: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse files that cannot be written, or would replace others without `overwrite`.

    Raises:
        InputError: one of them is refused; the message names it.
    """
    targets = list(targets)
    for folder in dict.fromkeys(target.parent for target in targets):
        there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
        if not os.path.isdir(there):
            raise InputError(f"'{there}' is not a folder: choose another --out")
        if not os.access(there, os.W_OK | os.X_OK):
            raise InputError(f"the folder '{there}' cannot be written: choose another --out")
    for target in targets:
        if os.path.isdir(target):
            raise InputError(f"'{target}' is a folder: choose another --out")
        if os.path.lexists(target) and not os.path.exists(target):
            raise InputError(f"'{target}' is a broken link: choose another --out")
        if os.path.exists(target) and not overwrite:
            raise InputError(f"'{target}' exists already: choose another --out, or add --overwrite")


@contextmanager
def telling(target: Path, before: str = "") -> Iterator[None]:
    """Turn errors while a file is written into a RunFailedError that also says what was written before."""
    try:
        yield
    except OSError as error:
        raise RunFailedError(f"'{target}' cannot be written: {error.strerror or error}{before}") from error


def so_far(done: int, total: int) -> str:
    """Return how many files were written, in words."""
    return f"; {done} of {total} were written before"


def save(made: Image.Image | Array, target: Path) -> None:
    """Write a picture as a PNG, or an array unchanged; create its folder.

    Raises an OSError if it cannot be written.
    """
    if isinstance(made, Image.Image):
        write_made(png_of(made), target)
    else:
        content = io.BytesIO()
        np.save(content, made, allow_pickle=False)
        write_made(content.getvalue(), target)


def png_of(picture: Image.Image) -> bytes:
    """Return the bytes of a PNG."""
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=LEVEL)
    return content.getvalue()


def write_made(content: bytes, target: Path) -> None:
    """Write a file, and create its folder; raise an OSError if it cannot be written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    write_file(target, content, lasting=False)


def suffix_of(wanted: str | None, depth: Depth, channels: int) -> str:
    """Return the suffix of a file for a depth and number of channels: .png, .tif or .npy.

    Args:
        wanted: a format, `png`, `tiff` or `npy`; by default PNG if it can hold the picture, otherwise TIFF.
        depth: depth of the picture.
        channels: number of channels.

    Raises:
        InputError: there is no such format, or it cannot hold the picture.
    """
    if wanted not in (None, *FORMATS):
        raise InputError(f"--format: expected {', '.join(FORMATS)}, got '{wanted}'")
    fitting = depth.kind in ("uint8", "uint16") and channels in MODES
    if wanted == "png" and not fitting:
        what = f"{channels} channels" if channels not in MODES else f"numbers of the type {depth.kind}"
        raise InputError(f"--format: a PNG cannot hold {what}; use tiff or npy")
    return FORMATS[wanted or ("png" if fitting else "tiff")]


def encoded(pixels: Tensor, depth: Depth, suffix: str) -> bytes:
    """Encode a picture in a depth as the bytes of a file.

    Args:
        pixels: float [C, H, W] in [0, 1].
        depth: what the numbers in the file mean.
        suffix: a suffix from `suffix_of`.
    """
    return encoded_numbers(depth.numbers(pixels), suffix)


def encoded_numbers(numbers: Array, suffix: str) -> bytes:
    """Encode numbers [C, H, W] as the bytes of a file."""
    array = np.ascontiguousarray(numbers.transpose(1, 2, 0))  # [H, W, C]
    channels = array.shape[2]
    flat = array.squeeze(2) if channels == 1 else array
    if suffix == ".png" and array.dtype == np.uint16:
        return _deep_png(array)
    content = io.BytesIO()
    if suffix == ".png":
        Image.fromarray(flat).save(content, "PNG", compress_level=LEVEL)
    elif suffix == ".npy":
        np.save(content, flat, allow_pickle=False)
    else:
        import tifffile  # imported late: it takes a fifth of a second and is rarely needed

        tifffile.imwrite(
            content,
            flat,
            photometric="rgb" if channels in (3, 4) else "minisblack",
            planarconfig=None if channels == 1 else "contig",
            extrasamples=["unassalpha"] if channels in (2, 4) else None,
            compression=None if array.dtype == np.float32 else "zlib",  # floats hardly compress
            metadata=None,
        )
    return content.getvalue()


def _deep_png(array: Array) -> bytes:
    """Encode [H, W, C] with 1 to 4 channels as a 16-bit PNG, which Pillow cannot write in colour."""
    height, width, channels = array.shape
    rows = array.astype(">u2").reshape(height, -1).view(np.uint8)
    above = np.concatenate([np.zeros_like(rows[:1]), rows[:-1]])
    filtered = np.concatenate([np.full((height, 1), 2, np.uint8), rows - above], axis=1)  # each row minus the one above
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def eight_bit(picture: Tensor) -> Array:
    """Convert a picture [C, H, W] in 0..1 to 8 bits, [H, W, C]."""
    return picture.mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def to_image(picture: Tensor) -> Image.Image:
    """Convert a picture [C, H, W] in 0..1 to an 8-bit image, with channels that a PNG can hold."""
    array = eight_bit(picture)
    return Image.fromarray(array.squeeze(-1) if array.shape[2] == 1 else array, MODES[array.shape[2]])


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Put two pictures of any mode and size side by side on a white canvas, aligned at the top."""
    modes = left.mode + right.mode
    mode = ("RGB" if "RGB" in modes else "L") + ("A" if "A" in modes else "")
    canvas = Image.new(mode, (left.width + right.width, max(left.height, right.height)), "white")
    canvas.paste(left.convert(mode), (0, 0))
    canvas.paste(right.convert(mode), (left.width, 0))
    return canvas
