"""The metrics of a report: of the last and the best weights, side by side, on each split."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ganforge_observers.report.texts import listed, number
from ganforge_observers.report.told import Told, flat

if TYPE_CHECKING:
    from ganforge import Measured, Results, Split

SPLITS: tuple["Split", ...] = ("validation", "test")  # repeated here, since importing those of ganforge imports torch


@frozen
class Column:
    """The metrics of some weights on a split: `evaluation.metric` and its value, nan if it is not a number."""

    state: str
    split: str
    metrics: Mapping[str, float]


def columns(results: "Results | None", told: Told) -> list[Column]:
    """Return the columns of the metrics table; without results, the latest metrics in the log."""
    if results is not None and results.last.metrics:
        return [column for state, measured in states(results).items() for column in _columns(state, measured)]
    if told.newest is not None:
        step, split, metrics = told.newest
        return [Column(f"step {number(step)}", split, metrics)]
    return []


def states(results: "Results") -> dict[str, "Measured"]:
    """Return the results of the last and the best weights, by title; one entry if they are the same."""
    last, best = results.last, results.best
    if best is None:
        return {f"step {number(last.step)}": last}
    if best.step == last.step:
        return {f"last and best, step {number(last.step)}": last}
    return {f"last, step {number(last.step)}": last, f"best, step {number(best.step)}": best}


def _columns(state: str, measured: "Measured") -> list[Column]:
    return [Column(state, split, flat(measured.metrics[split])) for split in SPLITS if split in measured.metrics]


def rows(shown: list[Column]) -> dict[str, list[str]]:
    """Return the cells of each metric; empty if a column lacks it."""
    names = dict.fromkeys(name for column in shown for name in column.metrics)
    return {
        name: [number(column.metrics[name]) if name in column.metrics else "" for column in shown] for name in names
    }


def facts(results: "Results | None") -> dict[str, str]:
    """Return the facts of each evaluation, such as counts and networks, as a line for each split."""
    told: Mapping[Any, Any] = results.last.about if results is not None else {}
    return {
        f"{role}, {split}": listed(about) for split in SPLITS for role, about in told.get(split, {}).items() if about
    }
