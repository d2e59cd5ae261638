"""The observer `csv`: the log as `log.csv`, a line for each log record and a column for each loss."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganforge import hookimpl

if TYPE_CHECKING:
    from ganforge import Run

NAME = "log.csv"


class CsvLog:
    """Writes `log.csv`: a line for each log record, a column for each loss."""

    @hookimpl
    def ganforge_started(self, run: "Run") -> None:
        """Drop lines of steps that the run, gone back to a checkpoint, will do again, and a line that is not whole."""
        path = run.folder / NAME
        if not path.exists():
            return
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        steps = [line.partition(",")[0] for line in lines]
        kept = [
            line
            for line, step in zip(lines, steps, strict=True)
            if line.endswith("\n") and (step == "step" or (step.isdecimal() and int(step) <= run.step))
        ]
        if len(kept) < len(lines):
            path.write_text("".join(kept), encoding="utf-8")

    @hookimpl
    def ganforge_logged(self, run: "Run", record: Mapping[str, Any]) -> None:
        """Append a line; a loss that the first record lacked makes the table wider."""
        row = {"step": record["step"], "steps_per_second": record["steps_per_second"], **record["losses"]}
        path = run.folder / NAME
        columns = _columns(path)
        if set(row) <= set(columns):
            with path.open("a", encoding="utf-8", newline="") as file:
                _writer(file, columns).writerow(row)
        else:
            _rewrite(path, [*columns, *(name for name in row if name not in columns)], row)


def _columns(path: Path) -> list[str]:
    """Return the names in a table's first line; none where there is no table yet."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])


def _rewrite(path: Path, columns: list[str], row: Mapping[str, Any]) -> None:
    """Write the table with other columns, and one more row."""
    rows: list[Mapping[str, Any]] = []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = _writer(file, columns)
        writer.writeheader()
        writer.writerows([*rows, row])


def _writer(file: Any, columns: list[str]) -> "csv.DictWriter[str]":
    return csv.DictWriter(file, columns, restval="", lineterminator="\n")
