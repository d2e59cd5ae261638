"""What the files of a run tell the report; they may be missing, damaged or half written."""

import re
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import Factory, define, field

from ganforge import InputError, log_lines, read_inside
from ganforge_observers.report.courses import Courses, follow

SPEEDS = 1000  # the newest ones, whose median is told
WARNING_LENGTH = 2000  # characters of a warning, at most
SHOWN_WARNINGS = 100


@define
class Told:
    """What a log tells, gathered while it is read, in memory that does not grow with it."""

    step: int = 0
    losses: Courses = Factory(dict)
    measured: dict[str, Courses] = Factory(dict)  # for each split the metrics, `evaluation.metric`
    diversity: Courses = Factory(dict)
    speed: Courses = Factory(dict)
    speeds: deque[float] = field(factory=lambda: deque(maxlen=SPEEDS))
    newest: tuple[int, str, dict[str, Any]] | None = None  # step, split and metrics that were measured last
    warnings: dict[str, int] = Factory(dict)  # each with the step at which it came first
    more_warnings: int = 0
    unread: list[str] = Factory(list)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take a record in."""
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
                self.warnings.setdefault(message, step)  # a resumed run may say it again
            else:
                self.more_warnings += 1


def read_log(folder: Path) -> Told:
    """Read a run's log; what cannot be read is left out, and named in `unread`."""
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
    """Return the table of a name; an empty one where there is none."""
    found = tables.get(name)
    return found if isinstance(found, dict) else {}


def flat(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Name each evaluation's metrics `evaluation.metric`."""
    return {f"{role}.{name}": value for role in tables for name, value in table(tables, role).items()}


def checkpoint_step(folder: Path) -> int:
    """Return the step of the newest checkpoint; 0 where there is none."""
    with suppress(InputError, FileNotFoundError):
        if step := re.fullmatch(rb"step-(\d{1,15})\s*", read_inside(folder, "checkpoints/latest")):
            return int(step[1])
    return 0
