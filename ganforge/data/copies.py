"""Samples of one split that are samples of another one, too: files of the same content, whatever their names."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ganforge.data.dataset import Drawn, Prepared, Stored
from ganforge.errors import printable

Sources = Mapping[str, Stored | Drawn]

SHOWN = 3


def copies(sources: Sources, others: Sources) -> dict[str, dict[int, Path]]:
    """Find, for each domain of `sources`, the samples made of a file that has the content of one of the others'."""
    sizes: dict[int, list[Path]] = {}
    for _, _, path, size in _files(others):
        sizes.setdefault(size, []).append(path)
    known: dict[Path, bytes] = {}

    def content(path: Path) -> bytes:
        if path not in known:
            known[path] = hashlib.sha256(path.read_bytes()).digest()
        return known[path]

    found: dict[str, dict[int, Path]] = {}
    for domain, index, path, size in _files(sources):
        if size in sizes and content(path) in map(content, sizes[size]):
            found.setdefault(domain, {})[index] = path
    return found


def told(found: Mapping[str, Mapping[int, Path]]) -> str:
    """Say how many files `copies` found, and which."""
    paths = [str(path) for domain in found.values() for path in domain.values()]
    more = ", ..." if len(paths) > SHOWN else ""
    return printable(f"{len(paths)} ({', '.join(paths[:SHOWN])}{more})")


def _files(sources: Sources) -> Iterator[tuple[str, int, Path, int]]:
    """Yield (domain, index, file, its size) of all samples that are made of a file."""
    for domain, samples in sources.items():
        if isinstance(samples, Stored) and isinstance(samples.made_of, Prepared):
            items = samples.made_of.items
            for index, place in enumerate(samples.places or range(samples.length)):
                if isinstance(item := items[place], Path):
                    yield domain, index, item, os.stat(item).st_size
