"""Whether an existing run is the one that a recipe asks for."""

import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ganforge import InputError, Plan, decide, flatten, is_changeable, lock_text, make_dataset, read_inside, read_lock

ORIGINS = {"data": "dataset.", "start": "train.start"}  # tables of notes in a lock, and the keys that change them


def first_difference(folder: Path, plan: Plan) -> tuple[str, Any, Any] | None:
    """Compare a plan with the run that a folder holds.

    Settings that the plan leaves to the device are ignored, since the run's device may be another machine's.

    Returns:
        (key, the run's value, the plan's value) of the first setting that makes them different runs; None if there is
        no such setting or no run.

    Raises:
        InputError: the run's lock cannot be read.
    """
    try:
        there = _settings(read_lock(folder)[1])
    except FileNotFoundError:
        return None
    plan, _, _ = decide(plan, make_dataset(plan))  # decided as in the run
    wanted = _settings(tomllib.loads(lock_text(plan, {})))
    for key in sorted(wanted | there):
        mine = wanted.get(key)
        if mine != there.get(key) and not is_changeable(key) and not _is_left(key, mine):
            return key, there.get(key), mine
    return None


def _is_left(key: str, value: Any) -> bool:
    """Whether a plan leaves a setting to the device."""
    return (key.startswith("compute.") and value == "auto") or (key == "compute.threads" and value == 0)


def precision(folder: Path) -> str:
    """Return the precision that a run computes in; empty if its lock does not say."""
    with suppress(InputError, FileNotFoundError):
        return str(flatten(read_lock(folder)[1]).get("compute.precision", ""))
    return ""


def origins(folder: Path) -> dict[tuple[str, str], str]:
    """Return the digests of a run's data and of the weights that it started from, such as of ("data", "train.A")."""
    with suppress(InputError, FileNotFoundError):
        notes = read_lock(folder)[1].get("lock")
        tables = {part: notes.get(part) if isinstance(notes, dict) else None for part in ORIGINS}
        return {
            (part, name): str(digest)
            for part, table in tables.items()
            if isinstance(table, dict)
            for name, digest in table.items()
        }
    return {}


def foreign_code(folder: Path, plan: Plan) -> str:
    """Return which local plugin of a run's folder is not, byte by byte, one that the plan names; empty if all are.

    Raises:
        InputError: the run's lock or a plugin's file cannot be read.
    """
    mine = {f"plugins/{path.name}": path for path in plan.plugin_files}
    try:
        names = read_lock(folder)[1].get("plugins", [])
    except FileNotFoundError:
        return ""
    for name in map(str, names if isinstance(names, list) else [names]):
        try:
            if name not in mine or read_inside(folder, name) != mine[name].read_bytes():
                return name
        except FileNotFoundError:
            return name
    return ""


def _settings(lock: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting of a lock under its dotted key, without facts that a run only records."""
    return flatten({key: value for key, value in lock.items() if key not in ("lock", "plugins")})
