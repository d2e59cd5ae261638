"""Detect whether the recipe, data or plugins of a reopened run have changed."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganforge.data.dataset import Dataset, Sources
from ganforge.data.fingerprint import fingerprints
from ganforge.data.split import Split
from ganforge.errors import InputError
from ganforge.recipe.plan import Plan
from ganforge.training.build import open_all

# Keys that a resumed run may change, besides those of observers.
CHANGEABLE = (
    *("train.steps", "train.patience", "record.log_every", "record.checkpoint_every"),
    *("record.sample_every", "record.evaluate_every", "record.keep"),
)
OBSERVERS = "observers."  # prefix of the keys of observers


def is_changeable(key: str) -> bool:
    """Return whether a resumed run may change a key.

    >>> is_changeable("train.steps"), is_changeable("observers.csv"), is_changeable("train.seed")
    (True, True, False)
    """
    return key in CHANGEABLE or key.startswith(OBSERVERS)


def require_same_run(plan: Plan, sets: Sequence[str]) -> bool:
    """Raise an InputError if overrides would change the run; return whether they move the data."""
    paths = _places(plan)
    for text in sets:
        if not is_changeable(key := text.partition("=")[0].strip()) and key not in paths:
            allowed = ", ".join((*CHANGEABLE, *paths, f"{OBSERVERS}*"))
            raise InputError(f"--set {text}: this would be another run; a resumed run may only change {allowed}")
    return any(text.strip().startswith("dataset.") for text in sets)


def require_same_networks(sets: Sequence[str]) -> None:
    """Raise an InputError for overrides of anything but data and evaluations."""
    for text in sets:
        if text.partition("=")[0].split(".")[0].strip() not in ("dataset", "evaluations"):
            raise InputError(f"--set {text}: of trained networks, only dataset.* and evaluations.* may change")


def notes_of(folder: Path, plan: Plan, sources: Mapping[Split, Sources]) -> dict[str, dict[str, str]]:
    """Return fingerprints of the data and of the copies of local plugins, to detect later changes."""
    code = sorted((folder / "plugins").rglob("*.py"))
    digests = {path: hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() for path in code if path.is_file()}
    files = {path.relative_to(folder).as_posix(): digest for path, digest in digests.items()}
    brought = sources
    if isinstance(plan.data.validation, float):  # a share of the training samples, which have a fingerprint
        brought = {split: found for split, found in sources.items() if split != "validation"}
    return {"data": fingerprints(brought), "files": files}


def started_from(plan: Plan) -> dict[str, dict[str, str]]:
    """Return what a locked recipe notes about the weights that the run started from; they are not needed again."""
    lock = plan.recipe.table.get("lock")
    start = lock.get("start") if isinstance(lock, dict) else None
    return {"start": start} if isinstance(start, dict) else {}


def changes(plan: Plan, now: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Describe the differences from the notes in a locked recipe, one line each."""
    lock = plan.recipe.table.get("lock")
    found = []
    for part, new in now.items():
        if isinstance(lock, dict) and isinstance(old := lock.get(part), dict):
            for key in sorted(old.keys() | new.keys()):
                then, today = old.get(key, "not there"), new.get(key, "not there")
                if then != today:
                    found.append(f"{key} has changed since the run began: it was {then}, now it is {today}")
    return found


def other_data(plan: Plan, dataset: Dataset, sets: Sequence[str] = ()) -> str:
    """Describe how data or evaluations differ from those of a locked recipe; "" if they do not.

    The place of the data does not matter. `sets` are the overrides in use. Raise an InputError if data are missing.
    """
    data, lock = _data(plan, dataset), plan.recipe.table.get("lock")
    if data and not (isinstance(lock, dict) and isinstance(lock.get("data"), dict)):
        return "the weights do not say on which data they were trained"
    places = _places(plan)
    keys = [text.partition("=")[0].strip() for text in sets]
    return "; ".join(changes(plan, {"data": data}) or [f"{key} is set" for key in keys if key not in places])


def require_same_data(plan: Plan, dataset: Dataset) -> None:
    """Raise an InputError if data differ from those that a locked recipe notes, before they are prepared."""
    for change in changes(plan, {"data": _data(plan, dataset)}):
        raise InputError(f"these are not the data of the run: {change}")


def _places(plan: Plan) -> list[str]:
    """Return the keys that say where the data are."""
    values = {**plan.dataset.settings, "validation": plan.data.validation}
    return [f"dataset.{name}" for name, value in values.items() if isinstance(value, Path)]


def _data(plan: Plan, dataset: Dataset) -> dict[str, str]:
    """Return fingerprints of the data; raise an InputError if they are missing."""
    return fingerprints(open_all(plan, dataset))
