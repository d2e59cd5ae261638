"""Measure where a run's time goes."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Clock:
    """Counts seconds by activity; nested activities count only once, for the innermost."""

    def __init__(self, what: str) -> None:
        """Begin with an activity."""
        self._seconds: dict[str, float] = {}
        self._what, self._since = what, time.monotonic()

    @property
    def seconds(self) -> Mapping[str, float]:
        """The seconds spent on each activity so far, in the order in which they first ended."""
        self.turn_to(self._what)
        return self._seconds

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Count the time within the context for another activity."""
        before = self.turn_to(what)
        try:
            yield
        finally:
            self.turn_to(before)

    def turn_to(self, what: str) -> str:
        """Switch to another activity; return the previous one."""
        before, now = self._what, time.monotonic()
        self._seconds[before] = self._seconds.get(before, 0.0) + now - self._since
        self._what, self._since = what, now
        return before


def shares(seconds: Mapping[str, float]) -> str:
    """Format the total time and the share of each activity, largest first.

    >>> shares({"start": 2.0, "steps": 97.5, "samples": 0.5})
    '100.0 s: steps 97.5 %, start 2.0 %, samples 0.5 %'
    """
    total = sum(seconds.values())
    parts = sorted(seconds.items(), key=lambda part: -part[1])
    return f"{total:.1f} s: " + ", ".join(f"{what} {100 * part / total:.1f} %" for what, part in parts)
