"""Showing a run from its folder: recipe, progress, metrics, times and warnings."""

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganforge import (
    InputError,
    Measured,
    leads_out,
    nearest,
    print_rows,
    read_lock,
    read_results,
    records,
    tell,
)

LOCK = "recipe.lock.toml"
WARNINGS = 20  # shown at most


def run_of(folder: Path) -> dict[str, Any]:
    """Return everything about a run.

    Raises:
        InputError: the folder is not a run, or a file in it is damaged.
    """
    lock = lock_of(folder)
    about, train = _table(lock, "lock"), _table(lock, "train")
    log = _Log(folder)
    results = read_results(folder)
    measured = {"last": results.last, "best": results.best} if results else {}
    found = {name: _measured(one) for name, one in measured.items() if one}
    if not found and log.metrics:
        found = {"last": log.metrics}
    wanted = train.get("steps")
    return {
        "kind": "run",
        "folder": str(folder),
        "recipe": about.get("name", ""),
        "components": {key: table["use"] for key in ("dataset", "coupling") if "use" in (table := _table(lock, key))},
        "step": log.step,
        "steps": wanted,
        "finished": bool(results and (results.last.stopped or results.last.step == wanted)) or log.step == wanted,
        "stopped_early": bool(results and results.last.stopped),
        "checkpoints": sorted(path.name for path in _inside(folder, "checkpoints") if path.is_dir()),
        "metrics": found,
        "best_by": results.by if results else "",
        "losses": log.losses,
        "seconds": log.seconds,
        "steps_per_second": log.rate,
        "written": log.written,
        "made_with": {key: value for key, value in about.items() if key != "name"},
        "warnings": log.warnings,
    }


def lock_of(folder: Path) -> dict[str, Any]:
    """Return a run's locked recipe as tables.

    Raises:
        InputError: there is no run, or its lock is damaged.
    """
    try:
        return read_lock(folder)[1]
    except FileNotFoundError:
        runs = sorted(path.parent.name for path in folder.glob(f"*/{LOCK}")) if folder.is_dir() else []
        beside = sorted(path.parent.name for path in folder.parent.glob(f"*/{LOCK}"))
        hint = f"did you mean '{folder / runs[-1]}'?" if runs else nearest(folder.name, beside)
        raise InputError(f"'{folder}' is not a run: it holds no {LOCK}; {hint}".removesuffix("; ")) from None


class _Log:
    """A summary of a run's log."""

    def __init__(self, folder: Path) -> None:
        self.step, self.seconds, self.rate = 0, 0.0, None
        self.losses: dict[str, float] = {}
        self.metrics: dict[str, Any] = {}
        self.warnings: list[str] = []
        self.written = ""
        before = 0
        for record in records(folder):
            self.step = max(self.step, record["step"])
            if rate := record.get("steps_per_second"):
                self.rate = rate
                self.seconds += max(0, record["step"] - before) / rate
                before = record["step"]
            self.losses = record.get("losses") or self.losses
            if metrics := record.get("metrics"):
                self.metrics = {"step": record["step"], "split": record.get("split", "test"), "metrics": metrics}
            if (warning := record.get("warning")) and warning not in self.warnings:
                self.warnings.append(warning)
        log = folder / "log.jsonl"
        if log.is_file():
            moment = datetime.datetime.fromtimestamp(log.stat().st_mtime).astimezone()
            self.written = moment.isoformat(sep=" ", timespec="minutes")


def _measured(found: Measured) -> dict[str, Any]:
    return {"step": found.step, "split": found.split, "metrics": found.counting}


def _inside(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files in a run's folder, except links that lead outside."""
    place = folder / name
    if place.is_dir() and not leads_out(place, folder):
        yield from place.iterdir()


def _table(lock: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = lock.get(key)
    return found if isinstance(found, dict) else {}


def print_run(shown: Mapping[str, Any]) -> None:
    """Print what `run_of` returned."""
    tell(f"run {shown['folder']}  (recipe {shown['recipe']})")
    for key, use in shown["components"].items():
        tell(f"{key} {use}")
    state = "finished" if shown["finished"] else "not finished"
    state = "stopped early, since its metric did not improve" if shown["stopped_early"] else state
    steps = shown["steps"] if type(shown["steps"]) is int else "an unknown number"
    tell(f"step {shown['step']} of {steps}, {state}; checkpoints: {', '.join(shown['checkpoints']) or 'none'}")
    if rate := shown["steps_per_second"]:
        tell(f"{rate:.4g} steps/s; {_time(shown['seconds'])} of steps; log written {shown['written']}")
    tell(", ".join(f"{key} {value}" for key, value in shown["made_with"].items() if not isinstance(value, dict)))
    if shown["losses"]:
        tell("losses: " + ", ".join(f"{name} {value:.4g}" for name, value in shown["losses"].items()))
    rows = [
        {
            "weights": name,
            "step": one["step"],
            "split": one["split"],
            "metric": f"{role}.{metric}",
            "value": f"{value:.4g}",
        }
        for name, one in shown["metrics"].items()
        for role, metrics in one["metrics"].items()
        for metric, value in metrics.items()
    ]
    if rows:
        tell("")
        print_rows(rows, as_json=False)
    if shown["best_by"]:
        tell(f"the best weights are those of {shown['best_by']}")
    for warning in shown["warnings"][-WARNINGS:]:
        tell(f"warning: {warning}")


def _time(seconds: float) -> str:
    """Format a time.

    >>> _time(59.5), _time(3700)
    ('0:00:59', '1:01:40')
    """
    return str(datetime.timedelta(seconds=int(seconds)))
