"""Where a run's time goes."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Clock:
    """Counts seconds by what they are spent on; each one once, for what was begun last."""

    def __init__(self, what: str) -> None:
        """Begin with something."""
        self._seconds: dict[str, float] = {}
        self._what, self._since = what, time.monotonic()

    @property
    def seconds(self) -> Mapping[str, float]:
        """The seconds so far for each thing, in the order in which they were first left."""
        self.turn_to(self._what)
        return self._seconds

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Count what is done meanwhile as something else."""
        before = self.turn_to(what)
        try:
            yield
        finally:
            self.turn_to(before)

    def turn_to(self, what: str) -> str:
        """Count all from now on as something; return what was counted before."""
        before, now = self._what, time.monotonic()
        self._seconds[before] = self._seconds.get(before, 0.0) + now - self._since
        self._what, self._since = what, now
        return before


def shares(seconds: Mapping[str, float]) -> str:
    """Say how long something took, and how much of it each part did, the largest first.

    >>> shares({"start": 2.0, "steps": 97.5, "samples": 0.5})
    '100.0 s: steps 97.5 %, start 2.0 %, samples 0.5 %'
    """
    total = sum(seconds.values())
    parts = sorted(seconds.items(), key=lambda part: -part[1])
    return f"{total:.1f} s: " + ", ".join(f"{what} {100 * part / total:.1f} %" for what, part in parts)
