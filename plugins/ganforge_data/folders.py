"""Folders of pictures, one for each domain."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from attrs import field, frozen, validators

from ganforge import InputError, Prepared, Split
from ganforge_data.listing import hold_out, list_pictures, names_of, require_folder
from ganforge_data.pictures import PictureFiles, several


@frozen(kw_only=True)
class Folders(PictureFiles):
    """Two or more folders of pictures, with all subfolders.

    Attributes:
        a: folder of domain A.
        b: folder of domain B.
        root: instead of these, a folder that holds `trainA/` and `trainB/`, and optionally `testA/` and `testB/`.
        domains: for domains other than A and B, a folder for each name; or only the names, if `root` holds
            `train/NAME/` for each, and optionally `test/NAME/`.
        test_a: folder of test pictures of A; by default a share of `a` is held out.
        test_b: the same for B.
        test_share: share of a folder that is held out if there is no test folder; whether a file is held out does not
            depend on the order or on other files.
    """

    a: Path | None = None
    b: Path | None = None
    root: Path | None = None
    domains: dict[str, Path] | list[str] | None = field(default=None, validator=several)
    test_a: Path | None = None
    test_b: Path | None = None
    test_share: float = field(default=0.1, validator=[validators.gt(0), validators.lt(1)])

    def __attrs_post_init__(self) -> None:
        if isinstance(self.domains, dict):
            besides = [key for key in ("a", "b", "root", "test_a", "test_b") if getattr(self, key) is not None]
            if besides:
                raise InputError("`domains` names the folders already", key=besides[0])
            return
        if self.domains is not None and self.root is None:
            raise InputError("needs a folder for each name, or a `root` that holds train/NAME/", key="domains")
        if (self.root is None) == (self.a is None and self.b is None):
            raise InputError("needs the folders `a` and `b`, or a `root` that holds trainA/ and trainB/", key="a")
        if self.root is None and (self.a is None or self.b is None):
            raise InputError("needs a folder for each domain", key="a" if self.a is None else "b")
        if self.root is not None and (self.test_a or self.test_b):
            raise InputError("a `root` has its own testA/ and testB/", key="test_a" if self.test_a else "test_b")

    @property
    def domain_names(self) -> Sequence[str]:
        """The names of the domains."""
        return ("A", "B") if self.domains is None else tuple(self.domains)

    def samples(self, split: Split) -> Mapping[str, Prepared]:
        """Return the pictures of a split."""
        return {domain: self._pictures(domain, split) for domain in self.domain_names}

    def validation(self, folder: Path | None) -> Mapping[str, Prepared]:
        """Return the pictures in a folder's subfolders A/ or a/ and so on; or in valA/ and so on of the root."""
        return {domain: self._validating(domain, folder) for domain in self.domain_names}

    def _validating(self, domain: str, folder: Path | None) -> Prepared:
        if folder is None and self.root is None:
            raise InputError("these folders hold no validation pictures; give a share or a folder", key="validation")
        place = require_folder(folder or self.root or Path(), "validation")
        parts = [f"{part}{between}{domain}" for part in ("validation", "val") for between in ("", "/")]
        known = [place / name for name in (*((domain, domain.lower()) if folder else ()), *parts)]
        found = next((one for one in known if one.is_dir()), None)
        if found is None:
            names = ", ".join(f"'{one.relative_to(place)}'" for one in known)
            raise InputError(f"'{place}' holds none of the folders {names}", key="validation")
        return self._listed(domain, found, "validation")

    def _listed(self, domain: str, folder: Path, key: str) -> Prepared:
        found = list_pictures(folder, key)
        labels = {"file": names_of(found.files, folder)}
        return self.prepared(domain, partial(self.read, domain), found.files, labels, left_out=found.left_out)

    def _pictures(self, domain: str, split: Split) -> Prepared:
        train, test, keys = self._places(domain)
        if test is not None:
            folder, key = (test, keys[1]) if split == "test" else (train, keys[0])
            return self._listed(domain, require_folder(folder, key), key)
        folder = require_folder(train, keys[0])
        found = list_pictures(folder, keys[0])
        paths = self._share(folder, found.files, keys[0], split)
        labels = {"file": names_of(paths, folder)}
        return self.prepared(domain, partial(self.read, domain), paths, labels, left_out=found.left_out)

    def _places(self, domain: str) -> tuple[Path, Path | None, tuple[str, str]]:
        """Return the training folder, the test folder if there is one, and the settings that name them."""
        if isinstance(self.domains, dict):
            return self.domains[domain], None, ("domains", "")
        if self.root is not None:
            root = require_folder(self.root, "root")
            train, test = (
                root / f"{part}{domain}" if self.domains is None else root / part / domain for part in ("train", "test")
            )
            return train, test if test.is_dir() else None, ("root", "root")
        folder, held = (self.a, self.test_a) if domain == "A" else (self.b, self.test_b)
        assert folder is not None  # ensured by __attrs_post_init__
        return folder, held, (domain.lower(), f"test_{domain.lower()}")

    def _share(self, folder: Path, paths: Sequence[Path], key: str, split: Split) -> list[Path]:
        """Hold out a share of the files: those whose names hash lowest."""
        if len(paths) < 2:
            raise InputError(f"'{folder}' holds one picture; training and testing need one each", key=key)
        return [folder / name for name in hold_out(names_of(paths, folder), self.test_share, split)]
