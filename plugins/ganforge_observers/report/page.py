"""The page: its template and its content: state, losses, metrics, pictures, warnings, recipe."""

import statistics
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from ganforge import InputError, nearest, read_lock, read_results, write_output
from ganforge_observers.report.charts import draw, loss_charts, metric_charts
from ganforge_observers.report.courses import LARGEST
from ganforge_observers.report.measured import columns, facts, rows
from ganforge_observers.report.pictures import (
    FIGURE_BYTES,
    SAMPLE_BYTES,
    SHOWN_SAMPLES,
    embed,
    figure_files,
    sample_files,
    spread,
)
from ganforge_observers.report.texts import digest, listed, number, said, shown
from ganforge_observers.report.told import checkpoint_step, read_log, table

NAME = "report.html"
LOCK = "recipe.lock.toml"


def require_run(path: Path) -> None:
    """Refuse a path that is not a run's folder.

    Raises:
        InputError: the path is not a run.
    """
    try:
        if (path / LOCK).is_file():
            return
        if not path.exists():
            there = path.parent.iterdir() if path.parent.is_dir() else ()
            beside = [other.name for other in there if other.is_dir()]
            raise InputError(f"no run at '{path}'; {nearest(path.name, beside)}".removesuffix("; "))
        runs = sorted(other.name for other in path.iterdir() if (other / LOCK).is_file()) if path.is_dir() else []
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    hint = f"did you mean '{path / runs[-1]}'?" if runs else f"a run's folder holds {LOCK}"
    raise InputError(f"'{path}' is not a run; {hint}")


def write(folder: Path, state: str = "", say: Callable[[str], None] = lambda _: None) -> Path:
    """Write a run's `report.html`, whole or not at all.

    Args:
        folder: the run's folder.
        state: state of the run in a word, if known.
        say: called with lines about unreadable files.

    Raises:
        InputError: the locked recipe cannot be read, or the page cannot be written.
    """
    found = gather(folder, state)
    for text in found["unread"]:
        say(text)
    return write_output(folder / NAME, template().render(found))


def gather(folder: Path, state: str) -> dict[str, Any]:
    """Return the content of the template. Files may be missing or incomplete; unreadable ones are left out."""
    text, recipe = read_lock(folder)
    told = read_log(folder)
    unread = told.unread
    results = None
    try:
        results = read_results(folder)
    except InputError as error:
        unread.append(str(error))
    measured = columns(results, told)
    best = results.best.step if results is not None and results.best is not None else None
    lock, steps = table(recipe, "lock"), table(recipe, "train").get("steps")
    steps = steps if type(steps) is int and 0 <= steps <= LARGEST else 0
    step = max(checkpoint_step(folder), told.step)
    stopped = results is not None and results.last.stopped and results.last.step == step
    return {
        "name": lock.get("name", folder.resolve().parent.name),
        "folder": folder.resolve().name,
        "summary": " ".join(line[1:].strip() for line in text.split("[", 1)[0].splitlines() if line.startswith("#")),
        "state": state or ("finished" if step >= steps or stopped else "not finished"),
        "step": step,
        "steps": steps,
        "speed": statistics.median(told.speeds) if told.speeds else None,
        "unread": unread,
        "warnings": [said(message, at) for message, at in told.warnings.items()],
        "more_warnings": told.more_warnings,
        "samples": embed(folder, spread(sample_files(folder), SHOWN_SAMPLES), SAMPLE_BYTES),
        "loss_charts": loss_charts(told.losses),
        "columns": measured,
        "metrics": rows(measured),
        "facts": facts(results),
        "by": results.by if results is not None else "",
        "best": best,
        "metric_charts": metric_charts(told, best),
        "speed_chart": draw("steps per second", told.speed) if len(told.speeds) > 1 else None,
        "figures": embed(folder, figure_files(folder), FIGURE_BYTES),
        "recipe": text,
        "environment": {key: listed(value) for key, value in lock.items() if key != "name"},
    }


@lru_cache(maxsize=1)
def template() -> Template:
    """Return the page's template, which escapes every text and marks characters that cannot be shown."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=shown
    )
    environment.filters |= {"number": number, "digest": digest}
    return environment.from_string(Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8"))
