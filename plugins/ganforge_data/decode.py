"""Decoding a picture file of any kind into its numbers, with one kind of error whatever the decoder raises."""

import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from ganforge import InputError
from ganforge_data.tiff import (
    MAGIC,
    MAX_PIXELS,
    ORIENTATION,
    Array,
    from_cmyk,
    open_tiff,
    read_tiff,
    require_known_numbers,
    require_size,
)

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}

TURNS: Mapping[int, tuple[Image.Transpose, Callable[[Array], Array]]] = {  # of a picture, and of an array
    2: (Image.Transpose.FLIP_LEFT_RIGHT, lambda array: array[:, ::-1]),
    3: (Image.Transpose.ROTATE_180, lambda array: array[::-1, ::-1]),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, lambda array: array[::-1]),
    5: (Image.Transpose.TRANSPOSE, lambda array: array.swapaxes(0, 1)),
    6: (Image.Transpose.ROTATE_270, lambda array: array.swapaxes(0, 1)[:, ::-1]),
    7: (Image.Transpose.TRANSVERSE, lambda array: array.swapaxes(0, 1)[::-1, ::-1]),
    8: (Image.Transpose.ROTATE_90, lambda array: array.swapaxes(0, 1)[::-1]),
}

PNG = b"\x89PNG\r\n\x1a\n"
EIGHT_BITS = {".bmp", ".gif", ".jpe", ".jpeg", ".jpg", ".jfif", ".webp"}  # files that have no more than 8 bits
# Ancillary chunks of a PNG (with a lower-case first letter) that affect how its pixels are shown.
TELLING = {b"tRNS": b"", b"eXIf": b"", b"iTXt": b"XML:com.adobe.xmp\0\0", b"tEXt": b"Raw profile type exif\0"}
LONGEST = 2**16  # bytes of such a chunk

Decoded = Image.Image | Array


class _Warns(logging.Handler):
    """Turns what a library logs about a picture into a warning."""

    def emit(self, record: logging.LogRecord) -> None:
        warnings.warn(record.getMessage(), stacklevel=2)


for _library in ("PIL", "tifffile"):
    logging.getLogger(_library).addHandler(_Warns(logging.WARNING))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn every error while a picture is read into an InputError that names the file."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"no picture '{path}'") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(
            f"'{path}' has more than {MAX_PIXELS:,} pixels; refused as a possible decompression bomb"
        ) from error
    except Exception as error:  # decoders raise exceptions of any type
        reason = " ".join(re.sub(" at 0x[0-9a-f]+", "", str(error)).split()) or type(error).__name__
        raise InputError(f"'{path}' is not a readable picture: {reason}") from error


def decode(path: Path, channels: int) -> Decoded:
    """Decode a picture, upright; call it inside `naming`, since decoders raise exceptions of any type.

    Args:
        path: any file that Pillow reads, a multi-channel TIFF, or a NumPy array [H, W, C] or [H, W] in .npy.
        channels: the number of channels; only TIFF and NumPy files can have more than four.

    Returns:
        An 8-bit picture in any of Pillow's modes; or an array [H, W, C] with the file's numbers.

    Raises:
        InputError: it is not a file, has no pixels, or is a NumPy array or many-channel TIFF with other channels.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"'{path}' is not a file")  # reading a pipe or device may never end
    if path.suffix.lower() == ".npy":
        array = require_size(np.lib.format.open_memmap(path, mode="r"))  # never unpickles
        decoded: Decoded = _require_channels(np.array(np.atleast_3d(array)), channels, path)
    elif channels not in MODES:
        array, orientation = read_tiff(path, channels)
        decoded = _turned(_require_channels(array, channels, path), orientation)
    else:
        decoded = _open(path, channels)
    width, height = decoded.size if isinstance(decoded, Image.Image) else decoded.shape[1::-1]
    if not (width and height):
        raise InputError(f"'{path}' holds no pixels: it is {width}x{height}")
    return decoded


def is_shallow(path: Path) -> bool:
    """Tell from its name or header whether a file has at most 8 bits; False if these do not say."""
    if path.suffix.lower() in EIGHT_BITS:
        return True
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with path.open("rb") as file:
            start = file.read(25)
        if start.startswith(PNG):
            return start[24] <= 8
        if path.suffix.lower() == ".npy":
            return bool(np.lib.format.open_memmap(path, mode="r").dtype == np.uint8)
        with Image.open(path) as picture:
            require_known_numbers(picture, 3)
            return not (_is_deep_colour(picture) or picture.mode.startswith(("I", "F")))
    return False


def _open(path: Path, channels: int) -> Decoded:
    """Open a picture upright, by other means if Pillow cannot."""
    try:
        return _open_with_pillow(path, channels)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError, FileNotFoundError):
        raise
    except Exception:
        with path.open("rb") as file:
            start = file.read(len(PNG))
        if start == PNG and (plain := _bare(path.read_bytes())):
            return _open_with_pillow(BytesIO(plain), channels)
        if start.startswith(MAGIC):
            return _turned(*open_tiff(path, channels))
        raise


def _open_with_pillow(file: Path | BytesIO, channels: int) -> Decoded:
    with Image.open(file) as picture:
        if picture.width * picture.height > MAX_PIXELS:  # Pillow only warns, and threads cannot turn that into an error
            raise Image.DecompressionBombError
        require_known_numbers(picture, channels)
        if picture.format == "FITS":
            _require_plain_fits(picture)
        _tell_what_is_lost(picture)
        deep = _is_deep_colour(picture)
        kind = _kind_of(picture)
        picture.load()
        orientation = _orientation(picture)
        array: Array | None = None
        if deep:
            array = _sixteen_bits(file, np.asarray(picture))
            array = from_cmyk(array) if picture.mode == "CMYK" else array
        elif picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
            array = np.asarray(picture)[:, :, None].astype(kind)
        if array is not None:
            return _turned(_with_transparency(array, picture.info.get("transparency")), orientation)
        turn = TURNS.get(orientation) if isinstance(orientation, int) else None
        return picture.transpose(turn[0]) if turn else picture


def _kind_of(picture: ImageFile.ImageFile) -> Any:
    """Return the type of a grey file's numbers, which Pillow may give in a larger one or without their sign."""
    tags = getattr(picture, "tag_v2", {})
    if picture.format == "PPM" or picture.mode.startswith("I;16"):
        return np.int16 if picture.format == "FITS" else np.uint16
    return (
        np.int16 if 2 in tags.get(339, ()) and tags[258] == (16,) else np.int32 if picture.mode == "I" else np.float32
    )


def _require_plain_fits(picture: ImageFile.ImageFile) -> None:
    """Raise a ValueError if numbers of a FITS file are scaled, missing, or in several planes, which Pillow ignores."""
    assert picture.fp is not None
    place = picture.fp.tell()
    picture.fp.seek(0)
    header = picture.fp.read(picture.tile[0].offset)
    picture.fp.seek(place)
    cards = {header[start : start + 8].strip().decode("ascii", "replace") for start in range(0, len(header), 80)}
    if found := sorted(cards & {"BZERO", "BSCALE", "BLANK", "NAXIS3"}):
        raise ValueError(f"a FITS file with {', '.join(found)}, which Pillow ignores; convert it to TIFF or .npy")


def _tell_what_is_lost(picture: ImageFile.ImageFile) -> None:
    """Warn of further frames, and of bits that Pillow drops."""
    if picture.format in ("GIF", "PNG", "WEBP", "AVIF") and getattr(picture, "is_animated", False):
        warnings.warn("it is animated; only the first frame is read", stacklevel=3)
    bits = 8
    if picture.format == "JPEG2000" and not picture.mode.startswith("I"):
        assert picture.fp is not None
        place = picture.fp.tell()
        picture.fp.seek(0)
        start = picture.fp.read(LONGEST)
        picture.fp.seek(place)
        size = start.find(b"\xff\x4f\xff\x51")  # of the code stream: its size, then each channel's
        bits = (start[size + 42] & 127) + 1 if 0 <= size < len(start) - 42 else 8
    if picture.tile and picture.tile[0].codec_name == "SGI16":
        bits = 16
    if bits > 8:
        warnings.warn(f"only the upper 8 of its {bits} bits are read; convert it to PNG or TIFF", stacklevel=3)


def _with_transparency(array: Array, clear: object) -> Array:
    """Add an alpha channel to the numbers [H, W, C] of a PNG that declares one colour transparent."""
    if not isinstance(clear, int | tuple):
        return array
    alpha = np.where((array == np.array(clear)).all(2, keepdims=True), 0, np.iinfo(array.dtype).max)
    return np.concatenate([array, alpha.astype(array.dtype)], axis=2)


def _orientation(picture: Image.Image) -> object:
    """Read only the orientation from EXIF or XMP data; the rest may be broken."""
    try:
        return picture.getexif().get(ORIENTATION)
    except Exception as error:
        warnings.warn(f"its EXIF data cannot be read, so it is treated as upright: {error}", stacklevel=2)
        return None


def _turned(array: Array, orientation: object) -> Array:
    """Turn an array [H, W, C] upright; an orientation other than the eight numbers is ignored."""
    turn = TURNS.get(orientation) if isinstance(orientation, int) else None
    return turn[1](array) if turn else array


def _bare(png: bytes) -> bytes | None:
    """Remove PNG chunks that change no pixel, such as text, which may be broken or a bomb; None if there are none."""
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


def _require_channels(array: Array, channels: int, path: Path) -> Array:
    if array.shape[2] != channels:
        raise InputError(
            f"'{path}' has {array.shape[2]} channels, expected {channels}; set dataset.channels = {array.shape[2]}",
            key="channels",
        )
    return array


def _is_deep_colour(picture: ImageFile.ImageFile) -> bool:
    """Whether the file has 16 bits per channel, which Pillow would reduce to the upper 8 or rescale."""
    if not picture.tile:
        return False
    codec, _, _, args = picture.tile[0]
    colour = not picture.mode.startswith("I") and bool(re.search(";16[BLN]", str(args)))
    return colour or (codec == "ppm" and isinstance(args, tuple) and int(args[1]) > 255)


def _sixteen_bits(file: Path | BytesIO, upper: Array) -> Array:
    """Return all 16 bits [H, W, C] of a picture of which Pillow has decoded the upper 8."""
    height, width = upper.shape[:2]
    if isinstance(file, BytesIO):
        file.seek(0)
    with Image.open(file) as picture:
        codec, _, offset, args = picture.tile[0]
        if codec == "ppm" and isinstance(file, Path):
            numbers = np.fromfile(file, ">u2", count=upper.size, offset=offset)
            return numbers.astype(np.uint16).reshape(height, width, -1)
        if args == "LA;16B":  # two numbers of two bytes: as RGBA, all four are kept
            picture.tile = [picture.tile[0]._replace(args="RGBA")]
            return np.array(picture).view(">u2").astype(np.uint16)
        picture.tile = [tile._replace(args=_other_byte(tile.args)) for tile in picture.tile]
        deep: Array = upper * np.uint16(256) + np.asarray(picture)
        return deep


def _other_byte(args: Any) -> Any:
    """Make a 16-bit decoder swap the bytes, so that it keeps the lower one."""
    if isinstance(args, tuple):
        return (_other_byte(args[0]), *args[1:])
    other = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
    return args[:-1] + other[args[-1]]
