"""Pairs: two pictures of the same object, side by side in one file, or in two folders under the same name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen, validators

from ganforge import InputError, Prepared, Split, natural, printable
from ganforge_data.halves import Side, cut_half, opposite, split_folder, validation_folder
from ganforge_data.listing import hold_out, list_pictures, names_of, require_folder
from ganforge_data.pictures import PictureFiles

if TYPE_CHECKING:
    from torch import Tensor

SHOWN = 3
PARTS: tuple[Split, ...] = ("train", "test")
TEST_KEYS = ("test_a", "test_b")
LAYOUTS = "train/ with pairs side by side, trainA/ and trainB/, or A/train/ and B/train/"


@frozen(kw_only=True)
class Pairs(PictureFiles):
    """Paired pictures of A and B, which are drawn, cropped and mirrored together (Isola et al. 2017).

    In two folders, pictures are pairs if their relative paths are equal except for the suffix and an ending `_A` or
    `_B`, as in `1_A.jpg` and `1_B.jpg`. Their sizes may differ.

    Attributes:
        root: folder of the pairs. It holds `train/`, and optionally `test/` or `val/`, with pairs side by side, as in
            pix2pix's archives; or `trainA/` and `trainB/`, and `testA/` and `testB/`; or `A/train/` and `B/train/`,
            and `test/` or `val/` beside them.
        a: instead of `root`, the folder of domain A.
        b: the same for B.
        test_a: folder of test pictures of A; by default a share of the pairs is held out.
        test_b: the same for B.
        a_side: the side of A in side-by-side pairs. In pix2pix's archives the edges are on the left. Facades and
            cityscapes have the photo on the left, so `right` translates from labels to photos, as the authors do; for
            maps, `right` translates from maps to aerial photos.
        unpaired: `stop` refuses a folder with pictures that have no partner, `skip` leaves them out.
        test_share: share of the pairs that is held out if there is no test folder; which ones depends only on their
            names.
    """

    root: Path | None = None
    a: Path | None = None
    b: Path | None = None
    test_a: Path | None = None
    test_b: Path | None = None
    a_side: Side = "left"
    unpaired: Literal["stop", "skip"] = "stop"
    test_share: float = field(default=0.1, validator=[validators.gt(0), validators.lt(1)])

    def __attrs_post_init__(self) -> None:
        if (self.root is None) == (self.a is None and self.b is None):
            raise InputError(f"needs a `root`, which holds {LAYOUTS}; or the folders `a` and `b`", key="root")
        if self.root is None and (self.a is None or self.b is None):
            raise InputError("needs a folder for each domain", key="a" if self.a is None else "b")
        if self.root is not None and (self.test_a or self.test_b):
            raise InputError("a `root` has its own test folders", key="test_a" if self.test_a else "test_b")
        if (self.test_a is None) != (self.test_b is None):
            raise InputError("needs a folder for each domain", key="test_a" if self.test_a is None else "test_b")

    @property
    def groups(self) -> Sequence[Sequence[str]]:
        """A and B in one group."""
        return [["A", "B"]]

    def samples(self, split: Split) -> Mapping[str, Prepared]:
        """Return both pictures of each pair of a split, in the same order."""
        if self.a is not None and self.b is not None:
            train, keys = (self.a, self.b), ("a", "b")
            if self.test_a is None or self.test_b is None:
                return self._by_name(train, None, split, keys)
            return self._by_name(train, (self.test_a, self.test_b), split, keys if split == "train" else TEST_KEYS)
        assert self.root is not None  # ensured by __attrs_post_init__
        root = require_folder(self.root, "root")
        if (root / "train").is_dir():
            return self._halves(root, split)
        if any((root / f"train{domain}").is_dir() for domain in "AB"):
            train, test = ((root / f"{part}A", root / f"{part}B") for part in PARTS)
        elif any((root / domain / "train").is_dir() for domain in "AB"):
            train, test = ((split_folder(root / "A", part), split_folder(root / "B", part)) for part in PARTS)
        else:
            inner = [path for path in sorted(root.iterdir()) if (path / "train").is_dir() or (path / "trainA").is_dir()]
            hint = f"did you mean '{inner[0]}'?" if inner else f"it needs {LAYOUTS}"
            raise InputError(f"'{root}' holds no pairs; {hint}", key="root")
        there = any(folder.is_dir() for folder in test)
        return self._by_name(train, test if there else None, split, ("root", "root"))

    def validation(self, folder: Path | None) -> Mapping[str, Prepared]:
        """Return the pairs of a folder, side by side or in A/ and B/; or of the root's own `validation/` or `val/`."""
        key = "validation"
        if folder is not None:
            place, inner = require_folder(folder, key), ("A", "B")
        else:
            place, inner = require_folder(self.root or Path(), key), ("valA", "valB")
            if self.root is None:
                raise InputError("these folders hold no validation pictures; give a share or a folder", key=key)
            if (place / "train").is_dir():
                place = validation_folder(place)
            elif (place / "A" / "train").is_dir():
                sides = validation_folder(place / "A"), validation_folder(place / "B")
                return self._by_name(sides, sides, "test", (key, key))
        sides = place / inner[0], place / inner[1]
        if any(side.is_dir() for side in sides):
            return self._by_name(sides, sides, "test", (key, key))
        return self._halves_of(place, key)

    def _halves(self, root: Path, split: Split) -> dict[str, Prepared]:
        """Return the halves of the pictures in `train/`, or in `test/` or `val/`."""
        if split_folder(root, "test").is_dir():
            return self._halves_of(split_folder(root, split), "root")
        return self._halves_of(root / "train", "root", split)

    def _halves_of(self, folder: Path, key: str, split: Split | None = None) -> dict[str, Prepared]:
        """Return the halves of the pictures in a folder, or in a split's share of it."""
        found = list_pictures(folder, key)
        names = names_of(found.files, folder)
        paths = [folder / name for name in (self._share(names, split, key) if split else names)]
        labels = {"file": names_of(paths, folder)}
        sides = {"A": self.a_side, "B": opposite(self.a_side)}
        return {
            domain: self.prepared(
                domain, partial(self._read_half, domain, side), paths, labels, side, left_out=found.left_out
            )
            for domain, side in sides.items()
        }

    def _read_half(self, domain: str, side: Side, path: Path) -> Tensor:
        return self.fitted(domain, cut_half(self.opened(domain, path), side, path))

    def _by_name(
        self, train: Sequence[Path], test: Sequence[Path] | None, split: Split, keys: Sequence[str]
    ) -> dict[str, Prepared]:
        """Return the pictures with the same names in two folders; without test folders, a split's share of them."""
        chosen = test if split == "test" and test else train
        folders = [require_folder(folder, key) for folder, key in zip(chosen, keys, strict=True)]
        founds = [list_pictures(folder, key) for folder, key in zip(folders, keys, strict=True)]
        of_a, of_b = (
            _named(found.files, folder, domain, key)
            for found, folder, domain, key in zip(founds, folders, "AB", keys, strict=True)
        )
        together = self._together(of_a, of_b, folders, keys)
        names = self._share(together, split, keys[0]) if test is None else together
        made = {}
        for domain, files, folder, found in zip("AB", (of_a, of_b), folders, founds, strict=True):
            paths, alone = [files[name] for name in names], len(files) - len(together)
            besides = [found.left_out, f"{alone:,} unpaired" if alone else ""]
            left_out = ", ".join(filter(None, besides))
            labels = {"file": names_of(paths, folder)}
            made[domain] = self.prepared(domain, partial(self.read, domain), paths, labels, left_out=left_out)
        return made

    def _together(
        self, of_a: Mapping[str, Path], of_b: Mapping[str, Path], folders: Sequence[Path], keys: Sequence[str]
    ) -> list[str]:
        """Return the names that both folders have."""
        names = sorted(of_a.keys() & of_b.keys(), key=natural)
        places = f"'{folders[0]}' and '{folders[1]}'"
        alone = [(of_a if name in of_a else of_b)[name] for name in sorted(of_a.keys() ^ of_b.keys(), key=natural)]
        shown = ", ".join(f"'{path}'" for path in alone[:SHOWN])
        more = f" and {len(alone) - SHOWN} more" if len(alone) > SHOWN else ""
        if not names:
            raise InputError(printable(f"no two pictures in {places} have the same name: {shown}{more}"), key=keys[1])
        if alone and self.unpaired == "stop":
            raise InputError(
                printable(f'without a partner of the same name: {shown}{more}; or set dataset.unpaired = "skip"'),
                key=keys[1],
            )
        return names

    def _share(self, names: Sequence[str], split: Split, key: str) -> list[str]:
        if len(names) < 2:
            raise InputError("there is one pair; training and testing need one each", key=key)
        return hold_out(names, self.test_share, split)


def _named(files: Sequence[Path], folder: Path, domain: str, key: str) -> dict[str, Path]:
    """Return pictures by the name that they share with their partners."""
    named: dict[str, Path] = {}
    for path in files:
        name = path.relative_to(folder).with_suffix("").as_posix().removesuffix(f"_{domain}")
        if name in named:
            raise InputError(printable(f"'{named[name]}' and '{path}' have the same name; keep one"), key=key)
        named[name] = path
    return named
