"""The progress display: a bar with losses, speed and the time left; plain lines where there is no terminal."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ganforge import Run, hookimpl

PLAIN_SECONDS = 10


class ProgressBar:
    """Shows reading and training."""

    def __init__(self) -> None:
        self.console = Console()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=self.console,
        )
        self.tasks: dict[str, TaskID] = {}
        self.said = time.monotonic()

    @hookimpl
    def ganforge_working(self, run: Run, what: str, done: int, total: int) -> None:
        """Move the bar of some work beside the training."""
        self._move(what, done, total)
        if not self.console.is_terminal and time.monotonic() - self.said > PLAIN_SECONDS:
            self.said = time.monotonic()
            self.console.print(f"{what}: {done}/{total}", highlight=False)

    @hookimpl
    def ganforge_started(self, run: Run) -> None:
        """Begin the training's bar."""
        self._move("training", run.step, run.plan.train.steps)

    @hookimpl
    def ganforge_ticked(self, run: Run) -> None:
        """Move the training's bar."""
        self._move("training", run.step, run.plan.train.steps)

    @hookimpl
    def ganforge_logged(self, run: Run, record: Mapping[str, Any]) -> None:
        """Show the newest losses."""
        losses = "  ".join(
            f"{name} {record['losses'][name]:.3f}"
            for name in ("generator", "discriminator")
            if name in record["losses"]
        )
        speed = f"{record['steps_per_second']:.1f} steps/s"
        self._move("training", run.step, run.plan.train.steps, losses=losses, speed=speed)
        last = run.step == run.plan.train.steps
        if not self.console.is_terminal and (last or time.monotonic() - self.said > PLAIN_SECONDS):
            self.said = time.monotonic()
            left = (run.plan.train.steps - run.step) / max(record["steps_per_second"], 1e-9)
            self.console.print(
                f"step {run.step}/{run.plan.train.steps}  {losses}  {speed}  {left:.0f} s left", highlight=False
            )

    @hookimpl
    def ganforge_warned(self, run: Run, message: str) -> None:
        """Show a warning above the bar."""
        self.bar.console.print(f"warning: {message}", style="yellow", markup=False, highlight=False)

    @hookimpl
    def ganforge_ended(self, run: Run) -> None:
        """Leave the bars as they stand."""
        self.bar.stop()

    def _move(self, what: str, done: int, total: int, **fields: str) -> None:
        if not self.console.is_terminal:
            return
        if what not in self.tasks:
            self.bar.start()
            self.tasks[what] = self.bar.add_task(what, total=total, speed="", losses="")
        self.bar.update(self.tasks[what], completed=done, **fields)  # type: ignore[arg-type]
