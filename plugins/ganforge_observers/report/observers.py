"""The observers that write the report during training, and log its warnings."""

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

FIRST_SECONDS = 10.0  # of training before the page is first written
SHARE = 0.02  # share of the training time that the page may take


class Report:
    """Writes the page at checkpoints, within its share of time, and at the end."""

    def __init__(self) -> None:
        self.due = time.monotonic() + FIRST_SECONDS

    @hookimpl(trylast=True)
    def ganforge_checkpointed(self, run: "Run", folder: Path) -> None:
        """Write the page if the last time was long enough ago."""
        began = time.monotonic()
        if began >= self.due:
            self._write(run, "training")
            ended = time.monotonic()
            self.due = ended + (ended - began) / SHARE

    @hookimpl(trylast=True)
    def ganforge_ended(self, run: "Run") -> None:
        """Write the final page."""
        state = "finished" if run.over else "interrupted"
        self._write(run, "failed" if failure() else state)

    def _write(self, run: "Run", state: str) -> None:
        try:
            page.write(run.folder, state)
        except (InputError, FileNotFoundError) as error:  # not a reason to stop the training
            run.warn(str(error))


class Warnings:
    """Writes the run's warnings, and why it failed, to its log."""

    def __init__(self) -> None:
        self.started = False

    @hookimpl(trylast=True)  # after the log has been cut
    def ganforge_started(self, run: "Run") -> None:
        """Log the warnings from before the run started."""
        if not self.started:
            self.started = True
            for message in run.warnings:
                self._write(run, message)

    @hookimpl
    def ganforge_warned(self, run: "Run", message: str) -> None:
        """Log a warning."""
        if self.started:
            self._write(run, message)

    @hookimpl
    def ganforge_ended(self, run: "Run") -> None:
        """Log why the run failed, if it did."""
        if reason := failure():
            self._write(run, reason)

    def _write(self, run: "Run", message: str) -> None:
        with suppress(OSError):  # the warning may be about an unwritable disk
            log.append(run, {"step": run.step, "warning": message})


def failure() -> str:
    """Return why the training ends, while it is ending; empty if not because of an error."""
    error = sys.exception()
    if not isinstance(error, Exception):
        return ""
    return f"the run failed: {error or type(error).__name__}"
