"""What may end a training early, and what is said of it: signals, memory that runs out, a disk that takes no more."""

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
    """What signals asked for: the number of the one that asked to stop; and whether one asked to save and go on.

    Where all is saved already, `at_once` has a stop raise a StoppedError.
    """

    stop: int | None = None
    save: bool = False
    at_once: bool = False


@contextmanager
def handling(wanted: Mapping[str, Handler], older: dict[int, Any] | None = None) -> Iterator[None]:
    """Have signals, named such as `SIGTERM`, handled by functions meanwhile; put the older handlers into `older`.

    One that this system does not have, or that whoever started the process has it ignore, as `nohup` does, is left
    alone; so are all of them outside of the main thread.
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
    """Collect SIGINT, SIGTERM, SIGHUP (stop after this step; a second one acts at once), SIGUSR1 (save and go on)."""
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
    """What the ranks of a training do next: all the same, whatever each was asked for, and in the same step.

    Args:
        asked: what signals ask of this process.
    """

    def __init__(self, asked: Requests) -> None:
        self._asked, self._flags, self._parent = asked, ranks.Flags(2), os.getppid()

    def after(self, step: int) -> Requests:
        """Return what is asked for after a step; what a signal asked of one rank of several, all know a step later."""
        if ranks.world() == 1:
            return self._asked
        ranks.at(f"step {step + 1}", step + 1)
        if os.getppid() != self._parent:  # nobody would know how it ends
            self._asked.stop = signal.SIGTERM
        stop, save = self._flags.agree([self._asked.stop or 0, int(self._asked.save)])
        self._asked.save = False
        return Requests(stop or None, bool(save))


@contextmanager
def telling_of_memory(batch: int, fitting: Callable[[int], int]) -> Iterator[None]:
    """Say which batch would fit, where memory runs out; `fitting` finds the largest one up to a number."""
    try:
        yield
    except Exception as error:
        if not numerics.out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold what filled the memory
        fits = fitting(max(1, batch // 2))
        raise RunFailedError(f"out of memory at batch {batch}: try --set train.batch={fits}") from None


def unwritable(folder: Path, error: OSError) -> RunFailedError:
    """Say that a run's folder cannot be written, and what is kept."""
    try:
        kept = f"the newest checkpoint is {checkpoint.pointed(folder / 'checkpoints', 'latest').name}"
    except InputError:
        kept = "there is no checkpoint yet"
    return RunFailedError(f"cannot write to {folder}: {error.strerror}; {kept}")
