"""Safe unpacking of untrusted archives: only plain files inside one folder, and no bombs."""

import bz2
import errno
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ganforge import UNWRITABLE, InputError, Report

BLOCK = 1 << 16  # bytes copied at a time
MAX_MEMBERS = 2_000_000
GROWTH = 10  # how many times its packed size an archive may unpack to, and
SPARE = 100 << 20  # how many bytes more
BETWEEN = 4 << 20  # bytes allowed between two files of a tar archive

# Exceptions of the archive readers; bz2 and gzip raise an OSError without a number.
DAMAGES = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    RuntimeError,
    OSError,
)
PACKERS: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
Member = tuple[str, int, Callable[[], IO[bytes]] | None]  # name, size, opener; None for a folder


def unpack(file: Path, folder: Path, report: Report) -> None:
    """Unpack a tar or zip archive: only plain files and folders, all of them inside the folder.

    Raises:
        InputError: it is not an archive, is damaged, or holds links, paths outside the folder, or too much.
    """
    size_packed = file.stat().st_size
    allowed = size_packed * GROWTH + SPARE
    total = done = 0
    try:
        with file.open("rb") as raw, _members(raw, file) as members:
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
                    _copy(source(), target, size)
                done = max(done, raw.tell())  # a zip archive's files may lie in any order
                report(f"unpacking {file.name}", done, size_packed)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"'{file}' holds '{error.filename}' twice: refused") from error
    except DAMAGES as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            raise InputError(f"'{file}' holds a name that is too long for this file system: refused") from error
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            raise
        raise InputError(f"'{file}' is damaged or not an archive: {error}; to download it again, delete it") from error
    if not total:
        raise InputError(f"'{file}' holds no files, or only empty ones")
    report(f"unpacking {file.name}", size_packed, size_packed)


@contextmanager
def _members(raw: IO[bytes], file: Path) -> Iterator[Iterator[Member]]:
    """Yield an archive's members; exit without an error only if it is complete and its checksums, if any, agree."""
    start = raw.read(5)
    raw.seek(0)
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        with zipfile.ZipFile(raw) as packed:
            yield (_zip_member(packed, info, file) for info in packed.infolist())
        return
    opened = next((opener(raw) for magic, opener in PACKERS.items() if start.startswith(magic)), raw)
    # tarfile alone would accept a truncated archive as complete, and does not verify checksums.
    metered = _Metered(opened)
    with opened, tarfile.open(fileobj=metered, mode="r|") as packed_tar:
        yield (_tar_member(packed_tar, info, file) for info in _granted(packed_tar, metered))
        metered.left = BETWEEN
        while metered.read(BLOCK):
            pass


class _Metered(io.RawIOBase):
    """A stream with a limit on what may be read: a tar archive's headers alone could fill the memory."""

    def __init__(self, source: IO[bytes]) -> None:
        self.source = source
        self.left = BETWEEN

    def read(self, size: int = -1, /) -> bytes:
        block = self.source.read(size)
        self.left -= len(block)
        if self.left < 0:
            raise tarfile.ReadError(f"more than {BETWEEN:,} bytes between two files")
        return block


def _granted(packed: tarfile.TarFile, metered: _Metered) -> Iterator[tarfile.TarInfo]:
    for info in packed:
        packed.members.clear()  # type: ignore[attr-defined]  # otherwise every header stays in memory
        metered.left = info.size + BETWEEN
        yield info


def _zip_member(packed: zipfile.ZipFile, info: zipfile.ZipInfo, file: Path) -> Member:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InputError(f"'{file}' holds '{info.filename}', which is not a plain file: refused")
    if info.flag_bits & 1:
        raise InputError(f"'{file}' holds '{info.filename}', which is encrypted: refused")
    if info.is_dir():
        return info.filename, 0, None
    return info.filename, info.file_size, lambda: packed.open(info)


def _tar_member(packed: tarfile.TarFile, info: tarfile.TarInfo, file: Path) -> Member:
    if info.isdir():
        return info.name, 0, None
    if not info.isreg() or info.issparse() or info.size < 0:
        raise InputError(f"'{file}' holds '{info.name}', which is not a plain file: refused")

    def opened() -> IO[bytes]:
        source = packed.extractfile(info)
        assert source is not None  # it is a regular file
        return source

    return info.name, info.size, opened


def _inside(file: Path, name: str) -> PurePosixPath:
    """Return a member's path, which must stay below the folder it is unpacked into."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or any(part[1:2] == ":" for part in path.parts) or "\0" in name:
        raise InputError(f"'{file}' holds '{name}', a path outside its folder: refused")
    return path


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    left = size
    with source:
        while block := source.read(min(BLOCK, left + 1)):
            left -= len(block)
            if left < 0:
                break
            target.write(block)
    if left:
        raise ValueError("a file in it does not have its declared size")
