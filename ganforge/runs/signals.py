"""Signals while a run trains: stop after this step, or save and go on."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from attrs import define


@define
class Requests:
    """What signals asked for.

    Attributes:
        stop: number of the signal that asked to stop.
        save: whether a signal asked to save and go on.
    """

    stop: int | None = None
    save: bool = False


@contextmanager
def requests() -> Iterator[Requests]:
    """Collect SIGINT and SIGTERM (stop after this step; a second one acts at once) and SIGUSR1 (save and go on)."""
    found = Requests()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return

    def stop(number: int, frame: FrameType | None) -> None:
        found.stop = number
        signal.signal(number, older[number])

    def save(number: int, frame: FrameType | None) -> None:
        found.save = True

    wanted: dict[int, Any] = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if hasattr(signal, "SIGUSR1"):
        wanted[signal.SIGUSR1] = save
    older: dict[int, Any] = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield found
    finally:
        for number, handler in older.items():
            signal.signal(number, handler)
