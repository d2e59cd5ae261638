"""`log.jsonl`: one JSON object a line, for each log interval and each evaluation."""

import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ganforge import InputError, Run, log_lines, sync, to_json

NAME = "log.jsonl"


def append(run: Run, record: Mapping[str, Any]) -> None:
    """Append one record."""
    path = run.folder / NAME
    line = to_json(record).encode() + b"\n"
    torn = is_torn(path)
    with path.open("ab") as file:
        file.write(b"\n" + line if torn else line)


def is_torn(path: Path) -> bool:
    """Whether a file's last line has no end: it was being written when the disk was full, or the process was killed."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def cut(run: Run) -> None:
    """Keep only sound records, and of these only those of steps that the run will not do again.

    Whatever else stands in the log's place makes way for an empty one.
    """
    path = run.folder / NAME
    if not os.path.lexists(path):
        return

    def kept() -> Iterable[bytes]:
        with suppress(InputError):
            for line, record in log_lines(run.folder):
                if record is not None and record["step"] <= run.step:
                    yield line if line.endswith(b"\n") else line + b"\n"

    replace(path, kept())


def replace(path: Path, lines: Iterable[bytes]) -> None:
    """Write a file anew, whole or not at all, without ever holding all of it."""
    aside = path.with_name(f".{path.name}.{secrets.randbelow(10**12)}")
    try:
        with aside.open("xb") as file:
            file.writelines(lines)
        sync(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
