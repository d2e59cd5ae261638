"""Samples that occur in two splits: files with the same content, whatever their names."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from ganforge.data.dataset import Prepared, Sources, Stored
from ganforge.errors import printable

SHOWN = 3
GLANCE = 4096  # bytes


def find_duplicates(sources: Sources, others: Sources) -> dict[str, dict[int, Path]]:
    """Find, for each domain of `sources`, the samples whose file has the same content as a file of `others`.

    Whole files are read only if their sizes, and some bytes in their middle, are equal.
    """
    theirs: dict[int, list[Path]] = {}
    for _, _, path, size in _files(others):
        theirs.setdefault(size, []).append(path)
    glances: dict[int, dict[bytes, list[Path]]] = {}  # the others' files, by size and glance
    found: dict[str, dict[int, Path]] = {}
    for domain, index, path, size in _files(sources):
        if size not in theirs:
            continue
        if size not in glances:
            glances[size] = {}
            for other in theirs[size]:
                glances[size].setdefault(_glance(other, size), []).append(other)
        alike = glances[size].get(_glance(path, size), [])
        if any(_content(path) == _content(other) for other in alike):
            found.setdefault(domain, {})[index] = path
    return found


@cache
def _glance(path: Path, size: int) -> bytes:
    """Return a digest of some bytes in the middle of a file, which rarely equal those of another picture."""
    with path.open("rb") as file:
        file.seek(max(0, size - GLANCE) // 2)
        return hashlib.blake2b(file.read(GLANCE), digest_size=16).digest()


@cache
def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def describe_duplicates(found: Mapping[str, Mapping[int, Path]]) -> str:
    """Return how many files `find_duplicates` found, and the first few."""
    paths = [str(path) for domain in found.values() for path in domain.values()]
    more = ", ..." if len(paths) > SHOWN else ""
    return printable(f"{len(paths)} ({', '.join(paths[:SHOWN])}{more})")


def _files(sources: Sources) -> Iterator[tuple[str, int, Path, int]]:
    """Yield (domain, index, file, size) for every sample that is made from a file."""
    for domain, samples in sources.items():
        if isinstance(samples, Stored) and isinstance(samples.made_of, Prepared):
            items = samples.made_of.items
            for index, place in enumerate(samples.places or range(samples.length)):
                if isinstance(item := items[place], Path):
                    yield domain, index, item, os.stat(item).st_size
