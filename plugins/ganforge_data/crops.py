"""Crops of one large picture for each domain."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from attrs import field, frozen
from attrs.validators import ge, le

from ganforge import (
    TABLES,
    Decided,
    Depth,
    Drawn,
    InputError,
    Picture,
    PictureDataset,
    Report,
    Samples,
    Shape,
    Split,
    Stored,
    as_float,
    printable,
)
from ganforge_data.opened import Opened, open_picture
from ganforge_data.pictures import fit_opened
from ganforge_data.ranges import AUTO, Apart, Range, depths_of, of_domains, shapes_of
from ganforge_data.scan import decide

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@frozen(kw_only=True)
class Crops(PictureDataset):
    """Crops of one large picture (A) and of another one (B), at random scales (SinCUT, Park et al. 2020).

    A batch's crops are cells of one grid, so they show different places as long as there are enough cells; each is
    mirrored with probability 1/2. The test split has the cells of the unscaled picture.

    Attributes:
        a: the picture of domain A.
        b: the picture of domain B.
        size: height and width of a crop.
        zoom: height and width are divided by factors from 1 to this one, drawn for each batch, and never become smaller
            than a crop.
        channels: 3 for colour, 1 for grey; any other number must be that of the pictures.
        range: the numbers for black and white in the files, [low, high]; `auto` decides them from the pictures.
        apart: the tables `[dataset.A]` and so on, each with its own `channels`, `range` and `kind` of numbers.
    """

    a: Path
    b: Path
    size: Annotated[int, ge(8), le(8192)] = 64
    zoom: Annotated[float, ge(1), le(100)] = 3.0
    channels: Annotated[int, ge(1), le(64)] = 3
    range: Range = AUTO
    apart: dict[str, Apart] = field(factory=dict, validator=of_domains, metadata={TABLES: True})

    domain_names = ("A", "B")

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Crops with the channels of their domain."""
        return shapes_of(self, (self.size, self.size))

    @property
    def depths(self) -> Mapping[str, Depth]:
        """The meaning of the numbers in each domain's picture."""
        return depths_of(self)

    def decide(self, ready: Callable[..., Stored] | None, report: Report) -> Decided:
        """Decide from the pictures which numbers are black and white."""
        return decide(self, lambda: {domain: [self._file(domain)] for domain in self.domain_names}, ready, report)

    def open(self, split: Split) -> Mapping[str, Samples]:
        """Return the crops of a split."""
        return {domain: self._crops(self._whole(domain), split) for domain in self.domain_names}

    def read(self, domain: str, path: Path) -> Tensor:
        """Read a picture as a sample, [C, size, size]: its central square, resized."""
        return fit_opened(self._opened(domain, path), self.shapes[domain], self.depths[domain], "crop")

    def picture(self, domain: str, path: Path) -> Picture:
        """Read a picture at its own size."""
        return self._opened(domain, path).picture

    def draw(self, whole: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Draw crops of a picture, float [count, C, size, size]."""
        import torch
        from torch.nn.functional import interpolate

        least = 1 / self.zoom
        scales = (least + (1 - least) * torch.rand(2, generator=generator)).tolist()
        height, width = (max(self.size, round(side * s)) for side, s in zip(whole.shape[1:], scales, strict=True))
        zoomed = interpolate(as_float(whole)[None], (height, width), mode="bilinear", antialias=True)[0]
        cells = self._cells(
            zoomed, *(int(torch.randint(side % self.size + 1, (), generator=generator)) for side in (height, width))
        )
        chosen = torch.randperm(len(cells), generator=generator).repeat(math.ceil(count / len(cells)))[:count]
        mirrored = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
        return torch.where(mirrored, cells[chosen].flip(3), cells[chosen])

    def _crops(self, whole: Tensor, split: Split) -> Samples:
        if split == "train":
            return Drawn(partial(self.draw, whole))
        cells = self._cells(whole, 0, 0)
        return Stored(len(cells), lambda indices: cells[list(indices)])

    def _cells(self, picture: Tensor, top: int, left: int) -> Tensor:
        """Cut a picture [C, H, W] into the cells of a grid, [N, C, size, size]."""
        cells = picture[:, top:, left:].unfold(1, self.size, self.size).unfold(2, self.size, self.size)
        return cells.permute(1, 2, 0, 3, 4).flatten(0, 1)

    def _opened(self, domain: str, path: Path) -> Opened:
        return open_picture(path, self.shapes[domain][0], depth=self.depths[domain])

    def _file(self, domain: str) -> Path:
        """Return a domain's file, which must exist."""
        key = domain.lower()
        path = Path(os.path.expanduser(getattr(self, key)))  # Path.expanduser fails without a home folder
        if not os.path.isfile(path):
            raise InputError(printable(f"no picture '{path}'; set dataset.{key}"), key=key)
        return path

    def _whole(self, domain: str) -> Tensor:
        """Read a domain's picture, [C, H, W], in the type of its samples."""
        key, path = domain.lower(), self._file(domain)
        try:
            opened = self._opened(domain, path)
        except InputError as error:
            raise InputError(str(error), key=key) from error
        width, height = opened.bands[0].size
        if min(width, height) < self.size:
            message = f"'{path}' is {width}x{height}, smaller than crops of {self.size}"
            raise InputError(printable(message), key=key)
        return fit_opened(opened, (self.shapes[domain][0], height, width), self.depths[domain], "crop")
