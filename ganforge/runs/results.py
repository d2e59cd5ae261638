"""The results of a run's evaluations, `metrics.json`: of its last and best state, on each split."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from ganforge.data.split import SPLITS, Split
from ganforge.errors import InputError
from ganforge.runs.log import loads, number, read_inside, whole
from ganforge.system.disk import to_json

METRICS = "metrics.json"

Metrics = Mapping[str, Mapping[str, float]]  # of each evaluation, by its role
About = Mapping[str, Mapping[str, str | float]]


@frozen
class Measured:
    """The results of evaluations after `step` steps.

    Attributes:
        step: the number of completed steps.
        metrics: the metrics of each evaluation, for each evaluated split; nan if a metric is not finite.
        about: facts that make the numbers comparable, such as the number of pictures.
        failed: the roles of failed evaluations, for each split.
        stopped: whether the run ended here, because its metric had stopped improving.
    """

    step: int
    metrics: Mapping[Split, Metrics] = field(factory=dict)
    about: Mapping[Split, About] = field(factory=dict)
    failed: Mapping[Split, Sequence[str]] = field(factory=dict)
    stopped: bool = False

    def __bool__(self) -> bool:
        """Whether anything was measured."""
        return any(self.metrics.values())

    def is_whole(self, split: Split) -> bool:
        """Return whether a split was evaluated and no evaluation failed."""
        return split in self.metrics and not self.failed.get(split)

    @property
    def split(self) -> Split:
        """The split whose metrics count: `test` once it was evaluated."""
        return "validation" if "validation" in self.metrics and "test" not in self.metrics else "test"

    @property
    def counting(self) -> Metrics:
        """The metrics of that split."""
        return self.metrics.get(self.split, {})

    def with_split(self, split: Split, metrics: Metrics, about: About, failed: Sequence[str] = ()) -> "Measured":
        """Return the results with those of another split added."""
        return evolve(
            self,
            metrics={**self.metrics, split: metrics},
            about={**self.about, **({split: about} if any(about.values()) else {})},
            failed={**self.failed, split: failed} if failed or split in self.failed else self.failed,
        )

    def plain(self) -> dict[str, Any]:
        """Return the results as JSON types."""
        named: dict[str, Any] = {split: self.metrics[split] for split in SPLITS if split in self.metrics}
        more = {"about": self.about, "failed": {split: roles for split, roles in self.failed.items() if roles}}
        stopped = {"stopped": True} if self.stopped else {}
        return {"step": self.step, **stopped, **named, **{key: told for key, told in more.items() if told}}


@frozen
class Results:
    """The results of a run: of its last state, and of the best one, if a metric chose one.

    `by` is that metric, as in `record.best`: with a minus if the lowest value is best.
    """

    last: Measured
    best: Measured | None = None
    by: str = ""

    def text(self) -> str:
        """Return the content of `metrics.json`."""
        best = {"best": {"by": self.by, **self.best.plain()}} if self.best is not None else {}
        return to_json({**self.last.plain(), **best}, indent=2) + "\n"


def read_results(folder: Path) -> Results | None:
    """Return the results in the `metrics.json` of a run or a checkpoint; None if it does not exist.

    Raise an InputError if the file cannot be read or has other content.
    """
    try:
        found = loads(read_inside(folder, METRICS))
        best = found.get("best")
        last = _measured(found)
        return Results(last) if best is None else Results(last, _measured(best), str(best["by"]))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{folder / METRICS} is damaged, or from another version: it contains no metrics") from error


def _measured(table: Mapping[str, Any]) -> Measured:
    metrics = {split: _tables(table[split]) for split in SPLITS if split in table}
    about = {split: _told(table["about"][split]) for split in SPLITS if split in table.get("about", {})}
    failed = {split: _roles(table["failed"][split]) for split in SPLITS if split in table.get("failed", {})}
    return Measured(whole(table["step"]), metrics, about, failed, table.get("stopped") is True)


def _tables(tables: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    def known(value: Any) -> float:
        return math.nan if (finite := number(value)) is None else finite

    return {role: {name: known(value) for name, value in found.items()} for role, found in tables.items()}


def _roles(roles: Any) -> list[str]:
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise ValueError("expected a list of names")
    return roles


def _told(tables: Mapping[str, Any]) -> dict[str, dict[str, str | float]]:
    for table in tables.values():
        if any(type(value) not in (str, int, float) for value in table.values()):
            raise ValueError("expected a string or a number")
    return {role: dict(table) for role, table in tables.items()}
