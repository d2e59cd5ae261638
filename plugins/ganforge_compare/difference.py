"""Whether a run that is there is the one that a recipe asks for."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ganforge import CHANGEABLE, Plan, lock_text


def first_difference(folder: Path, plan: Plan, device: torch.device) -> tuple[str, Any, Any] | None:
    """Compare a settled plan with the run that a folder holds.

    Returns:
        (key, the run's value, the plan's value) of the first setting that makes them two different runs; None where
        none does, or where there is no run.
    """
    lock = folder / "recipe.lock.toml"
    if not lock.exists():
        return None
    there = _flat(tomllib.loads(lock.read_text(encoding="utf-8")))
    wanted = _flat(tomllib.loads(lock_text(plan, {})))
    for key in sorted(wanted | there):
        if wanted.get(key) != there.get(key) and key not in CHANGEABLE:
            return key, there.get(key), wanted.get(key)
    return None


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return every setting of a lock under its dotted key, but not what a run only notes."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if not above and key in ("lock", "plugins"):
            continue
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found
