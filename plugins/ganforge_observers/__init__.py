"""Observers: what looks on while a run trains, and only reads."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganforge import InputError, Register, hookimpl, printable

if TYPE_CHECKING:
    from ganforge import Run


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the observers that a recipe may ask for."""
    from ganforge_observers.csv_log import CsvLog
    from ganforge_observers.tensorboard import TensorBoard

    register.observer("csv", CsvLog)
    register.observer("tensorboard", TensorBoard)


@hookimpl
def ganforge_commands(app: typer.Typer) -> None:
    """Add `ganforge report`."""
    app.command("report")(make_report)


def make_report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/discogan_toy/0001.")],
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write a run's report.html: losses, metrics, samples, figures, warnings and recipe on one offline page."""
    from ganforge_observers import report

    report.require_run(run)
    path = report.write(run, say=lambda text: typer.echo(f"warning: {printable(text)}", err=True))
    typer.echo(printable(str(path)))
    if show:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


@hookimpl
def ganforge_observers(run: "Run") -> Iterable[object]:
    """Open a progress display for the run, and its report."""
    from ganforge_observers.progress import ProgressBar
    from ganforge_observers.report import Report, Warnings

    return [ProgressBar(), Warnings(), Report()]


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
    """Draw the fixed test inputs with what becomes of them, and look for signs of failure."""
    from ganforge_observers import diagnosis, samples

    try:
        samples.draw(run)
        diagnosis.look(run)
    except InputError as error:  # such as a single test sample, which cannot be normalised by its batch
        run.warn(f"samples are not drawn: {error}")
