"""The observer `csv`: the log as `log.csv`, a line for each log record and a column for each loss."""

import csv
from collections.abc import Iterable, Mapping
from io import StringIO
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
        if not run.files.has(NAME):
            return
        lines = run.files.read(NAME).decode(errors="replace").splitlines(keepends=True)
        steps = [line.partition(",")[0] for line in lines]
        kept = [
            line
            for line, step in zip(lines, steps, strict=True)
            if line.endswith("\n") and (step == "step" or (step.isdecimal() and int(step) <= run.step))
        ]
        if len(kept) < len(lines):
            run.files.write(NAME, "".join(kept))

    @hookimpl
    def ganforge_logged(self, run: "Run", record: Mapping[str, Any]) -> None:
        """Append a line; a loss that the first record lacked makes the table wider."""
        row = {"step": record["step"], "steps_per_second": record["steps_per_second"], **record["losses"]}
        columns: list[str] = []
        if run.files.has(NAME):
            with run.files.open(NAME) as file:
                columns = next(csv.reader([file.readline().decode(errors="replace")]), [])
        if set(row) <= set(columns):
            run.files.append(NAME, _lines(columns, [row]))
        else:
            older = StringIO(run.files.read(NAME).decode(errors="replace") if columns else "")
            columns += [name for name in row if name not in columns]
            header = dict(zip(columns, columns, strict=True))
            run.files.write(NAME, _lines(columns, [header, *csv.DictReader(older), row]))


def _lines(columns: list[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = StringIO()
    csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n").writerows(rows)
    return text.getvalue()
