"""Schedules: numbers that change during a run, such as weights, learning rates, and other settings."""

import math
from bisect import bisect_right
from typing import Literal

from attrs import Attribute, field, frozen, validators


@frozen
class Schedule:
    """A number that depends on the step: `values[i]` from `steps[i]` on.

    Attributes:
        steps: ascending from 0.
        values: one for each step in `steps`.
        between: how to get from one value to the next: `hold` jumps, `linear` interpolates, `cosine` follows half a
            cosine.
        every: for a weight: it counts only in steps that this divides, and is 0 otherwise.

    >>> Schedule([0, 100], [0.01, 0.5]).at(99), Schedule([0, 100], [1.0, 0.0], between="linear").at(75)
    (0.01, 0.25)
    """

    steps: list[int]
    values: list[float] = field()
    between: Literal["hold", "linear", "cosine"] = "hold"
    every: int = field(default=1, validator=validators.ge(1))

    @values.validator
    def _check(self, _: "Attribute[list[float]]", values: list[float]) -> None:
        if not self.steps or self.steps[0] != 0 or self.steps != sorted(set(self.steps)):
            raise ValueError("steps must ascend from 0")
        if len(values) != len(self.steps):
            raise ValueError(f"expected one value for each of the {len(self.steps)} steps, got {len(values)}")

    def at(self, step: int) -> float:
        """Return the number at a step."""
        if step % self.every:
            return 0.0
        place = bisect_right(self.steps, step) - 1
        if self.between == "hold" or place + 1 == len(self.steps):
            return self.values[place]
        share = (step - self.steps[place]) / (self.steps[place + 1] - self.steps[place])
        if self.between == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return self.values[place] + share * (self.values[place + 1] - self.values[place])


Number = float | Schedule


def at(number: Number, step: int) -> float:
    """Return a number at a step."""
    return number.at(step) if isinstance(number, Schedule) else number
