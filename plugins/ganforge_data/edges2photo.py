"""Pictures that hold a pair side by side, edges left and photo right, as in the archives of pix2pix."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

from attrs import frozen
from attrs.validators import ge
from PIL import Image, ImageFilter
from torch import Tensor

from ganforge import InputError, PictureDataset, Samples, Shape, Split, Stored
from ganforge_data.pictures import PictureSize, fit_picture, list_pictures, load_pictures, open_picture, pair, to_tensor


@frozen
class Edges2Photo(PictureDataset):
    """Edges (A) and photos (B) from side-by-side pairs, without ever training on a pair.

    A is the left half of the first half of the files in `train/`, B the right half of the others; the test split is
    `val/` (or `test/`), whose pairs stay together.

    Attributes:
        root: folder that holds `train/` and `val/`, as the archive unpacks.
        size: height and width of a sample, one number or [height, width].
        thicken: how often the edges are dilated by 3x3 before they are resized, since half of the lines of one pixel
            would vanish; 0 leaves them.
    """

    root: Path
    size: PictureSize = 64
    thicken: Annotated[int, ge(0)] = 1

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """RGB pictures of the size that is set."""
        return {"A": (3, *pair(self.size)), "B": (3, *pair(self.size))}

    @property
    def paired(self) -> bool:
        """Pairs are torn apart for training."""
        return False

    def open(self, split: Split) -> Mapping[str, Samples]:
        """Return the halves of the files."""
        paths = self._files(split)
        if split == "train":
            if len(paths) < 2:
                raise InputError(f"'{self.root / 'train'}' holds one picture; A and B need one each", key="root")
            middle = len(paths) // 2
            return {"A": self._stored("A", paths[:middle]), "B": self._stored("B", paths[middle:])}
        return {"A": self._stored("A", paths), "B": self._stored("B", paths)}

    def read(self, domain: str, path: Path) -> Tensor:
        """Read a single picture (not a pair) as edges or as a photo."""
        return self._prepare(domain, open_picture(path))

    def _files(self, split: Split) -> list[Path]:
        root = self.root.expanduser()
        if not root.is_dir():
            raise InputError(f"no folder '{root}'; unpack the data set there, or set dataset.root", key="root")
        folder = root / split
        if split == "test" and not folder.is_dir():
            folder = root / "val"
        if not folder.is_dir():
            inner = [path.name for path in root.iterdir() if (path / "train").is_dir()]
            hint = f"; did you mean '{root / inner[0]}'?" if inner else ""
            raise InputError(f"'{root}' holds no folder '{folder.name}'{hint}", key="root")
        return list_pictures(folder, "root")

    def _stored(self, domain: str, paths: Sequence[Path]) -> Stored:
        read = partial(self._read_half, domain)
        return Stored(
            len(paths), lambda indices: load_pictures(read, paths, indices), {"file": [path.name for path in paths]}
        )

    def _read_half(self, domain: str, path: Path) -> Tensor:
        both = open_picture(path)
        width, height = both.size
        if width % 2:
            raise InputError(f"'{path}' is {width} pixels wide and cannot be halved into edges and photo", key="root")
        middle = width // 2
        half = both.crop((0, 0, middle, height) if domain == "A" else (middle, 0, width, height))
        return self._prepare(domain, half)

    def _prepare(self, domain: str, picture: Image.Image) -> Tensor:
        if domain == "A":
            for _ in range(self.thicken):
                picture = picture.filter(ImageFilter.MinFilter(3))  # edges are dark: the darkest neighbour wins
        return to_tensor(fit_picture(picture, pair(self.size)))
