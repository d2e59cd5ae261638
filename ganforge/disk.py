"""Files that are whole or not there, whatever happens while they are written."""

import errno
import os
import re
import shutil
from pathlib import Path

# Errors of a disk that is full, over its quota, read-only, or broken.
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}


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
