"""What all data sets of pictures share: their settings, and reading pictures of any kind as uint8 tensors."""

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import PIL
import torch
from attrs import field, frozen, validators
from PIL import Image, ImageColor, ImageOps
from torch import Tensor

from ganforge import Found, InputError, OnBroken, PictureDataset, Prepared, Shape, find_pictures, printable
from ganforge_data.archives import way_to

MAX_PIXELS = 178_956_970  # where Pillow begins to suspect a decompression bomb
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}

Fit = Literal["squash", "crop", "pad"]
Size = int | tuple[int, int]
Array = np.ndarray[Any, Any]


def _positive(_: object, attribute: Any, size: Size) -> None:
    """1 to 8192, or [height, width] of these."""
    if not all(1 <= side <= 8192 for side in pair(size)):
        raise ValueError(f"{attribute.name} must lie in 1..8192")


def _colour(_: object, attribute: Any, name: str) -> None:
    """A colour, such as "white" or "#808080"."""
    if len(ImageColor.getrgb(name)) != 3:
        raise ValueError(f"{attribute.name} must be a colour without transparency")


PictureSize = Annotated[Size, _positive]


def pair(size: Size) -> tuple[int, int]:
    """Return (height, width) of a size setting; one number means a square."""
    return (size, size) if isinstance(size, int) else size


@frozen(kw_only=True)
class Pictures(PictureDataset):
    """What is set for every data set of pictures.

    Attributes:
        size: height and width of a sample, one number or [height, width].
        fit: how a picture of another aspect ratio is made to fit: squashed, cropped around its centre, or padded.
        channels: 3 for colour, 1 for grey; 2 and 4 keep transparency as a channel; any other number takes files of just
            so many channels: TIFF, or NumPy arrays [H, W, C] in .npy.
        background: colour under transparent pictures, and of padding.
        on_broken: `stop` refuses a data set with a broken picture in it, `skip` leaves it out and counts it.
    """

    size: PictureSize = 64
    fit: Fit = "squash"
    channels: int = field(default=3, validator=[validators.ge(1), validators.le(64)])
    background: str = field(default="white", validator=_colour)
    on_broken: OnBroken = "stop"

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Pictures of the size and channels that are set, alike in both domains."""
        shape = (self.channels, *pair(self.size))
        return {"A": shape, "B": shape}

    def fitted(self, bands: Sequence[Image.Image]) -> Tensor:
        """Resize a picture to the size that is set, uint8 [C, H, W]."""
        grounds: Sequence[str | int] = [self.background]
        if len(bands) > 1:
            levels = ImageColor.getcolor(self.background, MODES.get(self.channels, "L"))
            grounds = levels if isinstance(levels, tuple) else [levels] * len(bands)
        fitted = [fit_picture(band, pair(self.size), self.fit, to) for band, to in zip(bands, grounds, strict=True)]
        return torch.cat([to_tensor(picture) for picture in fitted])

    def prepared(
        self,
        make: Callable[[Any], Tensor],
        items: Sequence[Any],
        labels: Mapping[str, Sequence[Any]],
        *more: object,
        left_out: str = "",
    ) -> Prepared:
        """Return samples that the cache makes.

        Args:
            make: makes the sample of an item.
            items: files, or what samples are made of otherwise.
            labels: of each item.
            more: what the samples depend on besides the settings of this class.
            left_out: what was found and is no item.
        """
        settings = (PIL.__version__, pair(self.size), self.fit, self.channels, self.background, *more)
        return Prepared(items, make, repr(settings), labels, self.on_broken, left_out)


@frozen(kw_only=True)
class AlikePictures(Pictures):
    """Pictures that are read alike for both domains."""

    def read(self, domain: str, path: Path) -> Tensor:
        """Read one picture as a sample, uint8 [C, H, W]."""
        return self.fitted(open_picture(path, self.channels, self.background))


def open_picture(path: Path, channels: int = 3, background: str = "white") -> list[Image.Image]:
    """Open a picture upright in 8 bits a channel.

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
    if path.exists() and not path.is_file():
        raise InputError(f"'{path}' is no file")  # a pipe or a device would never end
    try:
        if path.suffix.lower() == ".npy":
            return _bands(_require_size(np.lib.format.open_memmap(path, mode="r")), channels, path)  # reads no pickle
        if channels not in MODES:
            return _bands(_read_tiff(path), channels, path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                picture.load()
                ImageOps.exif_transpose(picture, in_place=True)
                upright = _eight_bit(picture)
    except FileNotFoundError as error:
        raise InputError(f"no picture '{path}'") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(
            f"'{path}' has more than {MAX_PIXELS:,} pixels; refused as a possible decompression bomb"
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError) as error:
        raise InputError(f"'{path}' is not a readable picture: {error}") from error
    if channels in (2, 4):
        return list(upright.convert(MODES[channels]).split())
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, background), upright)
    return [upright if upright.mode == MODES[channels] else upright.convert(MODES[channels])]


def _read_tiff(path: Path) -> Array:
    """Read a TIFF of any number of channels, interleaved, planar or page by page, as [H, W, C]."""
    import tifffile  # a fifth of a second that few need

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        _require_size(np.broadcast_to(np.zeros((), series.dtype), series.shape))
        array: Array = series.asarray()
    return np.moveaxis(array, 0, -1) if series.axes.endswith("YX") and array.ndim == 3 else array


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


def scale_to_eight_bits(values: Array) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Bring numbers of any kind to 0..255 by scaling: 16 bits by 257, floats up to 1 by 255."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "f":
        floats = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
        scale = 255 if floats.max(initial=0) <= 1 else 1
        return (floats * scale).round().clip(0, 255).astype(np.uint8)
    whole = values.astype(np.int64).clip(0, 65535)
    if values.dtype.itemsize == 2 or whole.max(initial=0) > 255:
        whole = (whole + 128) // 257
    return whole.astype(np.uint8)


def _eight_bit(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        values = np.asarray(picture)
        if picture.mode.startswith("I;16"):
            values = values.astype(np.uint16)
        return Image.fromarray(scale_to_eight_bits(values))
    return picture


def fit_picture(
    picture: Image.Image, size: tuple[int, int], fit: Fit = "squash", background: str | int = "white"
) -> Image.Image:
    """Resize to (height, width), with antialiasing: squashed, cropped around the centre, or padded."""
    target = (size[1], size[0])
    if picture.size == target:
        return picture
    if fit == "crop":
        return ImageOps.fit(picture, target, Image.Resampling.BILINEAR)
    if fit == "pad":
        return ImageOps.pad(picture, target, Image.Resampling.BILINEAR, color=background)
    return picture.resize(target, Image.Resampling.BILINEAR)


def to_tensor(picture: Image.Image) -> Tensor:
    """Return an 8-bit grey or RGB picture as uint8 [C, H, W]."""
    array = np.array(picture)
    return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1).copy())


def require_folder(folder: Path, key: str) -> Path:
    """Return the folder with `~` expanded.

    Raises:
        InputError: there is no such folder; `key` is the setting that named it.
    """
    folder = Path(os.path.expanduser(folder))  # Path.expanduser fails where there is no home
    if os.path.isdir(folder):
        return folder
    beside: list[str] = []
    with suppress(OSError):
        beside = sorted(os.listdir(folder.parent))
    hint = f" (there are: {', '.join(beside[:5])})" if beside else ""
    raise InputError(printable(f"no folder '{folder}'{hint}; {way_to(folder)}, or set dataset.{key}"), key=key)


def list_pictures(folder: Path, key: str) -> Found:
    """List the pictures in a folder and all folders below it, as `find_pictures` does.

    Raises:
        InputError: there is no such folder, or no picture in it; `key` is the setting that named it.
    """
    folder = require_folder(folder, key)
    try:
        found = find_pictures(folder)
    except InputError as error:
        raise InputError(str(error), key=key) from error
    if not found.files:
        besides = f", only {found.left_out}" if found.left_out else ""
        raise InputError(printable(f"no picture in '{folder}'{besides}; set dataset.{key}"), key=key)
    return found


def names_of(paths: Iterable[Path], folder: Path) -> list[str]:
    """Return the paths relative to the folder they were found in, with slashes."""
    return [path.relative_to(folder).as_posix() for path in paths]
