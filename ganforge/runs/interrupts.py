"""Signals, and errors when memory runs out or the disk is full, which may end a training early."""

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from attrs import define

from ganforge.errors import InputError, RunFailedError, StoppedError
from ganforge.runs import checkpoint
from ganforge.training import numerics, ranks

Handler = Callable[[int, FrameType | None], None]
STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")  # signals that ask to stop


@define
class Requests:
    """Requests from signals: the number of the signal that asked to stop, and whether one asked to save.

    If everything is saved already, `at_once` makes a stop raise a StoppedError.
    """

    stop: int | None = None
    save: bool = False
    at_once: bool = False


@contextmanager
def handling(wanted: Mapping[str, Handler], older: dict[int, Any] | None = None) -> Iterator[None]:
    """Handle signals, such as `SIGTERM`, by functions within the context; store the older handlers in `older`.

    Signals are left alone if the system lacks them, if the process was started to ignore them, as by `nohup`, or
    outside the main thread.
    """
    older = {} if older is None else older
    if threading.current_thread() is threading.main_thread():
        for name, handler in wanted.items():
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                older[number] = signal.getsignal(number)
                signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in older.items():
            signal.signal(number, handler)


@contextmanager
def requests() -> Iterator[Requests]:
    """Collect SIGINT, SIGTERM and SIGHUP (stop after this step; a second acts at once) and SIGUSR1 (save, continue)."""
    found = Requests()
    older: dict[int, Any] = {}

    def stop(number: int, frame: FrameType | None) -> None:
        found.stop = number
        signal.signal(number, older[number])
        if found.at_once:
            raise StoppedError(number)

    def save(number: int, frame: FrameType | None) -> None:
        found.save = True

    with handling({**dict.fromkeys(STOPPING, stop), "SIGUSR1": save}, older):
        yield found


class Agreement:
    """Makes all ranks of a training follow the same requests in the same step, whichever rank got the signal.

    Args:
        asked: the requests to this process.
    """

    def __init__(self, asked: Requests) -> None:
        self._asked, self._flags, self._parent = asked, ranks.Flags(2), os.getppid()

    def after(self, step: int) -> Requests:
        """Return the requests after a step; with several ranks, all learn of a request one step later."""
        if ranks.world() == 1:
            return self._asked
        ranks.at(f"step {step + 1}", step + 1)
        if os.getppid() != self._parent:  # the launcher is gone
            self._asked.stop = signal.SIGTERM
        stop, save = self._flags.agree([self._asked.stop or 0, int(self._asked.save)])
        self._asked.save = False
        return Requests(stop or None, bool(save))


@contextmanager
def telling_of_memory(batch: int, fitting: Callable[[int], int]) -> Iterator[None]:
    """If memory runs out within the context, suggest a batch that fits; `fitting` finds one up to a given size."""
    try:
        yield
    except Exception as error:
        if not numerics.out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold the tensors that filled the memory
        fits = fitting(max(1, batch // 2))
        raise RunFailedError(f"out of memory at batch {batch}: try --set train.batch={fits}") from None


def unwritable(folder: Path, error: OSError) -> RunFailedError:
    """Return the error for an unwritable run folder, which names the newest checkpoint."""
    try:
        kept = f"the newest checkpoint is {checkpoint.pointed(folder / 'checkpoints', 'latest').name}"
    except InputError:
        kept = "there is no checkpoint yet"
    return RunFailedError(f"cannot write to {folder}: {error.strerror}; {kept}")
