"""The facts for a model card, from the weights' recipe, the run's log and the metrics."""

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
        source: its input; None if it draws.
        target: its output.
        sizes: the sizes that it takes.
    """

    direction: str
    source: str | None
    target: str
    sizes: str


@frozen
class State:
    """Measured weights.

    Attributes:
        name: `last`, `best`, both, or empty.
        own: whether these are the shared weights.
        measured: their metrics.
    """

    name: str
    own: bool
    measured: Measured


@frozen
class Facts:
    """The facts about a model.

    Attributes:
        name: name of its recipe.
        coupling: name of the coupling, such as `discogan`.
        dataset: name of the data set's component.
        pictures: whether it outputs pictures.
        translations: its directions.
        files: names of the networks with weights.
        judges: whether they include the networks that generators are trained with, such as discriminators.
        step: number of steps after which these weights were saved.
        lock: the locked recipe, which is untrusted.
        plugins: names of the local plugin files that it needs.
        places: settings of the data set that are paths.
        counts: number of samples of each split and domain, such as `test.A`, if known.
        states: measured weights of the run, these first; empty if these were not measured.
        by: the metric that chose the best weights, with a minus if the lowest is best; empty if none did.
        seconds: duration of the training, if its log says.
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
    """Return a table of an untrusted recipe; an empty one if it is not a table."""
    for key in path:
        lock = lock.get(key) if isinstance(lock, dict) else None
    return dict(lock) if isinstance(lock, dict) else {}


def gather(saved: Saved, run: Path | None, trained: Mapping[str, Trained], files: Sequence[str]) -> Facts:
    """Gather the facts.

    Args:
        saved: the saved weights.
        run: the run's folder, if it exists.
        trained: the networks of each shared direction.
        files: names of the shared networks.
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
    """Describe the samples of a domain."""
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
    """Return the sample counts from the lock; otherwise, if the data are available, from them."""
    notes = table_of(lock, "lock", "data")
    found = {name: re.match(r"(\d{1,12}) samples", str(note)) for name, note in notes.items()}
    counts = {name: int(match[1]) for name, match in found.items() if match}
    with suppress(InputError):
        for split, opened in open_all(outline.plan, outline.dataset).items() if not counts else ():
            stored = {domain: one for domain, one in opened.items() if not isinstance(one, Drawn)}
            counts |= {f"{split}.{domain}": one.length for domain, one in stored.items()}
    return counts


def _results(folder: Path) -> Results | None:
    """Return the metrics in a folder; None if there are none or they cannot be read."""
    try:
        return read_results(folder)
    except InputError:
        return None


def _states(beside: Results | None, run: Results | None, step: int) -> list[State]:
    """Return the metrics of these weights, from beside them or from their run, and those of the run's other weights."""
    known = {"last": run.last, "best": run.best} if run else {}
    there = {name: one for name, one in known.items() if one}
    names = [name for name, one in there.items() if one.step == step]
    found = [beside.last] if beside and beside.last and beside.last.step == step else [there[name] for name in names]
    if not found:
        return []
    others = [State(name, False, one) for name, one in there.items() if name not in names]
    return [State(" and ".join(names), True, found[0]), *others]


def _without(directions: Sequence[str], shared: Collection[str], state: State) -> State:
    """Remove metrics and facts of directions that are not shared; their names end with the direction."""
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
    """Return the total time of the steps in a run's log; None if the log is incomplete."""
    seconds, last = 0.0, 0
    try:
        for record in records(run):
            if record["step"] <= step and (speed := record.get("steps_per_second")):
                seconds, last = seconds + (record["step"] - last) / speed, record["step"]
    except InputError:
        return None
    return seconds if last == step else None
