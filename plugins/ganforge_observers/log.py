"""`log.jsonl`: one JSON object per line for each log interval and each evaluation."""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from ganforge import InputError, Run, log_lines, to_json

NAME = "log.jsonl"


def append(run: Run, record: Mapping[str, Any]) -> None:
    """Append one record."""
    run.files.append(NAME, to_json(record) + "\n")


def cut(run: Run) -> None:
    """Keep only valid records of steps and evaluations that the run will not repeat.

    After the last step the evaluations are repeated, unless that step is evaluated already. Anything else in the log's
    place is replaced by an empty log.
    """
    if run.files.has(NAME):
        run.files.write(NAME, _kept(run))


def _kept(run: Run) -> Iterable[bytes]:
    with suppress(InputError):
        for line, record in log_lines(run.folder):
            step = math.inf if record is None else record["step"]
            again = (
                record is not None and "metrics" in record and not run.measured.is_whole(record.get("split", "test"))
            )
            if step < run.step or (step == run.step and not again):
                yield line if line.endswith(b"\n") else line + b"\n"
