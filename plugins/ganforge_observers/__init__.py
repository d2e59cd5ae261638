"""Observers: what looks on while a run trains, and only reads."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ganforge import hookimpl

if TYPE_CHECKING:
    from ganforge import Run


@hookimpl
def ganforge_observers(run: "Run") -> Iterable[object]:
    """Open a progress display for the run."""
    from ganforge_observers.progress import ProgressBar

    return [ProgressBar()]


@hookimpl
def ganforge_started(run: "Run") -> None:
    """Cut from the log what lies after the step that the run goes on from."""
    from ganforge_observers import log

    log.cut(run)


@hookimpl
def ganforge_logged(run: "Run", record: Mapping[str, Any]) -> None:
    """Append a line to `log.jsonl`."""
    from ganforge_observers import log

    log.append(run, record)


@hookimpl
def ganforge_evaluated(run: "Run", metrics: Mapping[str, Mapping[str, float]]) -> None:
    """Append the metrics to `log.jsonl`, so that their course over the training is kept."""
    from ganforge_observers import log

    log.append(run, {"step": run.step, "metrics": metrics})


@hookimpl
def ganforge_sampled(run: "Run") -> None:
    """Draw the fixed test inputs with what becomes of them, and look for dead output units."""
    from ganforge_observers import diagnosis, samples

    samples.draw(run)
    diagnosis.find_dead_units(run)
