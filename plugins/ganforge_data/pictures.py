"""The base of all data sets of pictures: common settings, and resizing."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import PIL
from attrs import evolve, field, frozen, validators
from PIL import Image, ImageColor, ImageOps

from ganforge import (
    TABLES,
    Crop,
    Decided,
    Depth,
    InputError,
    OnBroken,
    Picture,
    PictureDataset,
    Prepared,
    Report,
    Samples,
    Shape,
    Split,
    Stored,
    kin_of,
)
from ganforge_data.decode import MODES
from ganforge_data.opened import Opened, open_picture, to_tensor
from ganforge_data.ranges import AUTO, Apart, Range, depths_of, of_domains, shapes_of
from ganforge_data.scan import decide

if TYPE_CHECKING:
    from torch import Tensor

Fit = Literal["squash", "crop", "pad"]
Size = int | tuple[int, int]


def _positive(_: object, attribute: Any, size: Size) -> None:
    """1 to 8192, or [height, width] of these."""
    if not all(1 <= side <= 8192 for side in pair(size)):
        raise ValueError(f"{attribute.name} must lie in 1..8192")


def _colour(_: object, attribute: Any, name: str) -> None:
    """A colour, such as "white" or "#808080"."""
    if len(ImageColor.getrgb(name)) != 3:
        raise ValueError(f"{attribute.name} must be a colour without transparency")


def _covering(dataset: Any, attribute: Any, load: Size | None) -> None:
    """1 to 8192, or [height, width] of these, and no smaller than `size`."""
    if load is None:
        return
    _positive(dataset, attribute, load)
    size = pair(dataset.size)
    if any(whole < side for whole, side in zip(pair(load), size, strict=True)):
        raise InputError(
            f"{list(pair(load))} is smaller than the size {list(size)}, to which it is cropped", key="load"
        )


PictureSize = Annotated[Size, _positive]


def several(_: object, attribute: Any, domains: Collection[str] | None) -> None:
    """Two or more domains, with different names without a dot."""
    if domains is None:
        return
    if not 2 <= len(set(domains)) == len(domains) or not all(name and "." not in name for name in domains):
        raise ValueError(f"{attribute.name} must be two or more different names without a dot")


def pair(size: Size) -> tuple[int, int]:
    """Return (height, width) of a size setting; one number means a square."""
    return (size, size) if isinstance(size, int) else size


@frozen(kw_only=True)
class Pictures(PictureDataset):
    """The settings of every data set of pictures.

    Attributes:
        size: height and width of a sample, one number or [height, width].
        load: height and width to which training pictures are resized before they are cropped to `size`; by default
            `size`, to which test pictures are always resized.
        crop: where they are cropped: at a random place in each step, or always in the middle.
        fit: how a picture of another aspect ratio is fitted: squashed, cropped around its centre, or padded.
        channels: 3 for colour, 1 for grey; 2 and 4 keep transparency as a channel; any other number must be that of the
            files: TIFF, or NumPy arrays [H, W, C] in .npy.
        background: colour under transparent pictures, and of padding.
        on_broken: `stop` refuses a data set with a broken picture, `skip` leaves the picture out and counts it.
    """

    size: PictureSize = 64
    load: Size | None = field(default=None, validator=_covering)
    crop: Crop = "random"
    fit: Fit = "squash"
    channels: int = field(default=3, validator=[validators.ge(1), validators.le(64)])
    background: str = field(default="white", validator=_colour)
    on_broken: OnBroken = "stop"

    @property
    def domain_names(self) -> Sequence[str]:
        """The domains: A and B by default."""
        return ("A", "B")

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Pictures of the given size and channels, the same in all domains."""
        return dict.fromkeys(self.domain_names, (self.channels, *pair(self.size)))

    def open(self, split: Split) -> Mapping[str, Samples]:
        """Return the pictures of a split; training pictures that are to be cropped are larger."""
        if self.load is None or split == "test":
            return self.samples(split)
        larger = evolve(self, size=self.load, load=None)
        made = larger.samples(split).items()
        return {domain: evolve(samples, shape=larger.shapes[domain], crop=self.crop) for domain, samples in made}

    def held(self, kin: Collection[Any]) -> Mapping[str, Samples] | None:
        """Return held-out training pictures in the form of test pictures: whole, not cropped."""
        if self.load is None:
            return None
        made = self.samples("train")
        places = {domain: enumerate(names) for domain, names in kin_of(self, made).items()}
        return {
            domain: samples.chosen([place for place, name in places[domain] if name in kin])
            for domain, samples in made.items()
        }

    @abstractmethod
    def samples(self, split: Split) -> Mapping[str, Prepared]:
        """Return the pictures of each domain, all of the given size.

        Raises:
            InputError: as for `open`.
        """

    def opened(self, domain: str, path: Path) -> Opened:
        """Open a picture file at its own size, with its domain's channels and depth: see `open_picture`."""
        return open_picture(path, self.shapes[domain][0], self.background, self.depths[domain])

    def read(self, domain: str, path: Path) -> Tensor:
        """Read one picture as a sample, [C, H, W]."""
        return self.fitted(domain, self.opened(domain, path))

    def picture(self, domain: str, path: Path) -> Picture:
        """Read one picture at its own size."""
        return self.opened(domain, path).picture

    def fitted(self, domain: str, opened: Opened) -> Tensor:
        """Resize a picture to the given size, [C, H, W] in the type of the domain's samples."""
        return fit_opened(opened, self.shapes[domain], self.depths[domain], self.fit, self.background)

    def prepared(
        self,
        domain: str,
        make: Callable[[Any], Tensor],
        items: Sequence[Any],
        labels: Mapping[str, Sequence[Any]],
        *more: object,
        left_out: str = "",
    ) -> Prepared:
        """Return samples for the cache to make.

        Args:
            domain: the domain of the samples.
            make: makes the sample of an item.
            items: files, or other items that samples are made from.
            labels: labels of each item.
            more: what the samples depend on besides the settings of this class.
            left_out: what was found besides items.
        """
        shape, depth = self.shapes[domain], self.depths[domain]
        settings = (PIL.__version__, shape, self.fit, depth, self.background, *more)
        dtype = dtype_of(depth)
        return Prepared(items, make, repr(settings), labels, self.on_broken, left_out, dtype=dtype)


@frozen(kw_only=True)
class PictureFiles(Pictures):
    """The settings of every data set of picture files; `[dataset.A]` overrides some of them for a domain.

    Attributes:
        range: the numbers for black and white in the files, [low, high]; `auto` decides them once from all files: all 8
            bits, as many bits as the largest number needs, or the smallest and the largest number.
        apart: the tables `[dataset.A]` and so on, each with its own `channels`, `range` and `kind` of numbers.
    """

    range: Range = AUTO
    apart: dict[str, Apart] = field(factory=dict, validator=of_domains, metadata={TABLES: True})

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Pictures of the given size, with the channels of their domain."""
        return shapes_of(self, pair(self.size))

    @property
    def depths(self) -> Mapping[str, Depth]:
        """The meaning of the numbers in the files of each domain."""
        return depths_of(self)

    def decide(self, ready: Callable[..., Stored] | None, report: Report) -> Decided:
        """Decide from the files which numbers are black and white."""

        def files() -> dict[str, list[Path]]:
            train, test = self.samples("train"), self.samples("test")
            return {domain: [*train[domain].items, *test[domain].items] for domain in self.domain_names}

        return decide(self, files, ready, report)


def dtype_of(depth: Depth) -> Literal["uint8", "uint16", "float32"]:
    """Return the type in which samples of a depth are stored: the smallest without visible loss.

    >>> dtype_of(Depth()), dtype_of(Depth("int16", -1000, 3000)), dtype_of(Depth("float32", 0, 1))
    ('uint8', 'uint16', 'float32')
    """
    if depth == Depth():
        return "uint8"
    return "uint16" if depth.kind in ("uint8", "uint16", "int16") else "float32"


def as_stored(pixels: Tensor, dtype: Literal["uint8", "uint16", "float32"]) -> Tensor:
    """Convert float pixels in [0, 1] to stored samples; `as_float` is the inverse."""
    if dtype == "float32":
        return pixels
    import torch

    return pixels.mul(255 if dtype == "uint8" else 65535).round().to(getattr(torch, dtype))


def fit_opened(opened: Opened, shape: Shape, depth: Depth, fit: Fit, background: str = "white") -> Tensor:
    """Make a sample from a picture: resized, and in the type of the depth's samples.

    If both have plain 8 bits, Pillow resizes the bytes; otherwise the pixels are resized as floats.
    """
    import torch

    channels, height, width = shape
    plain = opened.depth == depth == Depth()
    bands = opened.bands if plain else [Image.fromarray(band.numpy()) for band in opened.picture.pixels]
    grounds: Sequence[str | float] = [background]
    if len(bands) > 1 or not plain:
        levels = ImageColor.getcolor(background, MODES.get(channels, "L"))
        whole = levels if isinstance(levels, tuple) else [levels] * len(bands)
        grounds = whole if plain else [level / 255 for level in whole]
    fitted = [fit_picture(band, (height, width), fit, to) for band, to in zip(bands, grounds, strict=True)]
    sample = torch.cat([to_tensor(picture) for picture in fitted])
    return sample if plain else as_stored(sample, dtype_of(depth))


def fit_picture(
    picture: Image.Image, size: tuple[int, int], fit: Fit = "squash", background: str | float = "white"
) -> Image.Image:
    """Resize to (height, width), with antialiasing: squashed, cropped around the centre, or padded."""
    target = (size[1], size[0])
    if picture.size == target:
        return picture
    scales = [new / old for new, old in zip(target, picture.size, strict=True)]
    narrow = min(picture.size) * min(scales)
    if narrow < 1:
        side = "high" if scales[0] < scales[1] else "wide"
        warnings.warn(
            f"it is {picture.width}x{picture.height}: only {narrow:.1g} pixels {side} in {target[0]}x{target[1]} "
            f"if its proportions were kept (dataset.fit is '{fit}')",
            stacklevel=2,
        )
    if fit == "crop":
        return ImageOps.fit(picture, target, Image.Resampling.BILINEAR)
    if fit == "pad":
        if narrow < 1:  # it would be only padding
            inner = [max(1, round(side * min(scales))) for side in picture.size]
            picture = picture.resize((inner[0], inner[1]), Image.Resampling.BILINEAR)
        return ImageOps.pad(picture, target, Image.Resampling.BILINEAR, color=background)  # type: ignore[arg-type]  # a float, too
    return picture.resize(target, Image.Resampling.BILINEAR)
