"""What writes the report while a run trains, and keeps the warnings that stand in it."""

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ganforge import InputError, hookimpl
from ganforge_observers import log
from ganforge_observers.report import page

if TYPE_CHECKING:
    from ganforge import Run

FIRST_SECONDS = 10.0  # of training before the page is first made
SHARE = 0.02  # of the training's time that the page may cost


class Report:
    """Writes the page at checkpoints, if that costs little, and at the end."""

    def __init__(self) -> None:
        self.due = time.monotonic() + FIRST_SECONDS

    @hookimpl(trylast=True)
    def ganforge_checkpointed(self, run: "Run", folder: Path) -> None:
        """Write the page, if the last time is long enough ago."""
        began = time.monotonic()
        if began >= self.due:
            self._write(run, "training")
            ended = time.monotonic()
            self.due = ended + (ended - began) / SHARE

    @hookimpl(trylast=True)
    def ganforge_ended(self, run: "Run") -> None:
        """Write the page a last time."""
        state = "finished" if run.over else "interrupted"
        self._write(run, "failed" if failure() else state)

    def _write(self, run: "Run", state: str) -> None:
        try:
            page.write(run.folder, state)
        except (InputError, FileNotFoundError) as error:  # no reason to stop the training
            run.warn(str(error))


class Warnings:
    """Writes the run's warnings, and why it failed, into its log, so that they are still known later."""

    def __init__(self) -> None:
        self.started = False

    @hookimpl(trylast=True)  # the log has been cut by then
    def ganforge_started(self, run: "Run") -> None:
        """Write the warnings that came while the run was built."""
        if not self.started:
            self.started = True
            for message in run.warnings:
                self._write(run, message)

    @hookimpl
    def ganforge_warned(self, run: "Run", message: str) -> None:
        """Write a warning."""
        if self.started:
            self._write(run, message)

    @hookimpl
    def ganforge_ended(self, run: "Run") -> None:
        """Write why the run failed, if it did."""
        if reason := failure():
            self._write(run, reason)

    def _write(self, run: "Run", message: str) -> None:
        with suppress(OSError):  # the warning may be about a disk that cannot be written
            log.append(run, {"step": run.step, "warning": message})


def failure() -> str:
    """Return why the training is being left, to be asked while it ends; empty if it is not for an error."""
    error = sys.exception()
    if not isinstance(error, Exception):
        return ""
    return f"the run failed: {error or type(error).__name__}"
