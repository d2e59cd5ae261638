"""Observers: progress, logs, samples, reports and trackers of a run."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ganforge import InputError, Register, hookimpl

if TYPE_CHECKING:
    import typer

    from ganforge import Run


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the observers that a recipe may name."""
    from ganforge_observers.csv_log import CsvLog
    from ganforge_observers.mlflow import MLflow
    from ganforge_observers.tensorboard import TensorBoard
    from ganforge_observers.wandb import WandB

    register.observer("csv", CsvLog)
    register.observer("tensorboard", TensorBoard)
    register.observer("wandb", WandB)
    register.observer("mlflow", MLflow)


@hookimpl
def ganforge_commands(app: "typer.Typer") -> None:
    """Add `ganforge report`."""
    from ganforge_observers.commands import make_report

    app.command("report")(make_report)


@hookimpl
def ganforge_observers(run: "Run") -> Iterable[object]:
    """Return the observers of every run: progress display, report and warnings."""
    from ganforge_observers.progress import ProgressBar
    from ganforge_observers.report.observers import Report, Warnings

    return [ProgressBar(), Warnings(), Report()]


@hookimpl
def ganforge_started(run: "Run") -> None:
    """Remove log records after the step from which the run continues."""
    from ganforge_observers import log

    log.cut(run)


@hookimpl
def ganforge_logged(run: "Run", record: Mapping[str, Any]) -> None:
    """Append a line to `log.jsonl`."""
    from ganforge_observers import log

    log.append(run, record)


@hookimpl
def ganforge_evaluated(run: "Run", metrics: Mapping[str, Mapping[str, float]], split: str) -> None:
    """Append the metrics to `log.jsonl`, so that their history is kept."""
    from ganforge_observers import log

    log.append(run, {"step": run.step, "split": split, "metrics": metrics})


@hookimpl
def ganforge_sampled(run: "Run") -> None:
    """Draw the fixed test inputs with their translations, and check for signs of failure."""
    from ganforge_observers import diagnosis, samples

    try:
        with run.sample() as views:
            samples.draw(run, views)
            signs = diagnosis.look(views)
        diagnosis.tell(run, signs)
    except InputError as error:  # for example a single test sample, which batch norm cannot normalise
        run.warn(f"no sample picture: {error}")
