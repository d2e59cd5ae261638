"""Reading a run's files for the report; they may be missing, damaged or incomplete."""

import re
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import Factory, define, field

from ganforge import InputError, log_lines, read_inside
from ganforge_observers.report.courses import Courses, follow

SPEEDS = 1000  # newest values for the median speed
WARNING_LENGTH = 2000  # characters of a warning, at most
SHOWN_WARNINGS = 100


@define
class Told:
    """The content of a log, gathered in bounded memory while it is read."""

    step: int = 0
    losses: Courses = Factory(dict)
    measured: dict[str, Courses] = Factory(dict)  # by split, then `evaluation.metric`
    diversity: Courses = Factory(dict)
    speed: Courses = Factory(dict)
    speeds: deque[float] = field(factory=lambda: deque(maxlen=SPEEDS))
    newest: tuple[int, str, dict[str, Any]] | None = None  # step, split and metrics of the last evaluation
    warnings: dict[str, int] = Factory(dict)  # message -> step of its first occurrence
    more_warnings: int = 0
    unread: list[str] = Factory(list)

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a record."""
        step = record["step"]
        self.step = max(self.step, step)
        follow(self.losses, step, record.get("losses", {}))
        follow(self.diversity, step, record.get("sample_diversity", {}))
        if metrics := record.get("metrics"):
            split = "validation" if record.get("split") == "validation" else "test"
            follow(self.measured.setdefault(split, {}), step, flat(metrics))
            self.newest = (step, split, flat(metrics))
        if (speed := record.get("steps_per_second")) is not None:
            self.speeds.append(speed)
            follow(self.speed, step, {"": speed})
        if warning := record.get("warning"):
            message = warning[:WARNING_LENGTH]
            if message in self.warnings or len(self.warnings) < SHOWN_WARNINGS:
                self.warnings.setdefault(message, step)  # a resumed run may repeat it
            else:
                self.more_warnings += 1


def read_log(folder: Path) -> Told:
    """Read a run's log; unreadable lines are left out, and reported in `unread`."""
    told, skipped = Told(), 0
    try:
        for _, record in log_lines(folder):
            if record is None:
                skipped += 1
            else:
                told.add(record)
    except InputError as error:
        told.unread.append(str(error))
    if skipped:
        told.unread.append(f"{skipped} damaged line{'s'[: skipped > 1]} of {folder / 'log.jsonl'} left out")
    return told


def table(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the table of a name; an empty one if there is none."""
    found = tables.get(name)
    return found if isinstance(found, dict) else {}


def flat(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Name each evaluation's metrics `evaluation.metric`."""
    return {f"{role}.{name}": value for role in tables for name, value in table(tables, role).items()}


def checkpoint_step(folder: Path) -> int:
    """Return the step of the newest checkpoint; 0 if there is none."""
    with suppress(InputError, FileNotFoundError):
        if step := re.fullmatch(rb"step-(\d{1,15})\s*", read_inside(folder, "checkpoints/latest")):
            return int(step[1])
    return 0
