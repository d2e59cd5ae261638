"""Crops of one large picture for each domain."""

import math
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
from attrs import frozen
from attrs.validators import ge, le
from torch import Tensor
from torch.nn.functional import interpolate

from ganforge import Drawn, InputError, PictureDataset, Samples, Shape, Split, Stored, as_float, printable
from ganforge_data.decode import open_picture
from ganforge_data.pictures import fit_picture, to_tensor


@frozen(kw_only=True)
class Crops(PictureDataset):
    """Crops of one large picture (A) and of another one (B), made smaller at random (SinCUT, Park et al. 2020).

    A batch's crops are cells of one grid, so that they are different places as long as there are enough; each is
    mirrored half of the time. For tests there are the cells of the picture as it is.

    Attributes:
        a: the picture of domain A.
        b: the picture of domain B.
        size: height and width of a crop.
        zoom: height and width are divided by numbers from 1 to this one, drawn for each batch, and never become smaller
            than a crop.
    """

    a: Path
    b: Path
    size: Annotated[int, ge(8), le(8192)] = 64
    zoom: Annotated[float, ge(1), le(100)] = 3.0

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Crops in colour, alike in both domains."""
        return dict.fromkeys(("A", "B"), (3, self.size, self.size))

    def open(self, split: Split) -> Mapping[str, Samples]:
        """Return the crops of a split."""
        wholes = {"A": self._whole("a", self.a), "B": self._whole("b", self.b)}
        return {domain: self._crops(whole, split) for domain, whole in wholes.items()}

    def read(self, domain: str, path: Path) -> Tensor:
        """Read a picture as a sample, uint8 [3, size, size]: its middle square, made smaller."""
        return to_tensor(fit_picture(open_picture(path)[0], (self.size, self.size), "crop"))

    def draw(self, whole: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Draw crops of a picture, float [count, 3, size, size]."""
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
        """Cut a picture [3, H, W] into the cells of a grid, [N, 3, size, size]."""
        cells = picture[:, top:, left:].unfold(1, self.size, self.size).unfold(2, self.size, self.size)
        return cells.permute(1, 2, 0, 3, 4).flatten(0, 1)

    def _whole(self, key: str, path: Path) -> Tensor:
        """Read a domain's picture, uint8 [3, H, W]."""
        path = Path(os.path.expanduser(path))  # Path.expanduser fails where there is no home
        if not os.path.isfile(path):
            raise InputError(printable(f"no picture '{path}'; set dataset.{key}"), key=key)
        try:
            whole = to_tensor(open_picture(path)[0])
        except InputError as error:
            raise InputError(str(error), key=key) from error
        if min(whole.shape[1:]) < self.size:
            size = f"{whole.shape[2]}x{whole.shape[1]}"
            raise InputError(printable(f"'{path}' is {size}, smaller than crops of {self.size}"), key=key)
        return whole
