"""Public data sets from where they are published: downloads that can be resumed, checked and safely unpacked."""

import hashlib
import json
import shutil
import stat
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO

from ganforge.archives import Archive, Remote
from ganforge.errors import InputError

BLOCK = 1 << 20
TRIES = 5  # in a row, without a byte gained
TIMEOUT = 30.0
MAX_MEMBERS = 2_000_000
GROWTH = 10  # how many times its packed size an archive may unpack to, and
SPARE = 100 << 20  # how many bytes more

Report = Callable[[str, int, int], None]


def fetch(
    archive: Archive,
    parent: Path,
    report: Report,
    *,
    mirrors: Sequence[str] = (),
    accept_checksum: bool = False,
    keep: bool = False,
    wait_seconds: float = 1.0,
) -> Path:
    """Download a data set, check it, and unpack it to `parent/<name>`, all of it or nothing.

    Args:
        archive: what is wanted.
        parent: folder in which the data set's folder will be; what is downloaded so far waits there for another try.
        report: told of (what, done, total) in bytes.
        mirrors: addresses of folders that hold the same files, to be tried first.
        accept_checksum: take a file whose checksum is another one.
        keep: keep the downloaded archives beside the folder.
        wait_seconds: before the first new try; it doubles.

    Raises:
        InputError: it is there already, the network failed, a checksum is wrong, or an archive is unsafe.
    """
    target = parent / archive.name
    if target.exists():
        raise InputError(f"'{target}' is there already; remove it first, or choose another folder")
    waiting = parent / f".{archive.name}.download"
    aside = parent / f".{archive.name}.unpacking"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        waiting.mkdir(parents=True, exist_ok=True)
        for remote in archive.files:
            _require_room(parent, archive)
            file = _download(remote, archive, waiting, mirrors, report, wait_seconds)
            _check(file, remote, accept_checksum)
        for remote in archive.files:
            file = waiting / remote.name
            aside.mkdir(exist_ok=True)
            if remote.packed:
                unpack(file, aside, report)
            else:
                shutil.copyfile(file, aside / remote.name)
        _lift(aside, archive.name).rename(target)
    except OSError as error:
        raise InputError(f"cannot write to '{parent}': {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    if keep:
        for remote in archive.files:
            (waiting / remote.name).rename(parent / remote.name)
    shutil.rmtree(waiting)
    return target


def unpack(file: Path, folder: Path, report: Report) -> None:
    """Unpack a tar or zip archive: plain files and folders only, none of them outside of the folder.

    Raises:
        InputError: it is no archive, is damaged, or holds links, outside paths, or too much.
    """
    allowed = file.stat().st_size * GROWTH + SPARE
    total = 0
    try:
        with _members(file) as (count, members):
            for number, (name, size, source) in enumerate(members, 1):
                if number > MAX_MEMBERS:
                    raise InputError(f"'{file}' holds more than {MAX_MEMBERS:,} files: refused")
                path = folder / _inside(file, name)
                if source is None:
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                total += size
                if total > allowed:
                    raise InputError(f"'{file}' unpacks to more than {allowed / 2**20:,.0f} MiB: refused as a bomb")
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as target:
                    _copy(source(), target, size, file)
                report(f"unpacking {file.name}", number, max(count, number))
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise InputError(f"'{file}' is damaged: {error}") from error
    except FileExistsError as error:
        raise InputError(f"'{file}' holds '{error.filename}' twice: refused") from error
    except OSError as error:
        if type(error).__module__ in ("gzip", "zlib", "lzma"):
            raise InputError(f"'{file}' is damaged: {error}") from error
        raise
    if not total:
        raise InputError(f"'{file}' holds no files")


Member = tuple[str, int, Callable[[], IO[bytes]] | None]  # name, size, opener; None for a folder


@contextmanager
def _members(file: Path) -> Iterator[tuple[int, Iterator[Member]]]:
    """Yield how many members an archive has, 0 if that is not known before its end, and the members."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as packed:
            infos = packed.infolist()
            yield len(infos), (_zip_member(packed, info, file) for info in infos)
        return
    with tarfile.open(file, "r|*") as packed_tar:
        yield 0, (_tar_member(packed_tar, info, file) for info in packed_tar)


def _zip_member(packed: zipfile.ZipFile, info: zipfile.ZipInfo, file: Path) -> Member:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InputError(f"'{file}' holds '{info.filename}', which is no plain file: refused")
    if info.is_dir():
        return info.filename, 0, None
    return info.filename, info.file_size, lambda: packed.open(info)


def _tar_member(packed: tarfile.TarFile, info: tarfile.TarInfo, file: Path) -> Member:
    if info.isdir():
        return info.name, 0, None
    if not info.isreg() or info.issparse():
        raise InputError(f"'{file}' holds '{info.name}', which is no plain file: refused")

    def opened() -> IO[bytes]:
        source = packed.extractfile(info)
        assert source is not None  # it is a regular file
        return source

    return info.name, info.size, opened


def _inside(file: Path, name: str) -> PurePosixPath:
    """Return a member's path, which must stay below the folder it is unpacked into."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]) or "\0" in name:
        raise InputError(f"'{file}' holds '{name}', a path outside of its folder: refused")
    return path


def _copy(source: IO[bytes], target: IO[bytes], size: int, file: Path) -> None:
    left = size
    with source:
        while block := source.read(min(BLOCK, left + 1)):
            left -= len(block)
            if left < 0:
                break
            target.write(block)
    if left:
        raise InputError(f"'{file}' is damaged: a file in it has another size than it says")


def _lift(folder: Path, name: str) -> Path:
    """Return the folder that holds the data: an archive may bring a folder of the data set's name, or none."""
    inner = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return inner[0] if len(inner) == 1 and inner[0].name == name and inner[0].is_dir() else folder


def _require_room(parent: Path, archive: Archive) -> None:
    """Say before a download, not hours later, that the disk cannot hold it packed and unpacked."""
    here = sum(path.stat().st_size for path in (parent / f".{archive.name}.download").iterdir())
    free = shutil.disk_usage(parent).free
    if free < 2 * archive.size - here:
        raise InputError(
            f"'{archive.name}' needs about {2 * archive.size / 2**30:.1f} GiB in '{parent}' while it is unpacked, "
            f"but {free / 2**30:.1f} GiB are free"
        )


def _check(file: Path, remote: Remote, accept: bool) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as source:
        while block := source.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() == remote.md5 or accept:
        return
    raise InputError(
        f"'{file}' has the md5 {digest.hexdigest()}, expected {remote.md5}: the download was spoilt, or the publisher "
        "changed the file. If you trust it, add --accept-checksum; to load it anew, delete it"
    )


def _download(
    remote: Remote, archive: Archive, waiting: Path, mirrors: Sequence[str], report: Report, wait_seconds: float
) -> Path:
    """Return the whole file; what is there of it is not loaded again."""
    file = waiting / remote.name
    if file.exists():
        return file
    reasons = []
    for url in (*(f"{mirror.rstrip('/')}/{remote.name}" for mirror in mirrors), *remote.urls):
        try:
            _load(url, file, report, wait_seconds)
        except (OSError, HTTPException, ValueError) as error:
            reasons.append(f"{url}: {getattr(error, 'reason', None) or error}")
        else:
            return file
    part = _part(file)
    got = (
        f" {part.stat().st_size / 2**20:,.1f} MiB are here; the same command goes on from there."
        if part.exists()
        else ""
    )
    by_hand = f" By hand: {archive.by_hand}" if archive.by_hand else ""
    raise InputError(f"cannot download {remote.name} ({'; '.join(reasons)}).{got}{by_hand}")


def _part(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def _load(url: str, file: Path, report: Report, wait_seconds: float) -> None:
    """Load one address, again and again from where it broke off, as long as that brings bytes."""
    part = _part(file)
    failed = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _load_rest(url, part, file.name, report)
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # nothing is left to load, or what is here is of another file
                part.unlink()
            elif error.code < 500:
                raise
            failed += 1
            if failed >= TRIES:
                raise
        except (OSError, HTTPException):
            gained = (part.stat().st_size if part.exists() else 0) > before
            failed = 1 if gained else failed + 1
            if failed >= TRIES:
                raise
        else:
            part.rename(file)
            _state(part).unlink(missing_ok=True)
            return
        time.sleep(wait_seconds * 2 ** (failed - 1))


def _write(target: IO[bytes], block: bytes) -> None:
    """Write; an error of the disk is no error of the network, which would be tried again."""
    try:
        target.write(block)
        target.flush()
    except OSError as error:
        raise InputError(f"cannot write to '{target.name}': {error.strerror}") from error


def _state(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _load_rest(url: str, part: Path, name: str, report: Report) -> None:
    """Append what is missing of the file; from its beginning where the server has another file now."""
    headers = {"User-Agent": "ganforge"}
    here = part.stat().st_size if part.exists() else 0
    known = json.loads(_state(part).read_text()) if here and _state(part).exists() else {}
    if here and known.get("url") == url and known.get("tag"):
        headers |= {"Range": f"bytes={here}-", "If-Range": known["tag"]}
    else:
        here = 0
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:
        if answer.status != 206:
            here = 0
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {here}-"):
            raise ValueError("the server sent another part of the file than was asked for")
        if answer.headers.get_content_type() == "text/html":
            raise ValueError("the server sent a web page instead of the file")
        length = answer.headers.get("Content-Length")
        total = here + int(length) if length else 0
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        # A weak tag does not promise the same bytes, so that it must not be used to go on.
        _state(part).write_text(json.dumps({"url": url, "tag": "" if tag.startswith("W/") else tag}))
        with part.open("ab" if here else "wb") as target:
            while block := answer.read(BLOCK):
                _write(target, block)
                here += len(block)
                report(f"downloading {name}", here, max(total, here))
    if total and here < total:
        raise ConnectionError(f"the connection ended at {here:,} of {total:,} bytes")
