"""Pictures of many models from many angles, which the file names give (Kim et al. 2017, section 3.2.1)."""

import hashlib
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from attrs import field, frozen, validators

from ganforge import InputError, Prepared, Split, printable
from ganforge_data.listing import list_pictures, names_of, require_folder
from ganforge_data.pictures import PictureFiles

# Searched in a picture's path below the folder, with slashes.
PATTERNS = {
    "az_el": r"(?P<model>[^/]+)_az(?P<azimuth>-?\d+(\.\d+)?)_el(?P<elevation>-?\d+(\.\d+)?)\.\w+$",
    "rendered_chairs": r"(?P<model>[^/]+)/(renders/)?[^/]*_p(?P<elevation>\d+)_t(?P<azimuth>\d+)_r\d+\.\w+$",
}
AUTO = "auto"
NEAR = 0.51  # degrees of rounding allowed in a name


def _pattern(_: object, attribute: Any, pattern: str) -> None:
    """`auto`, `az_el`, `rendered_chairs`, or a regular expression with the groups model and azimuth."""
    if pattern == AUTO or pattern in PATTERNS:
        return
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"{attribute.name}: {error}") from error
    if not {"model", "azimuth"} <= set(groups):
        raise ValueError(f"{attribute.name} needs the groups (?P<model>...) and (?P<azimuth>...)")


Pattern = Annotated[str, _pattern]


@frozen
class Shot:
    """One picture: its model and its angles."""

    path: Path
    model: str
    azimuth: float
    elevation: float | None


@frozen(kw_only=True)
class Azimuth(PictureFiles):
    """Cars, faces or chairs at angles given by file names; no model is in two domains, or in both train and test.

    Give either `root`, whose models are divided between A and B, or a folder for each class of objects, `a` and `b`. If
    a folder holds `train/` and `test/`, these are the splits; otherwise a share of the models is held out for testing.
    Only the models' names decide the division. A model "x-red" is a variant of "x" if "x" exists, and stays with it.

    Attributes:
        root: folder of pictures, with all subfolders; the test split shows the same pictures as A and as B.
        a: instead of `root`, the folder of domain A.
        b: the same for B.
        pattern: `az_el` for `<model>_az<degrees>_el<degrees>.png`; `rendered_chairs` for that data set's own
            `<model>/renders/image_<n>_p<elevation>_t<azimuth>_r<n>.png`; `auto` for the one of these that fits; or a
            regular expression with groups model, azimuth and optionally elevation, searched in the path below the
            folder.
        pattern_b: the pattern of `b`, if it differs.
        angles: smallest and largest azimuth to use, in degrees, in -180..180.
        step: use only azimuths that are a multiple of this many degrees from the smallest one; by default all.
        elevations: smallest and largest elevation to use, in degrees; by default all.
        zero: azimuth of the front view in the names.
        test_share: share of the models held out if there are no folders `train/` and `test/`.
    """

    root: Path | None = None
    a: Path | None = None
    b: Path | None = None
    pattern: Pattern = AUTO
    pattern_b: Pattern | None = None
    angles: tuple[float, float] = (-180.0, 180.0)
    step: Annotated[float, validators.gt(0)] | None = None
    elevations: tuple[float, float] | None = None
    zero: float = field(default=0.0, validator=[validators.ge(-360), validators.le(360)])
    test_share: float = field(default=0.15, validator=[validators.gt(0), validators.lt(1)])

    def __attrs_post_init__(self) -> None:
        if (self.root is None) == (self.a is None and self.b is None):
            raise InputError("needs either one `root`, or the folders `a` and `b`", key="root")
        if self.root is None and (self.a is None or self.b is None):
            raise InputError("needs a folder for each domain", key="a" if self.a is None else "b")
        if self.angles[0] > self.angles[1] or self.angles[1] - self.angles[0] > 360:
            raise InputError("expected [smallest, largest], at most a full turn", key="angles")
        if self.elevations and self.elevations[0] > self.elevations[1]:
            raise InputError("expected [smallest, largest]", key="elevations")

    def samples(self, split: Split) -> Mapping[str, Prepared]:
        """Return the pictures of each domain's models."""
        if self.root is None:
            assert self.a is not None
            assert self.b is not None
            first, besides = self._shots(self.a, "a", self.pattern, split)
            second, besides_b = self._shots(self.b, "b", self.pattern_b or self.pattern, split)
            return {
                "A": self._samples("A", self.a, first, besides),
                "B": self._samples("B", self.b, second, besides_b),
            }
        shots, besides = self._shots(self.root, "root", self.pattern, split)
        if split == "test":
            return {domain: self._samples(domain, self.root, shots, besides) for domain in ("A", "B")}
        ranked = rank_models(shots)
        if len(ranked) < 2:
            raise InputError(f"'{self.root}' holds one model to train on; A and B need one each", key="root")
        of_a = set().union(*ranked[: len(ranked) // 2])
        return {
            "A": self._samples("A", self.root, [shot for shot in shots if shot.model in of_a], besides),
            "B": self._samples("B", self.root, [shot for shot in shots if shot.model not in of_a], besides),
        }

    def kin(self, labels: Mapping[str, Sequence[Any]]) -> Sequence[Any]:
        """Return the models, each together with its variants."""
        shots = [Shot(Path(), model, 0.0, None) for model in labels["model"]]
        first = {model: min(variants) for variants in rank_models(shots) for model in variants}
        return [first[model] for model in labels["model"]]

    def _samples(self, domain: str, folder: Path, shots: Sequence[Shot], left_out: str) -> Prepared:
        labels: dict[str, list[Any]] = {
            "file": names_of((shot.path for shot in shots), Path(os.path.expanduser(folder))),
            "model": [shot.model for shot in shots],
            "azimuth": [shot.azimuth for shot in shots],
        }
        if all(shot.elevation is not None for shot in shots):
            labels["elevation"] = [shot.elevation for shot in shots]
        files = [shot.path for shot in shots]
        return self.prepared(domain, partial(self.read, domain), files, labels, left_out=left_out)

    def _shots(self, folder: Path, key: str, pattern: str, split: Split) -> tuple[list[Shot], str]:
        """List the pictures of a folder's split at the selected angles, and say what was left out."""
        folder = require_folder(folder, key)
        divided = (folder / "train").is_dir() and (folder / "test").is_dir()
        place = folder / split if divided else folder
        found = list_pictures(place, key)
        name = "pattern_b" if key == "b" and self.pattern_b else "pattern"
        shots = [self._seen_from(shot) for shot in match(found.files, place, pattern, name)]
        if not divided:
            ranked = rank_models(shots)
            if len(ranked) < 2:
                raise InputError(f"'{folder}' holds one model; training and testing need one each", key=key)
            count = min(math.ceil(len(ranked) * self.test_share), len(ranked) - 1)
            chosen = set().union(*(ranked[:count] if split == "test" else ranked[count:]))
            shots = [shot for shot in shots if shot.model in chosen]
        wanted = [shot for shot in shots if self._wants(shot)]
        if not wanted:
            seen = sorted({shot.azimuth for shot in shots})
            raise InputError(
                f"no picture in '{place}' at angles {list(self.angles)}"
                + (f" in steps of {self.step:g}" if self.step else "")
                + (f", elevations {list(self.elevations)}" if self.elevations else "")
                + f"; its azimuths are {', '.join(f'{angle:g}' for angle in seen[:12])}{' ...' if seen[12:] else ''}",
                key="angles",
            )
        return wanted, found.left_out

    def _seen_from(self, shot: Shot) -> Shot:
        """Measure the azimuth from the front, within the full turn that starts at the smallest angle."""
        low = min(self.angles[0], -180.0 + 1e-6) if self.angles[1] <= 180 else self.angles[0] - NEAR
        return Shot(shot.path, shot.model, (shot.azimuth - self.zero - low) % 360 + low, shot.elevation)

    def _wants(self, shot: Shot) -> bool:
        low, high = self.angles
        if not low - NEAR <= shot.azimuth <= high + NEAR:
            return False
        if self.step and abs((shot.azimuth - low + self.step / 2) % self.step - self.step / 2) > NEAR:
            return False
        if self.elevations and shot.elevation is not None:
            return self.elevations[0] <= shot.elevation <= self.elevations[1]
        return True


def match(paths: Sequence[Path], folder: Path, pattern: str, key: str) -> list[Shot]:
    """Read model and angles from the names of the pictures that match the pattern.

    Raises:
        InputError: no name matches, or an angle is not a number.
    """
    names = names_of(paths, folder)
    candidates = list(PATTERNS) if pattern == AUTO else [pattern]
    hits: list[tuple[Path, re.Match[str]]] = []
    for candidate in candidates:
        search = re.compile(PATTERNS.get(candidate, candidate)).search
        found = [(path, hit) for path, name in zip(paths, names, strict=True) if (hit := search(name))]
        hits = max(hits, found, key=len)
    if not hits:
        tried = " or ".join(f"'{candidate}'" for candidate in candidates)
        raise InputError(
            f"no picture in '{folder}' has a name that matches {tried}; one is '{printable(names[0])}'; "
            f"set dataset.{key} to {', '.join(PATTERNS)} or a regular expression with the groups model and azimuth",
            key=key,
        )
    shots = []
    for path, hit in hits:
        groups = hit.groupdict()
        try:
            elevation = groups.get("elevation")
            shots.append(
                Shot(path, groups["model"], float(groups["azimuth"]), None if elevation is None else float(elevation))
            )
        except (TypeError, ValueError) as error:
            raise InputError(
                printable(f"the azimuth or elevation in the name of '{path}' is not a number: {error}"), key=key
            ) from error
    return shots


def rank_models(shots: Iterable[Shot]) -> list[set[str]]:
    """Return the models, each together with its variants, in an order that depends only on their names.

    >>> shots = [Shot(Path(), name, 0.0, None) for name in ("a", "a-red", "a-red-2", "b-1")]
    >>> sorted(sorted(group) for group in rank_models(shots))
    [['a', 'a-red', 'a-red-2'], ['b-1']]
    """
    names = {shot.model for shot in shots}
    groups: dict[str, set[str]] = {}
    for name in names:
        parts = name.split("-")
        starts = ("-".join(parts[:length]) for length in range(1, len(parts) + 1))
        groups.setdefault(next(start for start in starts if start in names), set()).add(name)
    return [groups[name] for name in sorted(groups, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())]
