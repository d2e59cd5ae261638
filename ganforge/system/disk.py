"""Disks and their errors, text files that people wrote, the user's folders, and JSON."""

import codecs
import errno
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ganforge.errors import InputError

# Errors of a disk that is full, over quota, read-only, missing or broken, or of a path that is blocked.
UNWRITABLE = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
        *(errno.EACCES, errno.EPERM, errno.ESTALE, errno.EISDIR),
    }
)

# Byte-order marks of other encodings. UTF-32 comes first: its mark begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, with or without a byte-order mark; line ends become newlines.

    Raises:
        InputError: the file does not exist, cannot be read, or is not UTF-8.
    """
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise InputError(f"'{path}' is {kind}, expected a text file")
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # a ValueError is a NUL in the name
        raise InputError(f"'{path}' cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if other := next((name for mark, name in MARKS.items() if content.startswith(mark)), None):
        raise InputError(f"'{path}' is {other}; save it as UTF-8")
    content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\0" in content:
        raise InputError(f"'{path}' contains NUL bytes, so it is UTF-16, UTF-32 or not text; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise InputError(f"'{path}' is not UTF-8: line {line} holds the byte {byte:#04x}; save it as UTF-8") from error


def user_folder(kind: Literal["cache", "data"]) -> Path:
    """Return this user's folder for what can be recomputed (`cache`), or for downloads such as weights (`data`).

    `GANFORGE_CACHE` or `GANFORGE_DATA` names it; the default is the system's usual folder. It may not exist yet.

    Raises:
        InputError: the user has no known home folder, or the folder's name is not UTF-8, which safetensors needs.
    """
    import platformdirs

    variable = f"GANFORGE_{kind.upper()}"
    usual = {"cache": platformdirs.user_cache_dir, "data": platformdirs.user_data_dir}[kind]
    named = os.environ.get(variable)
    try:
        folder = Path(named or usual("ganforge")).expanduser().absolute()
    except (RuntimeError, KeyError) as error:
        place = f"the home folder in '{named}' is unknown" if named else f"this user has no home folder for the {kind}"
        raise InputError(f"{place}; set {variable} to a writable folder") from error
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the name of the folder '{folder}' is not UTF-8; set {variable} to another folder") from error
    return folder


def to_json(nest: Any, **options: Any) -> str:
    """Write a nest as JSON; numbers that are not finite become null.

    >>> to_json({"a": [1.5, float("nan")]})
    '{"a": [1.5, null]}'
    """
    return json.dumps(_finite(nest), allow_nan=False, **options)


def _finite(nest: Any) -> Any:
    if isinstance(nest, Mapping):
        return {key: _finite(value) for key, value in nest.items()}
    if isinstance(nest, list | tuple):
        return [_finite(value) for value in nest]
    return None if isinstance(nest, float) and not math.isfinite(nest) else nest


def sync(path: Path) -> None:
    """Flush a file or folder to the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
