"""Downloading public data sets and weights: resumed, checked and safely unpacked."""

import hashlib
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import IO

from ganforge import Archive, InputError, Remote, Report
from ganforge_data.unpack import unpack

BLOCK = 1 << 16  # bytes; a block is lost if the connection breaks in it
TRIES = 4  # in a row without a new byte
TIMEOUT = 30.0


def fetch(
    archive: Archive,
    parent: Path,
    report: Report,
    *,
    tell: Callable[[str], object] = str,
    mirrors: Sequence[str] = (),
    accept_checksum: bool = False,
    keep: bool = False,
    wait_seconds: float = 1.0,
) -> Path:
    """Download a data set, check it, and unpack (and convert) it to `parent/<name>`, whole or not at all.

    Args:
        archive: the data set.
        parent: folder for the data set's folder; a partial download stays there for another try.
        report: called with (what, done, total) in bytes.
        tell: called with a line about each file without a published checksum.
        mirrors: URLs of folders with the same files, tried first.
        accept_checksum: accept a file with another checksum.
        keep: keep the downloaded archives beside the folder.
        wait_seconds: wait before the first retry; it doubles each time.

    Raises:
        InputError: it must be downloaded by hand, exists already, the network failed, a checksum is wrong, an archive
            is unsafe, or the download cannot be converted.
    """
    if not archive.files:
        raise InputError(f"'{archive.name}' cannot be downloaded. By hand: {archive.by_hand}")
    target = parent / archive.name
    waiting = parent / f".{archive.name}.download"
    aside = parent / f".{archive.name}.unpacking"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        if target.exists() or target.is_symlink():
            raise InputError(f"'{target}' exists already; remove it, or choose another folder")
        waiting.mkdir(parents=True, exist_ok=True)
        for remote in archive.files:
            _require_room(parent, archive)
            file = _download(remote, archive, waiting, mirrors, report, wait_seconds)
            _check(file, remote, accept_checksum, tell)
        for remote in archive.files:
            file = waiting / remote.name
            aside.mkdir(exist_ok=True)
            if remote.packed:
                unpack(file, aside, report)
            else:
                shutil.copyfile(file, aside / remote.name)
        if archive.convert:
            archive.convert(aside)
        _lift(aside, {archive.name, *(remote.name.partition(".")[0] for remote in archive.files)}).rename(target)
        if keep:
            for remote in archive.files:
                (waiting / remote.name).rename(parent / remote.name)
        shutil.rmtree(waiting)
    except OSError as error:
        raise InputError(f"cannot write to '{parent}': {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _lift(folder: Path, names: Collection[str]) -> Path:
    """Return the folder that holds the data, since an archive may wrap them in a folder of any name."""
    inner = [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    return inner[0] if len(inner) == 1 and inner[0].name in names and inner[0].is_dir() else folder


def _require_room(parent: Path, archive: Archive) -> None:
    """Refuse a download for which the disk has no room, packed and unpacked."""
    here = sum(path.stat().st_size for path in (parent / f".{archive.name}.download").iterdir())
    free = shutil.disk_usage(parent).free
    if free < 2 * archive.size - here:
        raise InputError(
            f"'{archive.name}' needs about {2 * archive.size / 2**30:.1f} GiB in '{parent}' while it is unpacked, "
            f"but only {free / 2**30:.1f} GiB are free"
        )


def _check(file: Path, remote: Remote, accept: bool, tell: Callable[[str], object]) -> None:
    """Check a file's checksum; if none is known, print the file's."""
    kind, expected = ("md5", remote.md5) if remote.md5 and not remote.sha256 else ("sha256", remote.sha256)
    digest = hashlib.new(kind, usedforsecurity=False)
    with file.open("rb") as source:
        while block := source.read(BLOCK):
            digest.update(block)
    if not expected:
        tell(f"{remote.name} has the sha256 {digest.hexdigest()}; no checksum is published to verify it")
    if not expected or digest.hexdigest() == expected or accept:
        return
    raise InputError(
        f"'{file}' has the {kind} {digest.hexdigest()}, expected {expected}: the download is damaged, or its publisher "
        "changed it. If you trust it, add --accept-checksum; to download it again, delete it"
    )


def _download(
    remote: Remote, archive: Archive, waiting: Path, mirrors: Sequence[str], report: Report, wait_seconds: float
) -> Path:
    """Return the whole file; resume a partial download."""
    file = waiting / remote.name
    if file.exists():
        return file
    reasons = []
    urls = [*(f"{mirror.rstrip('/')}/{remote.name}" for mirror in mirrors), *remote.urls]
    for url in urls:
        try:
            _load(url, file, report, wait_seconds)
        except (OSError, HTTPException, ValueError) as error:
            reasons.append(f"{url}: {getattr(error, 'reason', None) or error}")
        else:
            return file
    part = _part(file)
    if part.exists() and any(_known_tag(part, url) for url in urls):
        what_next = f"{_size(part) / 2**20:,.1f} MiB are downloaded; the same command continues from there."
    else:
        what_next = "Try again later, or give another URL with --mirror."
    by_hand = f" By hand: {archive.by_hand}" if archive.by_hand else ""
    raise InputError(f"cannot download {remote.name} ({'; '.join(reasons)}). {what_next}{by_hand}")


def _part(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _load(url: str, file: Path, report: Report, wait_seconds: float) -> None:
    """Download from one URL; resume after each break as long as new bytes arrive."""
    part = _part(file)
    failed, furthest = 0, _size(part) if _known_tag(part, url) else 0
    while True:
        try:
            _load_rest(url, part, file.name, report)
        except urllib.error.HTTPError as error:
            if error.code == 416 and part.exists():  # nothing is left to load, or the part is of another file
                part.unlink()
            elif error.code < 500:
                raise
            failed += 1
            if failed >= TRIES:
                raise
        except (OSError, HTTPException):
            # Only new bytes count, or a server that does not support resuming would be asked forever.
            size = _size(part)
            failed = 1 if size > furthest else failed + 1
            furthest = max(furthest, size)
            if failed >= TRIES:
                raise
        else:
            part.rename(file)
            _state(part).unlink(missing_ok=True)
            return
        time.sleep(wait_seconds * 2 ** (failed - 1))


def _write(target: IO[bytes], block: bytes) -> None:
    """Write a block; a disk error must not be retried like a network error."""
    try:
        target.write(block)
        target.flush()
    except OSError as error:
        raise InputError(f"cannot write to '{target.name}': {error.strerror}") from error


def _state(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _known_tag(part: Path, url: str) -> str:
    """Return the tag of the partly downloaded file, if it is from this URL; otherwise an empty string."""
    try:
        known = json.loads(_state(part).read_text())
        return str(known["tag"]) if known["url"] == url else ""
    except (OSError, ValueError, KeyError, TypeError):  # it is missing, or was not completely written
        return ""


def _load_rest(url: str, part: Path, name: str, report: Report) -> None:
    """Download the rest of the file; start over if the server now has another file."""
    headers = {"User-Agent": "ganforge"}
    here = _size(part)
    tag = _known_tag(part, url) if here else ""
    if tag:
        headers |= {"Range": f"bytes={here}-", "If-Range": tag}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:
        if answer.headers.get_content_type() == "text/html":
            raise ValueError("the server sent a web page instead of the file")
        offered = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if answer.status != 206:
            here = 0
            # A weak tag does not guarantee the same bytes, so it must not be used to resume.
            tag = "" if offered.startswith("W/") else offered
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {here}-") or offered not in ("", tag):
            part.unlink(missing_ok=True)
            raise ConnectionError("the server sent another part of the file than requested")
        length = answer.headers.get("Content-Length")
        total = here + int(length) if length else 0
        with part.open("ab" if here else "wb") as target:
            # Only after the old bytes are removed: they must never be stored with the tag of another file.
            _state(part).write_text(json.dumps({"url": url, "tag": tag}))
            while block := answer.read(BLOCK):
                _write(target, block)
                here += len(block)
                report(f"downloading {name}", here, max(total, here))
    if total and here < total:
        raise ConnectionError(f"the connection ended at {here:,} of {total:,} bytes")
