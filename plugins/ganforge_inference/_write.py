"""A file that is whole or not there; to be had from the core, once that offers it."""

import os
import secrets
from pathlib import Path

from ganforge import sync


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a crash, finds either the old content or the new one.

    A link at its place is replaced, and what it leads to is left alone. An OSError says that it cannot be written;
    nothing of it is left behind then.
    """
    aside = path.with_name(f".{secrets.token_hex(8)}")  # short, since the file's own name may be the longest possible
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(aside, flags, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(descriptor)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync(path.parent)
