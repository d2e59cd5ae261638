"""Reading pictures of any common kind as uint8 tensors."""

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ganforge import PICTURE_SUFFIXES, InputError

MAX_PIXELS = 178_956_970  # where Pillow begins to suspect a decompression bomb
THREADS = 2

Fit = Literal["squash", "crop", "pad"]
Size = int | tuple[int, int]


def _positive(_: object, attribute: Any, size: Size) -> None:
    """1 to 8192, or [height, width] of these."""
    if not all(1 <= side <= 8192 for side in pair(size)):
        raise ValueError(f"{attribute.name} must lie in 1..8192")


PictureSize = Annotated[Size, _positive]


def pair(size: Size) -> tuple[int, int]:
    """Return (height, width) of a size setting; one number means a square."""
    return (size, size) if isinstance(size, int) else size


def open_picture(path: Path, channels: int = 3) -> Image.Image:
    """Open a picture upright as 8-bit grey (1 channel) or RGB (3 channels), transparency over white.

    Raises:
        InputError: the file is no picture, is damaged, or is suspiciously large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                picture.load()
                upright = ImageOps.exif_transpose(picture)
    except FileNotFoundError as error:
        raise InputError(f"no picture '{path}'") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(
            f"'{path}' has more than {MAX_PIXELS:,} pixels; refused as a possible decompression bomb"
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
        raise InputError(f"'{path}' is not a readable picture: {error}") from error
    return _eight_bit(upright).convert("L" if channels == 1 else "RGB")


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Bring deep greys to 8 bits by scaling, not by clipping, and lay transparent pictures over white."""
    if picture.mode.startswith("I;16") or picture.mode == "I":
        values = np.asarray(picture, dtype=np.int64).clip(0, 65535)
        if picture.mode != "I" or values.max() > 255:
            values = (values + 128) // 257
        return Image.fromarray(values.astype(np.uint8))
    if picture.mode == "F":
        floats = np.nan_to_num(np.asarray(picture, dtype=np.float64), posinf=0, neginf=0)
        scale = 255 if floats.max() <= 1 else 1
        return Image.fromarray((floats * scale).round().clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture


def fit_picture(picture: Image.Image, size: tuple[int, int], fit: Fit = "squash") -> Image.Image:
    """Resize to (height, width), with antialiasing: squashed, cropped around the centre, or padded with white."""
    target = (size[1], size[0])
    if picture.size == target:
        return picture
    if fit == "crop":
        return ImageOps.fit(picture, target, Image.Resampling.BILINEAR)
    if fit == "pad":
        return ImageOps.pad(picture, target, Image.Resampling.BILINEAR, color="white")
    return picture.resize(target, Image.Resampling.BILINEAR)


def to_tensor(picture: Image.Image) -> Tensor:
    """Return an 8-bit grey or RGB picture as uint8 [C, H, W]."""
    array = np.array(picture)
    return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1).copy())


def load_pictures(read: Callable[[Path], Tensor], paths: Sequence[Path], indices: Iterable[int]) -> Tensor:
    """Read some of the files, in parallel (decoding leaves the interpreter free), as uint8 [N, C, H, W]."""
    with ThreadPoolExecutor(THREADS) as pool:
        return torch.stack(list(pool.map(lambda index: read(paths[index]), indices)))


def list_pictures(folder: Path, key: str) -> list[Path]:
    """List the pictures in a folder and all folders below it, in natural order (2 before 10).

    Raises:
        InputError: there is no such folder, or no picture in it; `key` is the setting that named it.
    """
    if not folder.is_dir():
        hint = ""
        if folder.parent.is_dir():
            hint = "; there are: " + ", ".join(sorted(path.name for path in folder.parent.iterdir())[:5])
        raise InputError(f"no folder '{folder}'{hint}", key=key)
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    if not paths:
        raise InputError(f"no picture in '{folder}' (looked for {', '.join(sorted(PICTURE_SUFFIXES))})", key=key)
    return sorted(paths, key=lambda path: natural(str(path.relative_to(folder))))


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that counts digits as numbers.

    >>> sorted(["10_AB", "9_AB"], key=natural)
    ['9_AB', '10_AB']
    """
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]
