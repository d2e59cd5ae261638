"""Whether a run that is there is the one that a recipe asks for."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ganforge import Plan, decide, is_changeable, lock_text, make_dataset, read_inside, read_lock


def first_difference(folder: Path, plan: Plan, device: torch.device) -> tuple[str, Any, Any] | None:
    """Compare a settled plan with the run that a folder holds.

    Returns:
        (key, the run's value, the plan's value) of the first setting that makes them two different runs; None where
        none does, or where there is no run.

    Raises:
        InputError: the run's lock cannot be read.
    """
    try:
        there = _flat(read_lock(folder)[1])
    except FileNotFoundError:
        return None
    plan, _, _ = decide(plan, make_dataset(plan))  # as the run has decided, too
    wanted = _flat(tomllib.loads(lock_text(plan, {})))
    for key in sorted(wanted | there):
        if wanted.get(key) != there.get(key) and not is_changeable(key):
            return key, there.get(key), wanted.get(key)
    return None


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


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return every setting of a lock under its dotted key, but not what a run only notes."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if not above and key in ("lock", "plugins"):
            continue
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found
