"""The progress of a comparison and of each of its trainings, on standard error."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType

from attrs import frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ganforge import printable

PLAIN_SECONDS = 10.0  # between lines without a terminal


@frozen
class Doing:
    """What a training is doing, such as `reading A` or `step`, and its progress."""

    what: str
    done: int
    total: int


class Display(AbstractContextManager["Display"]):
    """Shows a bar for all steps and one for each running training; without a terminal, a line at intervals."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, emoji=False)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.tasks: dict[str, TaskID] = {}
        self.said = time.monotonic()

    def __enter__(self) -> "Display":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def show(self, done: int, total: int, working: Mapping[str, Doing]) -> None:
        """Show the steps done, the total, and what each running training does."""
        everything = {"all": Doing("steps", done, total), **working}
        for label in self.tasks.keys() - everything.keys():
            self.bar.remove_task(self.tasks.pop(label))
        for label, doing in everything.items():
            if label not in self.tasks:
                self.tasks[label] = self.bar.add_task("")
            text = printable(f"{label}: {doing.what}")
            self.bar.update(self.tasks[label], description=text, completed=doing.done, total=doing.total)
        if not self.console.is_terminal and time.monotonic() - self.said > PLAIN_SECONDS:
            self.said = time.monotonic()
            parts = [f"{label}: {doing.what} {doing.done}/{doing.total}" for label, doing in everything.items()]
            self.console.print(printable("; ".join(parts)), markup=False, highlight=False, soft_wrap=True)
