"""Decoding a picture file of any kind into 8 bits a channel, whatever its decoder stumbles over."""

import logging
import re
import sys
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from ganforge import InputError, compare

MAX_PIXELS = 178_956_970  # where Pillow begins to suspect a decompression bomb
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
FEW = 32  # levels of 256

ORIENTATION = 0x0112  # the tag of EXIF and TIFF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

PNG = b"\x89PNG\r\n\x1a\n"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# What a PNG holds beside the pixels (by the small first letter of its kind) that says how they are to be seen.
TELLING = {b"tRNS": b"", b"eXIf": b"", b"iTXt": b"XML:com.adobe.xmp\0\0", b"tEXt": b"Raw profile type exif\0"}
LONGEST = 2**16  # bytes of it

Array = np.ndarray[Any, Any]
Eight = np.ndarray[Any, np.dtype[np.uint8]]


class _Warns(logging.Handler):
    """What a library logs about a picture is a warning like any other."""

    def emit(self, record: logging.LogRecord) -> None:
        warnings.warn(record.getMessage(), stacklevel=2)


for _library in ("PIL", "tifffile"):
    logging.getLogger(_library).addHandler(_Warns(logging.WARNING))


def open_picture(path: Path, channels: int = 3, background: str = "white") -> list[Image.Image]:
    """Open a picture upright in 8 bits a channel; what is odd about it is warned about.

    Args:
        path: any file that Pillow reads, a multi-channel TIFF, or a NumPy array [H, W, C] or [H, W] in .npy.
        channels: 1 for grey and 3 for RGB, with transparency laid over the background; 2 and 4 keep it; any other
            number takes only files that have so many.
        background: a colour.

    Returns:
        One grey or colour picture, or one grey picture for each channel.

    Raises:
        InputError: the file is no picture, is damaged, is suspiciously large, or has other channels.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"'{path}' is no file")  # a pipe or a device would never end
        bands = _bands_of(path, channels, background)
        if not all(bands[0].size):
            raise InputError(f"'{path}' holds no pixels: it is {bands[0].width}x{bands[0].height}")
        return bands
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"no picture '{path}'") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(
            f"'{path}' has more than {MAX_PIXELS:,} pixels; refused as a possible decompression bomb"
        ) from error
    except Exception as error:  # decoders raise whatever they stumble over
        reason = " ".join(re.sub(" at 0x[0-9a-f]+", "", str(error)).split()) or type(error).__name__
        raise InputError(f"'{path}' is not a readable picture: {reason}") from error


def _bands_of(path: Path, channels: int, background: str) -> list[Image.Image]:
    if path.suffix.lower() == ".npy":
        array = _require_size(np.lib.format.open_memmap(path, mode="r"))  # reads no pickle
        return _bands(array, channels, path)
    if channels not in MODES:
        array, orientation = _read_tiff(path)
        return [_turned(band, orientation) for band in _bands(array, channels, path)]
    upright = _open(path)
    if channels in (2, 4):
        return list(upright.convert(MODES[channels]).split())
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, background), upright)
    return [upright if upright.mode == MODES[channels] else upright.convert(MODES[channels])]


def _open(path: Path) -> Image.Image:
    """Open a picture upright in 8 bits a channel, by another way where Pillow does not manage."""
    try:
        return _open_with_pillow(path)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError, FileNotFoundError):
        raise
    except Exception:
        with path.open("rb") as file:
            start = file.read(len(PNG))
        if start == PNG and (plain := _bare(path.read_bytes())):
            return _open_with_pillow(BytesIO(plain))
        if start.startswith(TIFF):
            return _open_tiff(path)
        raise


def _open_with_pillow(file: Path | BytesIO) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file) as picture:
            _require_known_numbers(picture)
            deep = _is_deep_colour(picture)
            picture.load()
            if deep and _levels(upper := np.asarray(picture)) < FEW:
                _tell_of_levels(upper, _sixteen_bits(file, upper))
            return _turned(_eight_bit(picture), _orientation(picture))


def _orientation(picture: Image.Image) -> object:
    """Read this one number of the EXIF or XMP data; the rest of it may be as broken as it likes."""
    try:
        return picture.getexif().get(ORIENTATION)
    except Exception as error:
        warnings.warn(f"its EXIF data cannot be read, so it is taken to be upright: {error}", stacklevel=2)
        return None


def _turned(picture: Image.Image, orientation: object) -> Image.Image:
    """Turn a picture upright; anything but one of the eight numbers leaves it as it is."""
    turn = TURNS.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)


def _bare(png: bytes) -> bytes | None:
    """Leave out of a PNG what changes no pixel, such as text, which may be broken or a bomb; None if there is none."""
    kept, place = [png[: len(PNG)]], len(PNG)
    while place < len(png):
        end = place + 12 + int.from_bytes(png[place : place + 4])
        kind, content = png[place + 4 : place + 8], png[place + 8 : end - 4]
        telling = kind in TELLING and len(content) <= LONGEST and content.startswith(TELLING[kind])
        if telling or not kind[:1].islower():
            kept.append(png[place:end])
        place = end
    bare = b"".join(kept)
    return bare if len(bare) < len(png) else None


def _open_tiff(path: Path) -> Image.Image:
    """Open a TIFF of numbers that Pillow does not know, such as floats in colour."""
    import tifffile

    array, orientation = _read_tiff(path)
    channels = array.shape[2] if array.ndim == 3 else 1
    if channels not in MODES:
        raise InputError(f"'{path}' has {channels} channels; set dataset.channels = {channels}", key="channels")
    kinds = tifffile.PHOTOMETRIC
    with tifffile.TiffFile(path) as file:
        kind = file.pages.first.photometric
    if kind not in (kinds.MINISBLACK, kinds.MINISWHITE, kinds.RGB):
        raise ValueError(f"{array.dtype} of {kind!r} cannot be read")
    array = scale_to_eight_bits(array)
    if kind == kinds.MINISWHITE:
        array = 255 - array
    return _turned(Image.fromarray(array[:, :, 0] if array.shape[2:] == (1,) else array), orientation)


def _read_tiff(path: Path) -> tuple[Array, object]:
    """Read a TIFF of any number of channels, interleaved, planar or page by page, as [H, W, C], and its orientation."""
    import tifffile  # a fifth of a second that few need

    with tifffile.TiffFile(path) as file:
        series, orientation = file.series[0], file.pages.first.tags.valueof(ORIENTATION)
        _require_size(np.broadcast_to(np.zeros((), series.dtype), series.shape))
        array: Array = series.asarray()
    array = np.moveaxis(array, 0, -1) if series.axes.endswith("YX") and array.ndim == 3 else array
    return array, orientation


def _require_size(array: Array) -> Array:
    if array.ndim not in (2, 3) or array.dtype.kind not in "uif":
        raise ValueError(f"expected an array [H, W, C] of numbers, got {list(array.shape)} of {array.dtype}")
    if array.size > 4 * MAX_PIXELS:
        raise ValueError(f"more than {4 * MAX_PIXELS:,} numbers")
    return array


def _bands(array: Array, channels: int, path: Path) -> list[Image.Image]:
    """Split an array [H, W, C] into grey pictures of 8 bits."""
    array = array[:, :, None] if array.ndim == 2 else array
    if array.shape[2] != channels:
        raise InputError(
            f"'{path}' has {array.shape[2]} channels, expected {channels}; set dataset.channels = {array.shape[2]}",
            key="channels",
        )
    array = scale_to_eight_bits(array)  # all at once: what holds their largest number decides for all channels
    return [Image.fromarray(np.ascontiguousarray(array[:, :, band])) for band in range(channels)]


def scale_to_eight_bits(values: Array) -> Eight:
    """Bring numbers of any kind to 0..255 by scaling: 16 bits by 257, floats up to 1 by 255; warn of what is lost."""
    if values.dtype == np.uint8:
        return values
    numbers = values.astype(np.float64)
    finite = np.isfinite(numbers)
    if not finite.all():
        warnings.warn("numbers that are not finite are read as 0", stacklevel=2)
        numbers[~finite] = 0
    low, high = numbers.min(initial=0), numbers.max(initial=0)
    if values.dtype.kind == "f":
        full = 1 if high <= 1 else 255
    else:
        full = 65535 if values.dtype.itemsize == 2 or high > 255 else 255
    if high > 0:
        compare(f"numbers from 0 to {full} are read as black to white")
    if low < 0 or high > full:
        warnings.warn(f"numbers below 0 or above {full} are cut off: it has {low:g} to {high:g}", stacklevel=2)
    eight: Eight = (numbers.clip(0, full) * (255 / full)).round().astype(np.uint8)
    _tell_of_levels(eight, values)
    return eight


def _tell_of_levels(eight: Array, values: Array) -> None:
    """Warn if 8 bits leave only few of a picture's levels."""
    left = _levels(eight)
    if left < FEW and left < _levels(values):
        warnings.warn(
            f"only {left} of 256 levels are left after the conversion to 8 bits; scale it to the full range first",
            stacklevel=2,
        )


def _levels(values: Array) -> int:
    return len(np.unique(values))


def _eight_bit(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        values = np.asarray(picture)
        if picture.mode.startswith("I;16"):
            values = values.astype(np.uint16)
        return Image.fromarray(scale_to_eight_bits(values))
    return picture


def _require_known_numbers(picture: ImageFile.ImageFile) -> None:
    """Refuse what Pillow would misread: signed bytes, and 16 bits a channel in planes or from white on, of a TIFF."""
    tags = getattr(picture, "tag_v2", {})
    bits, signed, planar = max(tags.get(258, (1,))), 2 in tags.get(339, ()), tags.get(284) == 2
    negative = tags.get(262) == 0
    if (signed and bits == 8) or ((planar or negative) and bits > 8):
        raise ValueError(f"a TIFF of {bits} bits, signed, in planes or from white to black")


def _is_deep_colour(picture: ImageFile.ImageFile) -> bool:
    """Whether the file has 16 bits a channel, of which Pillow will keep the upper 8."""
    if picture.mode.startswith("I") or not picture.tile:
        return False
    codec, _, _, args = picture.tile[0]
    return bool(re.search(";16[BLN]", str(args))) or (codec == "ppm" and isinstance(args, tuple) and int(args[1]) > 255)


def _sixteen_bits(file: Path | BytesIO, upper: Array) -> Array:
    """Return all 16 bits of colours, of which Pillow has decoded the upper 8."""
    if isinstance(file, BytesIO):
        file.seek(0)
    with Image.open(file) as picture:
        codec, _, offset, args = picture.tile[0]
        if codec == "ppm" and isinstance(file, Path):
            return np.fromfile(file, ">u2", offset=offset)
        if args == "LA;16B":  # two numbers of two bytes: as RGBA, all four are kept
            picture.tile = [picture.tile[0]._replace(args="RGBA")]
            return np.asarray(picture).view(">u2")
        picture.tile = [tile._replace(args=_other_byte(tile.args)) for tile in picture.tile]
        deep: Array = upper * np.uint16(256) + np.asarray(picture)
        return deep


def _other_byte(args: Any) -> Any:
    """Have a decoder of 16 bits take the bytes for swapped, so that it keeps the lower one."""
    if isinstance(args, tuple):
        return (_other_byte(args[0]), *args[1:])
    other = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
    return args[:-1] + other[args[-1]]
