"""Files that are whole or not there, whatever happens while they are written, and texts that people wrote."""

import codecs
import errno
import os
import re
import shutil
from pathlib import Path

from ganforge.errors import InputError

# Errors of a disk that is full, over its quota, read-only, or broken.
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}

# How files of other encodings begin; UTF-32 comes first, since its mark begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_text(path: Path) -> str:
    """Read a text that a person wrote, in UTF-8 with or without a byte-order mark; every line ends with a newline only.

    Raises:
        InputError: there is no such file, it cannot be read, or it is no UTF-8.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"'{path}' is {'a folder' if path.is_dir() else 'no plain file'}, expected a text file")
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # a ValueError is a NUL in the name
        raise InputError(f"'{path}' cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if other := next((name for mark, name in MARKS.items() if content.startswith(mark)), None):
        raise InputError(f"'{path}' is {other}; save it as UTF-8")
    content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\0" in content:
        raise InputError(f"'{path}' holds NUL bytes, so it is UTF-16, UTF-32 or no text at all; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise InputError(f"'{path}' is not UTF-8: line {line} holds the byte {byte:#04x}; save it as UTF-8") from error


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader, or a crash, finds either the old text or the new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    sync(aside)
    aside.replace(path)
    sync(path.parent)


def clear_aside(folder: Path) -> None:
    """Delete what a process that was killed left half-written in a folder that is now ours alone."""
    for path in folder.glob(".*") if folder.is_dir() else ():
        if re.fullmatch(r"\..+\.\d+", path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def sync(path: Path) -> None:
    """Have the file or folder written to the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
