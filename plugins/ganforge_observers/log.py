"""`log.jsonl`: one JSON object a line, for each log interval and each evaluation."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ganforge import Run, to_json

NAME = "log.jsonl"


def append(run: Run, record: Mapping[str, Any]) -> None:
    """Append one record."""
    run.files.append(NAME, to_json(record) + "\n")


def cut(run: Run) -> None:
    """Drop records of steps that the run, gone back to a checkpoint, will do again, and lines that are torn.

    After the last step the evaluations are done again, unless that step is evaluated.
    """
    if not run.files.has(NAME):
        return
    lines = run.files.read(NAME).decode(errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if _is_kept(line, run)]
    if len(kept) < len(lines):
        run.files.write(NAME, "".join(kept))


def _is_kept(line: str, run: Run) -> bool:
    """Whether a line is whole, and tells of what will not be done again."""
    with suppress(ValueError, KeyError, TypeError):
        record = json.loads(line) if line.endswith("\n") else {}
        step = float(record["step"])
        return step < run.step or (step == run.step and ("metrics" not in record or run.is_evaluated))
    return False
