"""The observer `csv`: the log as `log.csv`, with a line for each log record and a column for each loss."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ganforge import InputError, bounded_lines, hookimpl

if TYPE_CHECKING:
    from ganforge import Run

NAME = "log.csv"


class CsvLog:
    """Writes `log.csv`, with a line for each log record and a column for each loss."""

    def __init__(self) -> None:
        self.columns: list[str] = []

    @hookimpl
    def ganforge_started(self, run: "Run") -> None:
        """Remove incomplete lines, and lines of steps that the run will repeat after a checkpoint."""
        self._rewrite(run)

    @hookimpl
    def ganforge_logged(self, run: "Run", record: Mapping[str, Any]) -> None:
        """Append a line; add a column for a loss that is missing in the table."""
        row = {"step": record["step"], "steps_per_second": record["steps_per_second"], **record["losses"]}
        added = [name for name in row if name not in self.columns]
        if added or run.files.is_torn(NAME):  # a cut number might look like a complete one
            self._rewrite(run, added)
        run.files.append(NAME, _line([row.get(name, "") for name in self.columns]).decode())

    def _rewrite(self, run: "Run", added: Sequence[str] = ()) -> None:
        """Rewrite the table with more columns, without incomplete lines and lines of later steps."""
        rows = _rows(run)
        old = next(rows, [])
        self.columns = [*old, *(name for name in added if name not in old)]
        empty = [""] * (len(self.columns) - len(old))

        def lines() -> Iterator[bytes]:
            yield _line(self.columns)
            for row in rows:
                if len(row) == len(old) and _step(row) <= run.step:
                    yield _line([*row, *empty])

        if self.columns:
            run.files.write(NAME, lines())


def _rows(run: "Run") -> Iterator[list[str]]:
    """Yield the rows of a table that starts with its column names; skip lines that are not rows."""
    with suppress(InputError, OSError), run.files.open(NAME) as file:
        for place, line in enumerate(bounded_lines(file)):
            row = _cells(line)
            if place == 0 and row[:1] != ["step"]:
                return
            yield row


def _cells(line: bytes) -> list[str]:
    """Return the cells of a line; empty if it is incomplete or not a line of a table."""
    try:
        (row,) = csv.reader([line.decode()], strict=True) if line.endswith(b"\n") else [[]]
    except (ValueError, csv.Error):
        return []
    return row


def _step(row: Sequence[str]) -> float:
    """Return a row's step; infinity if a cell is neither empty nor a number."""
    try:
        step, *_ = (float(cell or "nan") for cell in row)
        return step
    except ValueError:
        return math.inf


def _line(cells: Sequence[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()
