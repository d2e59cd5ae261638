"""Folders whose contents no link leads out of, with files that are complete or absent, even after a crash."""

import errno
import fnmatch
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self

from ganforge.errors import InputError

MISPLACED = {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}  # a link, a pipe or a file is in the way
LONGEST = 200  # bytes of a name that its temporary name keeps
Content = str | bytes | Iterable[bytes]
ASIDE = re.compile(r"\..*\.[0-9a-f]{16}", re.DOTALL)


def write_file(path: Path, content: Content, *, lasting: bool = True) -> None:
    """Write a file atomically: readers, also after a crash, see either the old content or the new.

    A link of that name is replaced; its target stays as it is. `lasting` waits until the file is on the disk (fsync).

    Raises:
        OSError: the file cannot be written; the old content remains.
    """
    with Folder(path.parent) as folder:
        folder.write(path.name, content, lasting=lasting)


def write_output(path: Path, content: Content) -> Path:
    """Write a file that the user asked for and return its path; raise an InputError if it cannot be written."""
    try:
        write_file(path, content)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return path


def leads_out(path: Path, folder: Path) -> bool:
    """Return whether links make a path in a folder lead out of it."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


class Folder:
    """An open folder: operations stay inside it, whatever links it contains and wherever it is moved.

    Names are relative to it, with slashes; writing creates missing parent folders. Methods raise an OSError, one of
    `UNWRITABLE`, if a link is on the way or the folder is gone.
    """

    def __init__(self, path: Path, descriptor: int | None = None) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY) if descriptor is None else descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the folder."""
        os.close(self._descriptor)

    def folder(self, name: str, *, create: bool = False) -> "Folder":
        """Open a folder in this one."""
        with self._place(f"{name}/.", create=create) as (descriptor, _):
            return Folder(self.path / name, os.dup(descriptor))

    def write(self, name: str, content: Content, *, lasting: bool = True) -> None:
        """Write a file; see `write_file`."""
        content = content.encode() if isinstance(content, str) else content
        with self._place(name, create=True) as (place, last):
            aside = _aside(last)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            try:
                with os.fdopen(os.open(aside, flags, 0o666, dir_fd=place), "wb") as file:
                    file.writelines([content] if isinstance(content, bytes) else content)
                    file.flush()
                    if lasting:
                        os.fsync(file.fileno())
                os.rename(aside, last, src_dir_fd=place, dst_dir_fd=place)
            except BaseException:
                with suppress(OSError):
                    os.unlink(aside, dir_fd=place)
                raise
            if lasting:
                os.fsync(place)

    def append(self, name: str, text: str) -> None:
        """Append lines to a file; if its last line is incomplete, they begin on a new one."""
        with self._place(name, create=True) as (place, last):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(last, flags, 0o666, dir_fd=place)
            about = _require_regular(descriptor)
            try:
                data = (f"\n{text}" if _is_torn(descriptor) else text).encode()
                while data and about.st_nlink == 1:
                    data = data[os.write(descriptor, data) :]
            finally:
                os.close(descriptor)
        if data:  # the file has further hard links, whose content must not change
            self.write(name, self.read(name) + data)

    def is_torn(self, name: str) -> bool:
        """Return whether the last line of a file has no newline: a full disk or a kill cut it off."""
        with self.open(name) as file:
            return _is_torn(file.fileno())

    def read(self, name: str) -> bytes:
        """Read a file; see `open`."""
        with self.open(name) as file:
            return file.read()

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading.

        Raises:
            InputError: it is a link that leads out of the folder, or not a regular file.
            OSError: it cannot be opened.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            try:
                with self._place(name) as (place, last):
                    descriptor = os.open(last, flags, dir_fd=place)
            except PermissionError:
                real = Path(os.path.realpath(self.path / name)).relative_to(os.path.realpath(self.path))
                with self._place(real.as_posix()) as (place, last):
                    descriptor = os.open(last, flags, dir_fd=place)
            _require_regular(descriptor)
        except ValueError as error:
            raise InputError(f"{self.path / name} is a link that leads out of its folder") from error
        except IsADirectoryError as error:
            raise InputError(f"{self.path / name} is not a file") from error
        return os.fdopen(descriptor, "rb")

    def names(self, pattern: str = "*") -> list[str]:
        """Return the names in this folder that match a pattern, sorted, without hidden ones."""
        return sorted(n for n in os.listdir(self._descriptor) if fnmatch.fnmatchcase(n, pattern) and n[0] != ".")

    def has(self, name: str) -> bool:
        """Return whether a file, folder or link of this name exists."""
        with suppress(OSError), self._place(name) as (place, last):
            os.stat(last, dir_fd=place, follow_symlinks=False)
            return True
        return False

    @contextmanager
    def stage(self, name: str) -> Iterator["Folder"]:
        """Yield a temporary folder that replaces the folder `name` once the block has succeeded."""
        aside, older = _aside(name), _aside(name)
        os.mkdir(aside, dir_fd=self._descriptor)
        try:
            with self.folder(aside) as made:
                yield made
                os.fsync(made._descriptor)
            with suppress(FileNotFoundError):
                self._rename(name, older)
            self._rename(aside, name)
        except BaseException:
            with suppress(OSError):
                _remove(aside, self._descriptor)
                self._rename(older, name)
            raise
        os.fsync(self._descriptor)
        with suppress(FileNotFoundError):
            _remove(older, self._descriptor)

    def delete(self, name: str) -> None:
        """Delete a file, or a folder and its contents; it is renamed first, so that nobody sees half of it."""
        aside = _aside(name)
        self._rename(name, aside)
        _remove(aside, self._descriptor)

    def clear(self) -> None:
        """Delete, here and in all folders below, temporary files that a killed process left."""
        for _, folders, files, place in os.fwalk(".", dir_fd=self._descriptor):
            for name in filter(ASIDE.fullmatch, [*folders, *files]):
                _remove(name, place)
            folders[:] = [name for name in folders if not ASIDE.fullmatch(name)]

    def _rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    @contextmanager
    def _place(self, name: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Yield the descriptor of a name's parent folder, reached without following links, and the last part."""
        *way, last = name.split("/")
        if ".." in (*way, last):
            raise InputError(f"'{name}' leads out of {self.path}")
        place = os.dup(self._descriptor)
        try:
            for part in way:
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=place)
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
                os.close(place)
                place = below
            yield place, last
        except OSError as error:
            if error.errno in MISPLACED:
                raise PermissionError(errno.EPERM, f"{name} is blocked by a link or another file") from error
            if error.errno == errno.ENOENT and os.fstat(self._descriptor).st_nlink == 0:
                raise OSError(errno.ESTALE, "the folder is gone") from error
            raise
        finally:
            os.close(place)


def _aside(name: str) -> str:
    """Return an unpredictable temporary name."""
    return f".{os.fsdecode(os.fsencode(name)[:LONGEST])}.{secrets.token_hex(8)}"


def _remove(name: str, place: int) -> None:
    """Delete a file, a link, or a folder and its contents."""
    if stat.S_ISDIR(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode):
        shutil.rmtree(name, dir_fd=place)
    else:
        os.unlink(name, dir_fd=place)


def _require_regular(descriptor: int) -> os.stat_result:
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        raise IsADirectoryError(errno.EISDIR, "not a file")
    return about


def _is_torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
