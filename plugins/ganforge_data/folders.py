"""Two folders of pictures."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from attrs import field, frozen, validators
from torch import Tensor

from ganforge import InputError, PictureDataset, Samples, Shape, Split, Stored
from ganforge_data.pictures import (
    Fit,
    PictureSize,
    fit_picture,
    list_pictures,
    load_pictures,
    natural,
    open_picture,
    pair,
    to_tensor,
)


@frozen
class Folders(PictureDataset):
    """Any two folders of pictures, with all folders below them.

    Attributes:
        a: folder of domain A.
        b: folder of domain B.
        test_a: folder of test pictures of A; by default a share of `a` is held out.
        test_b: the same for B.
        test_share: share of a folder that is held out where it has no test folder; which files does not depend on their
            order or on other files.
        size: height and width of a sample, one number or [height, width].
        fit: how a picture of another aspect ratio is made to fit: squashed, cropped around its centre, or padded.
        channels: 3 for colour, 1 for grey.
    """

    a: Path
    b: Path
    test_a: Path | None = None
    test_b: Path | None = None
    test_share: float = field(default=0.1, validator=[validators.gt(0), validators.lt(1)])
    size: PictureSize = 64
    fit: Fit = "squash"
    channels: Literal[1, 3] = 3

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Pictures of the size and channels that are set."""
        shape = (self.channels, *pair(self.size))
        return {"A": shape, "B": shape}

    @property
    def paired(self) -> bool:
        """Pictures of A and B have nothing to do with each other."""
        return False

    def open(self, split: Split) -> Mapping[str, Samples]:
        """Return the pictures of a split."""
        return {"A": self._stored(self.a, self.test_a, "a", split), "B": self._stored(self.b, self.test_b, "b", split)}

    def read(self, domain: str, path: Path) -> Tensor:
        """Read one picture; both domains are treated alike."""
        return to_tensor(fit_picture(open_picture(path, self.channels), pair(self.size), self.fit))

    def _stored(self, folder: Path, test_folder: Path | None, key: str, split: Split) -> Stored:
        folder = folder.expanduser()
        if test_folder is not None:
            key, folder = (f"test_{key}", test_folder.expanduser()) if split == "test" else (key, folder)
            paths = list_pictures(folder, key)
        else:
            paths = self._share(folder, list_pictures(folder, key), key, split)
        names = [str(path.relative_to(folder)) for path in paths]
        return Stored(
            len(paths), lambda indices: load_pictures(partial(self.read, key), paths, indices), {"file": names}
        )

    def _share(self, folder: Path, paths: Sequence[Path], key: str, split: Split) -> list[Path]:
        """Hold a share of the files out: those whose names hash lowest."""
        if len(paths) < 2:
            raise InputError(f"'{folder}' holds one picture; training and testing need one each", key=key)
        count = min(math.ceil(len(paths) * self.test_share), len(paths) - 1)
        ranked = sorted(paths, key=lambda path: hashlib.sha256(path.relative_to(folder).as_posix().encode()).digest())
        chosen = ranked[:count] if split == "test" else ranked[count:]
        return sorted(chosen, key=lambda path: natural(path.relative_to(folder).as_posix()))
