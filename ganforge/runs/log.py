"""Read the text files of a run without trusting them: `log.jsonl`, the locked recipe, and JSON.

A run's folder may come from others, be edited, or half written. No reader here blocks on a pipe or a device, follows a
link out of the folder, or reads more than some megabytes.
"""

import json
import math
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ganforge.errors import InputError
from ganforge.system.folder import Folder

LOG = "log.jsonl"
LOCK = "recipe.lock.toml"
LINE_BYTES = 1 << 20  # longest line of the log
TEXT_BYTES = 1 << 18  # longest other text
DOTS = 1000  # most dots in a line of TOML: the parser takes minutes for a key of 100,000 parts
TAIL_BYTES = 1 << 16
STEPS = 1 << 53  # beyond it a float cannot tell one step from the next

Record = dict[str, Any]


# Files of a run's folder


@contextmanager
def open_inside(folder: Path, name: str) -> Iterator[BinaryIO]:
    """Open a file of a run's folder for reading.

    Raises:
        FileNotFoundError: it does not exist.
        InputError: it is not a regular file, lies outside the folder, or cannot be read; the message names it.
    """
    try:
        with Folder(folder) as held, held.open(name) as file:
            yield file
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(*error.args) from error
    except OSError as error:
        raise InputError(f"{folder / name} cannot be read: {error.strerror}") from error


def read_inside(folder: Path, name: str, most: int = TEXT_BYTES) -> bytes:
    """Read a file of a run's folder with at most `most` bytes; raises the errors of `open_inside`."""
    with open_inside(folder, name) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(f"{folder / name} has more than {most:,} bytes")
    return content


def read_lock(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return a run's locked recipe as text and as tables.

    Raises:
        FileNotFoundError: it does not exist.
        InputError: it cannot be read, or is not TOML.
    """
    try:
        text = read_inside(folder, LOCK).decode()
        if any(line.count(".") > DOTS for line in text.splitlines()):
            raise ValueError("nested too deeply")
        return text, tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{folder / LOCK}: {error}") from error


# The log


def records(folder: Path) -> Iterator[Record]:
    """Yield the records of a run's log, each with its `step`; skip other lines.

    Values that are not finite are left out. Raise an InputError if the log is not a file.
    """
    return (record for _, record in log_lines(folder) if record is not None)


def log_lines(folder: Path) -> Iterator[tuple[bytes, Record | None]]:
    """Yield each line of a run's log with its record, or None; raises the errors of `records`."""
    try:
        with open_inside(folder, LOG) as file:
            for line in bounded_lines(file):
                yield line, record_of(line)
    except FileNotFoundError:
        return


def last_step(folder: Path) -> int:
    """Return the step of the last record in the last lines of a log; 0 if there is none."""
    try:
        with open_inside(folder, LOG) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).splitlines()
    except (InputError, FileNotFoundError):
        return 0
    return next((record["step"] for line in reversed(lines) if (record := record_of(line))), 0)


def bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file with their line ends; a line longer than `LINE_BYTES` becomes empty."""
    while line := file.readline(LINE_BYTES):
        whole = line
        while len(whole) == LINE_BYTES and not whole.endswith(b"\n"):
            line, whole = b"", file.readline(LINE_BYTES)
        yield line


def record_of(line: bytes) -> Record | None:
    """Return the record in a line of a log, or None.

    >>> record_of(b'{"step": 2, "losses": {"a": 0.5, "b": null}}')
    {'step': 2, 'losses': {'a': 0.5}}
    >>> record_of(b'{"step": 2, "losses": {"a": 0.')
    """
    try:
        found = {key: FORMS[key](value) if key in FORMS else value for key, value in loads(line).items()}
        if "diversity" in found:  # its name in logs of version 0.1
            found["sample_diversity"] = found.pop("diversity")
        return found if "step" in found else None
    except (ValueError, TypeError, AttributeError):
        return None


def loads(content: bytes) -> Any:
    """Parse JSON without duplicate keys; raise a ValueError for anything else."""
    try:
        return _decoder.decode(content.decode())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("duplicate key")
    return table


_decoder = json.JSONDecoder(object_pairs_hook=_once, parse_constant=lambda _: None)


def whole(value: Any) -> int:
    """Return a number of steps; raise a ValueError for anything else."""
    if type(value) not in (int, float) or not 0 <= value <= STEPS or value != int(value):
        raise ValueError("expected an integer")
    return int(value)


def number(value: Any) -> float | None:
    """Return a number, or None if it is not finite."""
    if value is None:
        return None
    if type(value) not in (int, float):
        raise ValueError("expected a number")
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _numbers(table: Any) -> dict[str, float]:
    return {name: finite for name, value in table.items() if (finite := number(value)) is not None}


def _tables(tables: Any) -> dict[str, dict[str, float]]:
    return {name: _numbers(table) for name, table in tables.items()}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("expected a string")
    return value


# Parsers for known keys of a record; other keys may hold any JSON.
FORMS: Mapping[str, Callable[[Any], Any]] = {
    "step": whole,
    "losses": _numbers,
    "rates": _numbers,
    "steps_per_second": number,
    "metrics": _tables,
    "sample_diversity": _numbers,
    "diversity": _numbers,
    "warning": _text,
}
