"""The observer `tensorboard`: losses, speed, metrics and sample pictures for TensorBoard, in the run's folder.

View it with `tensorboard --logdir runs`. It needs the package tensorboard.
"""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganforge import InputError, hookimpl
from ganforge_observers.tracker import metrics_of, numbers_of, sample_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch.utils.tensorboard import SummaryWriter

    from ganforge import Run

NAME = "tensorboard"


class TensorBoard:
    """Writes TensorBoard event files to `tensorboard/`: losses, learning rates, speed, metrics, samples."""

    def __init__(self) -> None:
        """Check that the package is installed.

        Raises:
            InputError: it is not installed.
        """
        try:
            importlib.import_module("torch.utils.tensorboard")  # fail now rather than after the data are read
        except ImportError as error:
            raise InputError("needs the package tensorboard: pip install 'ganforge[tensorboard]'") from error
        self.writer: SummaryWriter | None = None

    @hookimpl
    def ganforge_started(self, run: "Run") -> None:
        """Open an event file; hide events after the step from which the run continues."""
        from torch.utils.tensorboard import SummaryWriter

        self._close()
        purge = run.step + 1 if run.files.has(NAME) else None
        run.files.folder(NAME, create=True).close()  # refuses a link
        self.writer = SummaryWriter(str(run.folder / NAME), purge_step=purge)

    @hookimpl
    def ganforge_logged(self, run: "Run", record: Mapping[str, Any]) -> None:
        """Add the losses, the learning rates, and the speed."""
        self._add(record["step"], numbers_of(record))

    @hookimpl
    def ganforge_evaluated(self, run: "Run", metrics: Mapping[str, Mapping[str, float]], split: str) -> None:
        """Add the metrics."""
        self._add(run.step, metrics_of(metrics, split))

    @hookimpl(trylast=True)  # after the picture is drawn
    def ganforge_sampled(self, run: "Run") -> None:
        """Add the sample picture of this step."""
        if self.writer is not None and (picture := sample_of(run)) is not None:
            self.writer.add_image("samples", picture, run.step, dataformats="HWC")

    @hookimpl
    def ganforge_checkpointed(self, run: "Run", folder: "Path") -> None:
        """Flush events, so that they are no older than the checkpoint."""
        if self.writer is not None:
            self.writer.flush()

    @hookimpl
    def ganforge_ended(self, run: "Run") -> None:
        """Close the event file."""
        self._close()

    def _add(self, step: int, values: Mapping[str, float]) -> None:
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    def _close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None
