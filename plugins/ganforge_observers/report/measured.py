"""The metrics of a report: of the last weights and of the best ones, side by side, on each split."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ganforge_observers.report.texts import listed, number
from ganforge_observers.report.told import Told, flat

if TYPE_CHECKING:
    from ganforge import Measured, Results, Split

SPLITS: tuple["Split", ...] = ("validation", "test")  # here once more, since those of ganforge come with torch


@frozen
class Column:
    """What was measured of some weights on a split: `evaluation.metric` and its value, nan where it is no number."""

    state: str
    split: str
    metrics: Mapping[str, float]


def columns(results: "Results | None", told: Told) -> list[Column]:
    """Return the columns of the table of metrics; while nothing else is known, what the log tells last."""
    if results is not None and results.last.metrics:
        return [column for state, measured in states(results).items() for column in _columns(state, measured)]
    if told.newest is not None:
        step, split, metrics = told.newest
        return [Column(f"step {number(step)}", split, metrics)]
    return []


def states(results: "Results") -> dict[str, "Measured"]:
    """Return the last and the best weights, in words; one where they are the same."""
    last, best = results.last, results.best
    if best is None:
        return {f"step {number(last.step)}": last}
    if best.step == last.step:
        return {f"last and best, step {number(last.step)}": last}
    return {f"last, step {number(last.step)}": last, f"best, step {number(best.step)}": best}


def _columns(state: str, measured: "Measured") -> list[Column]:
    return [Column(state, split, flat(measured.metrics[split])) for split in SPLITS if split in measured.metrics]


def rows(shown: list[Column]) -> dict[str, list[str]]:
    """Return the cells of each metric; an empty one where a column lacks it."""
    names = dict.fromkeys(name for column in shown for name in column.metrics)
    return {
        name: [number(column.metrics[name]) if name in column.metrics else "" for column in shown] for name in names
    }


def facts(results: "Results | None") -> dict[str, str]:
    """Return what each evaluation tells of its numbers, in a line for each split: pictures, network and the like."""
    told: Mapping[Any, Any] = results.last.about if results is not None else {}
    return {
        f"{role}, {split}": listed(about) for split in SPLITS for role, about in told.get(split, {}).items() if about
    }
