"""`log.jsonl`: one JSON object a line, for each log interval and each evaluation."""

import json
from collections.abc import Mapping
from typing import Any

from ganforge import Run

NAME = "log.jsonl"


def append(run: Run, record: Mapping[str, Any]) -> None:
    """Append one record."""
    with (run.folder / NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def cut(run: Run) -> None:
    """Drop records of steps that the run, gone back to a checkpoint, will do again."""
    path = run.folder / NAME
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= run.step]
    if len(kept) < len(lines):
        path.write_text("".join(kept), encoding="utf-8")
