"""Find the pictures in a folder, in a fixed order: the same for data sets and for translation."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from attrs import frozen

from ganforge.errors import InputError, printable

# Files and folders of operating systems and programs; names that begin with a dot are ignored, too.
SYSTEM = {
    *("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "lost+found"),
    *("__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder"),
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "recycler", "recycled", "system volume information"),
}
# Formats that Pillow knows but cannot read without other programs.
NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
# Arrays, stereo photos (which Pillow opens as JPEG), and other suffixes of TIFF.
MORE = {".npy", ".mpo", ".btf", ".tf2", ".tf8", ".ptif", ".ptiff", ".lsm", ".stk"}
BROKEN = "broken links"
NAMED = 3  # names listed for each reason

_listed: ContextVar["dict[Path, Found] | None"] = ContextVar("_listed", default=None)


@frozen
class Found:
    """The pictures in a folder.

    Attributes:
        files: their paths, in natural order (2 before 10).
        left_out: other files, such as "2 hidden (._a.jpg, .thumbnails), 3 of other kinds (.db, .txt)".
        broken: links with a picture's name that lead nowhere, which `left_out` counts, too.
    """

    files: tuple[Path, ...]
    left_out: str
    broken: tuple[Path, ...] = ()

    @property
    def named(self) -> tuple[Path, ...]:
        """The pictures and the broken links, in natural order: what a user takes for the folder's pictures."""
        if not self.broken:
            return self.files
        return tuple(sorted((*self.files, *self.broken), key=lambda path: natural(str(path))))


@contextmanager
def listed_once() -> Iterator[None]:
    """Within the context, list every folder only once."""
    token = _listed.set({})
    try:
        yield
    finally:
        _listed.reset(token)


def find_pictures(folder: Path) -> Found:
    """List the pictures in a folder and all folders below it.

    Hidden and system files, and all below such folders, are left out; the folder itself may be hidden. Links are
    followed, but every folder and every picture is listed once: under its own name, or else that of its first link.
    Hard links and copies all count.

    Raises:
        InputError: the folder, or one below it, cannot be read.
    """
    known = _listed.get()
    found = known.get(folder) if known is not None else None
    if found is None:
        found = _find(folder)
        if known is not None:
            known[folder] = found
    return found


def _find(folder: Path) -> Found:
    left_out: dict[str, Counter[str]] = defaultdict(Counter)
    files, links, broken = _walk(folder, left_out)
    seen = {_identity(file) for file in files} if links else set()
    for link in sorted(links, key=natural):
        if (identity := _identity(link)) in seen:
            left_out["repeated"][os.path.basename(link)] += 1
        else:
            seen.add(identity)
            files.append(link)
    start = len(os.path.join(folder, ""))
    files.sort(key=lambda file: natural(file[start:]))
    told = ", ".join(_told(reason, left_out[reason]) for reason in sorted(left_out))
    return Found(tuple(map(Path, files)), told, tuple(map(Path, broken)))


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return a sort key that compares digits as numbers of any length.

    >>> sorted(["10_AB", "9_AB", "09_AB"], key=natural)
    ['09_AB', '9_AB', '10_AB']
    """
    parts = re.split(r"0*([0-9]+)", name)  # every second one is a number
    return [(len(part), part) if place % 2 else (-1, part) for place, part in enumerate(parts)], name


@cache
def picture_suffixes() -> frozenset[str]:
    """Return the suffixes of pictures, in lower case."""
    from PIL import Image

    known = Image.registered_extensions().items()
    return frozenset({suffix for suffix, kind in known if kind in Image.OPEN and kind not in NO_PICTURES} | MORE)


def _walk(folder: Path, left_out: Mapping[str, Counter[str]]) -> tuple[list[str], list[str], list[str]]:
    """Return the pictures in every real folder, the links to pictures, and the links to nothing with such a name."""
    suffixes = picture_suffixes()
    files, links, broken = list[str](), list[str](), list[str]()
    parents = filter(os.path.exists, folder.resolve().parents)  # those that this user can read
    seen = {_identity(parent) for parent in parents}  # a link to one of them is a cycle
    real, linked = [str(folder)], list[str]()
    while real or linked:
        if not real:  # a folder's own name comes before that of a link to it
            linked.sort(key=natural, reverse=True)
        place = real.pop() if real else linked.pop()
        try:
            identity = _identity(place)
            with os.scandir(place) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(printable(f"'{place}' cannot be read: {error.strerror}")) from error
        if identity in seen:
            left_out["repeated"][os.path.basename(place)] += 1
            continue
        seen.add(identity)
        for entry in entries:
            kind = _kind(entry)
            suffix = os.path.splitext(entry.name)[1].lower()
            if entry.name.startswith(".") or entry.name.casefold() in SYSTEM:
                left_out["hidden"][entry.name] += 1
            elif kind == "folder":
                (linked if entry.is_symlink() else real).append(entry.path)
            elif kind != "file":
                left_out[kind][entry.name] += 1
                broken += [entry.path] if kind == BROKEN and suffix in suffixes else []
            elif suffix not in suffixes:
                left_out["of other kinds"][suffix or "no suffix"] += 1
            else:
                (links if entry.is_symlink() else files).append(entry.path)
    return files, links, broken


def _kind(entry: "os.DirEntry[str]") -> str:
    """Return what an entry, or the target of a link, is."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError:  # a link to itself, or through an unreadable folder
        pass
    return BROKEN if entry.is_symlink() else "special files"


def _identity(path: str | Path) -> tuple[int, int]:
    state = os.stat(path)
    return state.st_dev, state.st_ino


def _told(reason: str, names: Counter[str]) -> str:
    """Count the files that were left out for one reason, and name some."""
    more = ["..."] if len(names) > NAMED else []
    shown = ", ".join([*sorted(names)[:NAMED], *more])
    return printable(f"{names.total():,} {reason} ({shown})")
