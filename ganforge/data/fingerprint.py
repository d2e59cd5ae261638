"""Fingerprints that show whether data have changed, wherever they are stored."""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ganforge.data.dataset import Prepared, Samples, Split, Stored

CONTENTS = 64  # files of a domain whose contents are read, about
BEGINNING = 1 << 16  # bytes read of such a file


def fingerprints(parts: Mapping[Split, Mapping[str, Samples]]) -> dict[str, str]:
    """Return the number of samples and a digest for each split and domain whose samples are prepared from items."""
    found = {}
    for split, domains in parts.items():
        for name, samples in domains.items():
            made_of = samples.made_of if isinstance(samples, Stored) else samples
            if isinstance(made_of, Prepared):
                found[f"{split}.{name}"] = _fingerprint(made_of)
    return found


def _fingerprint(samples: Prepared) -> str:
    """Digest the files' names relative to their common folder, their sizes, and the contents of some."""
    folders = {os.path.dirname(os.path.abspath(item)) for item in samples.items if isinstance(item, Path)}
    root = os.path.commonpath(folders) if folders else ""
    digest = hashlib.blake2b(digest_size=8)
    for index, item in enumerate(samples.items):
        if not isinstance(item, Path):
            digest.update(repr(item).encode(errors="replace"))
            continue
        digest.update(os.fsencode(os.path.relpath(item, root)) + b"\0")
        with suppress(OSError):
            digest.update(str(os.stat(item).st_size).encode() + b"\n")
            if index % max(1, len(samples.items) // CONTENTS) == 0:
                with item.open("rb") as file:
                    digest.update(file.read(BEGINNING))
    return f"{len(samples.items)} samples, {digest.hexdigest()}"
