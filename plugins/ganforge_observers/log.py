"""`log.jsonl`: one JSON object a line, for each log interval and each evaluation."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ganforge import Run, write_text

NAME = "log.jsonl"


def append(run: Run, record: Mapping[str, Any]) -> None:
    """Append one record."""
    with (run.folder / NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def cut(run: Run) -> None:
    """Drop records of steps that the run, gone back to a checkpoint, will do again, and lines that are torn."""
    path = run.folder / NAME
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if _step(line) <= run.step]
    if len(kept) < len(lines):
        write_text(path, "".join(kept))


def _step(line: str) -> float:
    """Return a record's step; infinity where the line is torn or is no record."""
    with suppress(ValueError, KeyError, TypeError):
        if line.endswith("\n"):
            return float(json.loads(line)["step"])
    return math.inf
