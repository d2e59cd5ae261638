"""What a model card tells of a model, gathered from its weights' own recipe, its run's log and its metrics."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from ganforge import (
    Drawn,
    InputError,
    Measured,
    PictureDataset,
    Results,
    Saved,
    Trained,
    open_all,
    read_results,
    records,
)


@frozen
class Translation:
    """One direction.

    Attributes:
        direction: such as `AB`.
        source: what it takes; None where it draws.
        target: what it makes.
        sizes: which sizes it takes.
    """

    direction: str
    source: str | None
    target: str
    sizes: str


@frozen
class State:
    """Weights that were measured.

    Attributes:
        name: `last`, `best`, both, or empty where they are neither.
        own: whether these are the weights that are shared.
        measured: what was found.
    """

    name: str
    own: bool
    measured: Measured


@frozen
class Facts:
    """What is known of a model.

    Attributes:
        name: of its recipe.
        coupling: such as `discogan`.
        dataset: the component.
        pictures: whether it makes pictures.
        translations: its directions.
        files: names of the networks whose weights are there.
        judges: whether what generators are trained with is among them.
        step: number of steps after which these weights were saved.
        lock: the locked recipe, which may be a stranger's.
        plugins: names of the local plugin files that it needs.
        places: settings of the data set that say where files lie.
        counts: how many samples there are of each split and domain, such as `test.A`, as far as that is known.
        states: the weights of the run that were measured, these ones first; none if these were not.
        by: the metric that chose the best ones, with a minus where the lowest is best; empty if none did.
        seconds: how long the training took, as far as its log tells.
    """

    name: str
    coupling: str
    dataset: str
    pictures: bool
    translations: Sequence[Translation]
    files: Sequence[str]
    judges: bool
    step: int
    lock: Mapping[str, Any]
    plugins: Sequence[str]
    places: Sequence[str]
    counts: Mapping[str, int]
    states: Sequence[State]
    by: str
    seconds: float | None

    def noted(self, table: str) -> dict[str, Any]:
        """Return a table of the recipe, such as `train` or `lock.data`; an empty one if there is none."""
        return table_of(self.lock, *table.split("."))


def table_of(lock: Any, *path: str) -> dict[str, Any]:
    """Return a table of a recipe that may be a stranger's; an empty one where it is none."""
    for key in path:
        lock = lock.get(key) if isinstance(lock, dict) else None
    return dict(lock) if isinstance(lock, dict) else {}


def gather(saved: Saved, run: Path | None, trained: Mapping[str, Trained], files: Sequence[str]) -> Facts:
    """Gather what is known.

    Args:
        saved: what was trained.
        run: its run's folder, if it is there.
        trained: the networks of each direction that is shared.
        files: names of the networks that are.
    """
    plan, outline, lock = saved.outline.plan, saved.outline, tomllib.loads(saved.weights.head.recipe)
    results = _results(run) if run is not None else None
    states = _states(_results(saved.weights.folder), results, outline.step)
    translations = [_translation(one, direction) for direction, one in trained.items()]
    return Facts(
        plan.name,
        plan.coupling_choice.component.name,
        plan.dataset.component.name,
        all(len(outline.dataset.shapes[outline.target(direction)]) == 3 for direction in trained),
        translations,
        files,
        any(plan.networks[name][0].kind != "generator" for name in files),
        outline.step,
        lock,
        [path.name for path in plan.plugin_files],
        [name for name, value in plan.dataset.settings.items() if isinstance(value, Path)],
        _counts(outline, lock),
        [_without(outline.directions, trained, state) for state in states],
        results.by if results else "",
        None if run is None else _seconds(run, outline.step),
    )


def _translation(trained: Trained, direction: str) -> Translation:
    translates = trained.translates(direction)
    source = _domain(trained, trained.source(direction)) if translates else None
    sizes = "any" if translates and trained.multiple(direction) else "that of the training"
    return Translation(direction, source, _domain(trained, trained.target(direction)), sizes)


def _domain(trained: Trained, domain: str) -> str:
    """Say what samples of a domain are."""
    dataset = trained.dataset
    shape = dataset.shapes[domain]
    if len(shape) != 3:
        return f"`{domain}`: points of {shape[0] if shape else 1} numbers"
    channels, height, width = shape
    text = f"`{domain}`: {height}x{width}, {channels} channel{'s' if channels > 1 else ''}"
    if isinstance(dataset, PictureDataset):
        depth = dataset.depths[domain]
        text += f", {depth.kind}, {depth.low:g} is 0 and {depth.high:g} is 1"
    return text


def _counts(outline: Trained, lock: Mapping[str, Any]) -> dict[str, int]:
    """Return how many samples there are, as the lock notes; else, where the data are here, as they are now."""
    notes = table_of(lock, "lock", "data")
    found = {name: re.match(r"(\d{1,12}) samples", str(note)) for name, note in notes.items()}
    counts = {name: int(match[1]) for name, match in found.items() if match}
    with suppress(InputError):
        for split, opened in open_all(outline.plan, outline.dataset).items() if not counts else ():
            stored = {domain: one for domain, one in opened.items() if not isinstance(one, Drawn)}
            counts |= {f"{split}.{domain}": one.length for domain, one in stored.items()}
    return counts


def _results(folder: Path) -> Results | None:
    """Return the metrics that lie in a folder; None where there are none, or where they cannot be read."""
    try:
        return read_results(folder)
    except InputError:
        return None


def _states(beside: Results | None, run: Results | None, step: int) -> list[State]:
    """Return what was measured of the weights of this step, beside them or in their run, and of the run's others."""
    known = {"last": run.last, "best": run.best} if run else {}
    there = {name: one for name, one in known.items() if one}
    names = [name for name, one in there.items() if one.step == step]
    found = [beside.last] if beside and beside.last and beside.last.step == step else [there[name] for name in names]
    if not found:
        return []
    others = [State(name, False, one) for name, one in there.items() if name not in names]
    return [State(" and ".join(names), True, found[0]), *others]


def _without(directions: Sequence[str], shared: Collection[str], state: State) -> State:
    """Leave out the metrics and facts of directions that are not shared, which end with the direction's name."""
    left_out = tuple(f"_{direction}" for direction in directions if direction not in shared)

    def kept(splits: Mapping[Any, Mapping[str, Mapping[str, Any]]]) -> dict[Any, dict[str, dict[str, Any]]]:
        return {
            split: {
                role: {name: value for name, value in table.items() if not name.endswith(left_out)}
                for role, table in tables.items()
            }
            for split, tables in splits.items()
        }

    measured = state.measured
    return evolve(state, measured=evolve(measured, metrics=kept(measured.metrics), about=kept(measured.about)))


def _seconds(run: Path, step: int) -> float | None:
    """Add up how long the steps took that a run's log tells of; None if it does not tell of all."""
    seconds, last = 0.0, 0
    try:
        for record in records(run):
            if record["step"] <= step and (speed := record.get("steps_per_second")):
                seconds, last = seconds + (record["step"] - last) / speed, record["step"]
    except InputError:
        return None
    return seconds if last == step else None
