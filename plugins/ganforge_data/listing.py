"""Listing the pictures of a folder, and holding some of them out for testing."""

import hashlib
import math
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import evolve

from ganforge import Found, InputError, Split, find_pictures, natural, printable
from ganforge_data.archives import way_to


def require_folder(folder: Path, key: str) -> Path:
    """Return the folder with `~` expanded.

    Raises:
        InputError: there is no such folder; `key` is the setting that named it.
    """
    folder = Path(os.path.expanduser(folder))  # Path.expanduser fails without a home folder
    if os.path.isdir(folder):
        return folder
    if os.path.exists(folder):
        raise InputError(printable(f"'{folder}' is a file, not a folder of pictures; set dataset.{key}"), key=key)
    beside: list[str] = []
    with suppress(OSError):
        beside = sorted(os.listdir(folder.parent))
    hint = f" (there are: {', '.join(beside[:5])})" if beside else ""
    raise InputError(printable(f"no folder '{folder}'{hint}; {way_to(folder)}, or set dataset.{key}"), key=key)


def list_pictures(folder: Path, key: str) -> Found:
    """List the pictures in a folder and all folders below it, as `find_pictures` does; broken links are among them.

    Raises:
        InputError: there is no such folder, or no picture in it; `key` is the setting that named it.
    """
    folder = require_folder(folder, key)
    try:
        found = find_pictures(folder)
    except InputError as error:
        raise InputError(str(error), key=key) from error
    if not found.files:
        besides = f", only {found.left_out}" if found.left_out else ""
        raise InputError(printable(f"no picture in '{folder}'{besides}; set dataset.{key}"), key=key)
    return evolve(found, files=found.named)


def names_of(paths: Iterable[Path], folder: Path) -> list[str]:
    """Return the paths relative to their folder, with slashes."""
    return [path.relative_to(folder).as_posix() for path in paths]


def hold_out(names: Sequence[str], share: float, split: Split) -> list[str]:
    """Return a split of at least two names, in natural order: those that hash lowest are held out."""
    count = min(math.ceil(len(names) * share), len(names) - 1)
    ranked = sorted(names, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())
    return sorted(ranked[:count] if split == "test" else ranked[count:], key=natural)
