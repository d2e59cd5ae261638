"""Faces by attribute (Kim et al. 2017, section 3.2.2, Figure 7)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen, validators

from ganforge import InputError, Prepared, Split, nearest, read_text
from ganforge_data.listing import require_folder
from ganforge_data.pictures import PictureFiles, several

PICTURES = "img_align_celeba"
ATTRIBUTES = ("list_attr_celeba.txt", "list_attr_celeba.csv")
PARTITIONS = ("list_eval_partition.txt", "list_eval_partition.csv")
IDENTITIES = "identity_CelebA.txt"
PARTS = {"train": "0", "validation": "1", "test": "2"}

Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@frozen(kw_only=True)
class CelebA(PictureFiles):
    """Faces with an attribute (A) and faces with another one or without it (B), from CelebA or a folder of its layout.

    With `domains`, there are several domains by attribute, such as hair colours. A picture with more than one of these
    attributes is in no domain. Pictures that the list names but the folder lacks count as broken.

    Attributes:
        root: folder that holds `img_align_celeba/` and `list_attr_celeba.txt`; `list_eval_partition.txt` splits it (0
            is train, 1 validation, 2 test); without it, the last pictures are the test split.
        a: the attribute of domain A, such as "Blond_Hair"; "-Male" means that it is absent.
        b: the attribute of domain B; by default the absence of A's.
        domains: instead of these, two or more attributes, each of which names a domain.
        where: attributes that the pictures of all domains have, such as ["Male", "-Eyeglasses"].
        test_share: share of the pictures in the test split if there is no partition file.
    """

    root: Path
    a: str | None = None
    b: str | None = None
    domains: list[str] | None = field(default=None, validator=several)
    where: list[str] = field(factory=list)
    test_share: float = field(default=0.1, validator=[validators.gt(0), validators.lt(1)])

    def __attrs_post_init__(self) -> None:
        if self.domains is None and self.a is None:
            raise InputError("needs an attribute `a`, or several `domains`", key="a")
        if self.domains is not None and (self.a or self.b):
            raise InputError("`domains` names the attributes already", key="a" if self.a else "b")

    @property
    def domain_names(self) -> Sequence[str]:
        """A and B, or the attributes."""
        return ("A", "B") if self.domains is None else tuple(self.domains)

    @property
    def _attributes(self) -> dict[str, tuple[str, str]]:
        """The attribute of each domain, and the setting that names it."""
        if self.domains is not None:
            return {name: (name, "domains") for name in self.domains}
        assert self.a is not None  # ensured by __attrs_post_init__
        other = self.b or (self.a[1:] if self.a.startswith("-") else f"-{self.a}")
        return {"A": (self.a, "a"), "B": (other, "b")}

    def samples(self, split: Split) -> Mapping[str, Prepared]:
        """Return the pictures of a split that have the attributes."""
        root = self._find_root()
        names, columns = _read_table(_find(root, ATTRIBUTES, "root"))
        holding = {domain: _holds(columns, *named) for domain, named in self._attributes.items()}
        chosen = self._split(root, names, split)
        for attribute in self.where:
            chosen &= _holds(columns, attribute, "where")
        chosen &= np.sum(list(holding.values()), axis=0) == 1
        return {
            domain: self._domain(root, names, columns, chosen & holding[domain], domain, key, attribute)
            for domain, (attribute, key) in self._attributes.items()
        }

    def kin(self, labels: Mapping[str, Sequence[Any]]) -> Sequence[Any]:
        """Return the people, if `identity_CelebA.txt` says who is in each picture; otherwise the files."""
        return labels.get("identity", labels["file"])

    def validation(self, folder: Path | None) -> Mapping[str, Prepared]:
        """Return the pictures of part 1 of the partition file."""
        if folder is not None:
            raise InputError('expected a share, or "own" for part 1 of the partition file', key="validation")
        return self.samples("validation")

    def _find_root(self) -> Path:
        root = require_folder(self.root, "root")
        inner = [path for path in root.iterdir() if (path / PICTURES).is_dir() and path.name != PICTURES]
        if inner and not (root / PICTURES).is_dir():
            raise InputError(f"'{root}' holds no folder '{PICTURES}'; did you mean '{inner[0]}'?", key="root")
        return root

    def _domain(
        self,
        root: Path,
        names: Sequence[str],
        columns: Mapping[str, Flags],
        chosen: Flags,
        domain: str,
        key: str,
        attribute: str,
    ) -> Prepared:
        if not chosen.any():
            wanted = f"{key} = {attribute}" + (f", where = {self.where}" if self.where else "")
            raise InputError(f"no picture in this split has the attributes {wanted}; choose others", key=key)
        folder = require_folder(root / PICTURES, "root")
        if (folder / PICTURES).is_dir():  # the layout of one well-known copy
            folder /= PICTURES
        places = chosen.nonzero()[0].tolist()
        files = [names[place] for place in places]
        labels = {"file": files, **{name: column[places].tolist() for name, column in columns.items()}}
        if (root / IDENTITIES).is_file():
            known = dict(fields[:2] for _, fields in _rows(root / IDENTITIES) if len(fields) >= 2)
            labels["identity"] = [known.get(name, name) for name in files]
        return self.prepared(domain, partial(self.read, domain), [folder / name for name in files], labels)

    def _split(self, root: Path, names: Sequence[str], split: Split) -> Flags:
        """Return whether each picture belongs to the split."""
        if not any((root / name).is_file() for name in PARTITIONS):
            if split == "validation":
                raise InputError(f"'{root}' holds no '{PARTITIONS[0]}', with the validation part", key="validation")
            count = max(1, round(len(names) * self.test_share))
            test: Flags = np.arange(len(names)) >= len(names) - count
            return test if split == "test" else ~test
        path = _find(root, PARTITIONS, "root")
        parts = dict(fields[:2] for _, fields in _rows(path) if len(fields) >= 2)
        missing = next((name for name in names if name not in parts), None)
        if missing:
            raise InputError(f"'{path}' does not list '{missing}'; remove the file to split without it", key="root")
        return np.array([parts[name] == PARTS[split] for name in names], dtype=bool)


def _find(root: Path, names: Sequence[str], key: str) -> Path:
    for name in names:
        if (root / name).is_file():
            return root / name
    raise InputError(f"'{root}' holds no file '{names[0]}', which lists what the pictures show", key=key)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Split the lines of a table at blanks or commas; return (line number, fields) of non-empty lines."""
    try:
        lines = read_text(path).replace(",", " ").split("\n")
    except InputError as error:
        raise InputError(str(error), key="root") from error
    return [(number, fields) for number, line in enumerate(lines, 1) if (fields := line.split())]


def _read_table(path: Path) -> tuple[list[str], dict[str, Flags]]:
    """Return the pictures' names, and for each attribute which of them have it."""
    rows = _rows(path)
    if rows and len(rows[0][1]) == 1 and rows[0][1][0].isdigit():  # the count
        rows = rows[1:]
    if len(rows) < 2:
        raise InputError(f"'{path}' lists no picture", key="root")
    header = [name for name in rows[0][1] if name != "image_id"]
    for number, fields in rows[1:]:
        if len(fields) != len(header) + 1 or not {"1", "-1", "0"}.issuperset(fields[1:]):
            raise InputError(
                f"{path}:{number}: expected a name and {len(header)} numbers 1 or -1, got '{' '.join(fields)[:60]}'",
                key="root",
            )
    values = np.array([fields[1:] for _, fields in rows[1:]], dtype="U2") == "1"
    return [fields[0] for _, fields in rows[1:]], {name: values[:, place] for place, name in enumerate(header)}


def _holds(columns: Mapping[str, Flags], attribute: str, key: str) -> Flags:
    """Return which pictures have an attribute; `-Name` asks for its absence.

    Raises:
        InputError: there is no such attribute.
    """
    name = attribute.removeprefix("-")
    if name not in columns:
        raise InputError(f"no attribute '{name}'; {nearest(name, columns)}", key=key)
    return ~columns[name] if attribute.startswith("-") else columns[name]
