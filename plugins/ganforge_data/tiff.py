"""TIFF files: what Pillow would misread, and reading that with tifffile."""

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ImageFile

from ganforge import InputError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

MAX_PIXELS = 178_956_970  # above it Pillow suspects a decompression bomb
ORIENTATION = 0x0112  # the tag of EXIF and TIFF
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
COLOURS = {0: 1, 1: 1, 2: 3, 5: 4}  # channels of white as 0, black as 0, RGB, and CMYK
GREY, RGB, CMYK = (0, 1), 2, 5
PREMULTIPLIED, STRAIGHT = 1, 2  # kinds of transparency among the extra channels; others are anything else

Array = np.ndarray[Any, Any]


def require_size(array: Array) -> Array:
    """Raise a ValueError if it is not an array [H, W, C] or [H, W] of numbers, or is too large."""
    if array.ndim not in (2, 3) or array.dtype.kind not in "uif":
        raise ValueError(f"expected an array [H, W, C] of numbers, got {list(array.shape)} of {array.dtype}")
    if array.size > 4 * MAX_PIXELS:
        raise ValueError(f"more than {4 * MAX_PIXELS:,} numbers")
    return array


def require_known_numbers(picture: ImageFile.ImageFile, channels: int) -> None:
    """Raise a ValueError if Pillow would misread a TIFF; warn of channels and pages that it leaves out.

    It would misread signed bytes, unsigned 32 bits, deep numbers that are planar, premultiplied or have white as 0,
    deep numbers whose bytes libtiff has already swapped, planes of grey, a second grey channel, and one channel per
    page. If two or four channels are wanted, also a last channel that is not declared as transparency.
    """
    tags = getattr(picture, "tag_v2", None)
    if tags is None:
        return
    bits, formats, extras = max(tags.get(258, (1,))), tags.get(339, (1,)), tuple(tags.get(338, ()))
    planar, kind, samples = tags.get(284) == 2, tags.get(262), tags.get(277, 1)
    codec, _, _, args = picture.tile[0] if picture.tile else ("", None, 0, "")
    swapped = codec == "libtiff" and re.search(r";\d+B", str(args)) is not None
    declared = [extra for extra in extras if extra in (PREMULTIPLIED, STRAIGHT)]
    pages = getattr(picture, "n_frames", 1)
    if (
        (2 in formats and bits == 8)
        or (1 in formats and bits == 32)
        or (bits > 8 and (planar or swapped or kind == 0 or PREMULTIPLIED in extras))
        or (kind in GREY and samples > 1 and (planar or not declared))
        or (channels in (2, 4) and 0 in extras)
        or (samples == 1 and pages == channels > 1)
    ):
        raise ValueError(f"Pillow would misread this TIFF of {bits} bits")
    if extras and len(declared) < len(extras):
        _tell_left_out(samples)
    if pages > 1:
        _tell_pages(pages)


def open_tiff(path: Path, channels: int) -> tuple[Array, object]:
    """Read a TIFF of a type that Pillow does not know, such as floats in colour.

    Args:
        path: the file.
        channels: the number of channels that are wanted, 1 to 4.

    Returns:
        array: [H, W, C] with black as 0; the last of two or four channels is transparency, or there are as many as are
            wanted.
        orientation: the tag; None if there is none.

    Raises:
        InputError: it has other channels, and which of them are wanted is not declared.
        ValueError: its colours are of another kind.
    """
    import tifffile  # imported late: it takes a fifth of a second and is rarely needed

    with tifffile.TiffFile(path) as file:
        page = _page(file)
        kind, count = int(page.photometric), page.samplesperpixel
        if kind not in COLOURS:
            raise ValueError(f"{page.dtype} of {page.photometric!r} cannot be read")
        by_page = count == 1 and file.series[0].shape[:-2] == (channels,)
        alpha = _alpha(page)
        seen = COLOURS[kind] if kind not in GREY or count - (alpha is not None) != 3 else 3  # often not declared as RGB
        others = count - seen - (alpha is not None)
        unclear = kind in GREY or (channels in (2, 4) and alpha is None)
        if others and unclear and count != channels:
            raise InputError(f"'{path}' has {count} channels; set dataset.channels = {count}", key="channels")
        array, orientation = _read(file, by_page=by_page), page.tags.valueof(ORIENTATION)
        premultiplied = PREMULTIPLIED in page.extrasamples
    if kind == 0:  # from largest to least, and from 65535 to 0
        light = [place for place in range(array.shape[2]) if place != alpha]
        array[:, :, light] = 1 - array[:, :, light] if array.dtype.kind == "f" else ~array[:, :, light]
    if alpha is None and array.shape[2] == channels and kind != CMYK:
        return array, orientation
    if others:
        _tell_left_out(count)
    colours = from_cmyk(array[:, :, :4]) if kind == CMYK else array[:, :, :seen]
    if alpha is None:
        return colours, orientation
    clear = array[:, :, alpha, None]
    colours = _divided(colours, clear) if premultiplied else colours
    return np.concatenate([colours, clear], axis=2), orientation


def read_tiff(path: Path, channels: int) -> tuple[Array, object]:
    """Read all channels of a TIFF, interleaved, planar or page by page, as [H, W, C], and its orientation."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = _page(file)
        by_page = page.samplesperpixel == 1 and len(file.series[0].shape) == 3 and channels > 1
        return _read(file, by_page=by_page), page.tags.valueof(ORIENTATION)


def from_cmyk(inks: Array) -> Array:
    """Convert numbers [H, W, 4] from cyan, magenta, yellow and black to RGB, as Pillow does with 8 bits."""
    full = 1.0 if inks.dtype.kind == "f" else float(np.iinfo(inks.dtype).max)
    light = (full - inks[:, :, :3]) * ((full - inks[:, :, 3:]) / full)
    found: Array = (light if inks.dtype.kind == "f" else light.round()).astype(inks.dtype)
    return found


def _page(file: "TiffFile") -> "TiffPage":
    page: TiffPage = file.pages.first
    return page


def _read(file: "TiffFile", *, by_page: bool) -> Array:
    """Read the first page, or all of them as channels, as [H, W, C]."""
    page, series = _page(file), file.series[0]
    source, axes = (series, series.axes) if by_page else (page, page.axes)
    require_size(np.broadcast_to(np.zeros((), source.dtype), source.shape))
    if not by_page and (pages := len(file.pages)) > 1:
        _tell_pages(pages)
    array: Array = source.asarray()
    return np.atleast_3d(np.moveaxis(array, 0, -1) if axes.endswith("YX") and array.ndim == 3 else array)


def _alpha(page: "TiffPage") -> int | None:
    """Return which channel is transparency; None for none."""
    count, extras = page.samplesperpixel, [int(extra) for extra in page.extrasamples]
    if page.photometric == RGB and count == 4 and not extras:
        return 3  # old programs do not declare it
    places = [count - len(extras) + place for place, extra in enumerate(extras) if extra in (PREMULTIPLIED, STRAIGHT)]
    return places[0] if places else None


def _divided(colours: Array, alpha: Array) -> Array:
    """Divide colours that were multiplied by transparency, both [H, W, C], by it."""
    whole = alpha.dtype.kind != "f"
    full = float(np.iinfo(alpha.dtype).max) if whole else 1.0
    found = np.divide(colours * full, alpha, out=np.zeros(colours.shape), where=alpha > 0)
    straight: Array = (found.round().clip(0, full) if whole else found).astype(colours.dtype)
    return straight


def _tell_left_out(count: int) -> None:
    warnings.warn(
        f"it has {count} channels, of which those that are neither colours nor transparency are left out; "
        f"set dataset.channels = {count} to read them all",
        stacklevel=3,
    )


def _tell_pages(pages: int) -> None:
    warnings.warn(f"it has {pages} pages; only the first is read", stacklevel=3)
