"""What all data sets of pictures share: their settings, and making pictures fit."""

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
    """Two domains or more, of different names without a dot."""
    if domains is None:
        return
    if not 2 <= len(set(domains)) == len(domains) or not all(name and "." not in name for name in domains):
        raise ValueError(f"{attribute.name} must be two or more, of different names without a dot")


def pair(size: Size) -> tuple[int, int]:
    """Return (height, width) of a size setting; one number means a square."""
    return (size, size) if isinstance(size, int) else size


@frozen(kw_only=True)
class Pictures(PictureDataset):
    """What is set for every data set of pictures.

    Attributes:
        size: height and width of a sample, one number or [height, width].
        load: height and width at which training pictures are made, to be cropped to `size`; by default they are made at
            `size` as test pictures always are.
        crop: where they are cropped: elsewhere in every step, at random, or in the middle always.
        fit: how a picture of another aspect ratio is made to fit: squashed, cropped around its centre, or padded.
        channels: 3 for colour, 1 for grey; 2 and 4 keep transparency as a channel; any other number takes files of just
            so many channels: TIFF, or NumPy arrays [H, W, C] in .npy.
        background: colour under transparent pictures, and of padding.
        on_broken: `stop` refuses a data set with a broken picture in it, `skip` leaves it out and counts it.
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
        """The domains, A and B unless a data set says otherwise."""
        return ("A", "B")

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Pictures of the size and channels that are set, alike in all domains."""
        return dict.fromkeys(self.domain_names, (self.channels, *pair(self.size)))

    def open(self, split: Split) -> Mapping[str, Samples]:
        """Return the pictures of a split: those that training crops are larger."""
        if self.load is None or split == "test":
            return self.samples(split)
        larger = evolve(self, size=self.load, load=None)
        made = larger.samples(split).items()
        return {domain: evolve(samples, shape=larger.shapes[domain], crop=self.crop) for domain, samples in made}

    def held(self, kin: Collection[Any]) -> Mapping[str, Samples] | None:
        """Return training pictures that are set aside as test pictures are: whole, where training crops larger ones."""
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
        """Return the pictures of each domain, all of the size that is set.

        Raises:
            InputError: as of `open`.
        """

    def opened(self, domain: str, path: Path) -> Opened:
        """Open a picture file as pictures of a domain are seen, at its own size: see `open_picture`."""
        return open_picture(path, self.shapes[domain][0], self.background, self.depths[domain])

    def read(self, domain: str, path: Path) -> Tensor:
        """Read one picture as a sample, [C, H, W]."""
        return self.fitted(domain, self.opened(domain, path))

    def picture(self, domain: str, path: Path) -> Picture:
        """Read one picture at its own size."""
        return self.opened(domain, path).picture

    def fitted(self, domain: str, opened: Opened) -> Tensor:
        """Resize a picture to the size that is set, [C, H, W] of the type that the domain's samples have."""
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
        """Return samples that the cache makes.

        Args:
            domain: whose samples they are.
            make: makes the sample of an item.
            items: files, or what samples are made of otherwise.
            labels: of each item.
            more: what the samples depend on besides the settings of this class.
            left_out: what was found and is no item.
        """
        shape, depth = self.shapes[domain], self.depths[domain]
        settings = (PIL.__version__, shape, self.fit, depth, self.background, *more)
        dtype = dtype_of(depth)
        return Prepared(items, make, repr(settings), labels, self.on_broken, left_out, dtype=dtype)


@frozen(kw_only=True)
class PictureFiles(Pictures):
    """What is set for every data set of picture files; `[dataset.A]` gives what is another one in a domain.

    Attributes:
        range: which numbers of the files are black and white, [low, high]; `auto` decides it once from all files: all 8
            bits, or as many bits as the largest number needs, or the least and the largest number.
        apart: the tables `[dataset.A]` and so on, each with its own `channels`, `range` and `kind` of the numbers.
    """

    range: Range = AUTO
    apart: dict[str, Apart] = field(factory=dict, validator=of_domains, metadata={TABLES: True})

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Pictures of the size that is set, with the channels of their domain."""
        return shapes_of(self, pair(self.size))

    @property
    def depths(self) -> Mapping[str, Depth]:
        """What the numbers in the files of each domain mean."""
        return depths_of(self)

    def decide(self, ready: Callable[..., Stored] | None, report: Report) -> Decided:
        """Decide from the files which of their numbers are black and white."""

        def files() -> dict[str, list[Path]]:
            train, test = self.samples("train"), self.samples("test")
            return {domain: [*train[domain].items, *test[domain].items] for domain in self.domain_names}

        return decide(self, files, ready, report)


def dtype_of(depth: Depth) -> Literal["uint8", "uint16", "float32"]:
    """Return the type in which samples of a depth are kept: the smallest that loses nothing that can be seen.

    >>> dtype_of(Depth()), dtype_of(Depth("int16", -1000, 3000)), dtype_of(Depth("float32", 0, 1))
    ('uint8', 'uint16', 'float32')
    """
    if depth == Depth():
        return "uint8"
    return "uint16" if depth.kind in ("uint8", "uint16", "int16") else "float32"


def as_stored(pixels: Tensor, dtype: Literal["uint8", "uint16", "float32"]) -> Tensor:
    """Turn float pixels in [0, 1] into samples of a type, of which `as_float` makes such pixels again."""
    if dtype == "float32":
        return pixels
    import torch

    return pixels.mul(255 if dtype == "uint8" else 65535).round().to(getattr(torch, dtype))


def fit_opened(opened: Opened, shape: Shape, depth: Depth, fit: Fit, background: str = "white") -> Tensor:
    """Make a sample of a picture: resized, and of the type that samples of a depth have.

    Where picture and samples have plain 8 bits, Pillow resizes these; else the pixels as floats.
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
        if narrow < 1:  # which would be padding alone
            inner = [max(1, round(side * min(scales))) for side in picture.size]
            picture = picture.resize((inner[0], inner[1]), Image.Resampling.BILINEAR)
        return ImageOps.pad(picture, target, Image.Resampling.BILINEAR, color=background)  # type: ignore[arg-type]  # a float, too
    return picture.resize(target, Image.Resampling.BILINEAR)
