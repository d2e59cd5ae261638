"""Two folders of pictures."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from attrs import field, frozen, validators

from ganforge import InputError, Prepared, Split
from ganforge_data.listing import hold_out, list_pictures, names_of, require_folder
from ganforge_data.pictures import AlikePictures


@frozen(kw_only=True)
class Folders(AlikePictures):
    """Any two folders of pictures, with all folders below them.

    Attributes:
        a: folder of domain A.
        b: folder of domain B.
        root: instead of these, a folder that holds `trainA/` and `trainB/`, and `testA/` and `testB/` if there are any.
        test_a: folder of test pictures of A; by default a share of `a` is held out.
        test_b: the same for B.
        test_share: share of a folder that is held out where it has no test folder; which files does not depend on their
            order or on other files.
    """

    a: Path | None = None
    b: Path | None = None
    root: Path | None = None
    test_a: Path | None = None
    test_b: Path | None = None
    test_share: float = field(default=0.1, validator=[validators.gt(0), validators.lt(1)])

    def __attrs_post_init__(self) -> None:
        if (self.root is None) == (self.a is None and self.b is None):
            raise InputError("needs the folders `a` and `b`, or a `root` that holds trainA/ and trainB/", key="a")
        if self.root is None and (self.a is None or self.b is None):
            raise InputError("needs a folder for each domain", key="a" if self.a is None else "b")
        if self.root is not None and (self.test_a or self.test_b):
            raise InputError("a `root` has its own testA/ and testB/", key="test_a" if self.test_a else "test_b")

    def samples(self, split: Split) -> Mapping[str, Prepared]:
        """Return the pictures of a split."""
        return {"A": self._pictures("a", split), "B": self._pictures("b", split)}

    def _pictures(self, side: str, split: Split) -> Prepared:
        train, test, key = self._places(side)
        if test is None:
            folder = require_folder(train, key)
            found = list_pictures(folder, key)
            paths: Sequence[Path] = self._share(folder, found.files, key, split)
        else:
            folder, key = (test, f"test_{side}" if self.root is None else key) if split == "test" else (train, key)
            folder = require_folder(folder, key)
            found = list_pictures(folder, key)
            paths = found.files
        labels = {"file": names_of(paths, folder)}
        return self.prepared(partial(self.read, side.upper()), paths, labels, left_out=found.left_out)

    def _places(self, side: str) -> tuple[Path, Path | None, str]:
        """Return the training folder, the test folder where there is one, and the setting that names them."""
        if self.root is not None:
            root = require_folder(self.root, "root")
            test = root / f"test{side.upper()}"
            return root / f"train{side.upper()}", test if test.is_dir() else None, "root"
        train = self.a if side == "a" else self.b
        assert train is not None  # __attrs_post_init__ saw to it
        return train, self.test_a if side == "a" else self.test_b, side

    def _share(self, folder: Path, paths: Sequence[Path], key: str, split: Split) -> list[Path]:
        """Hold a share of the files out: those whose names hash lowest."""
        if len(paths) < 2:
            raise InputError(f"'{folder}' holds one picture; training and testing need one each", key=key)
        return [folder / name for name in hold_out(names_of(paths, folder), self.test_share, split)]
