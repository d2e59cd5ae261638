"""The results of a comparison: each recipe's metrics over its seeds, and the differences between recipes.

Runs with the same seed start from the same random numbers and see the same batches. So recipes are compared seed by
seed: the difference of two recipes is the mean difference of their pairs of runs. In a grid, recipes are compared at
each point, and each point of a recipe with the point that has the first value of one key and is otherwise the same.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations
from typing import Any

from attrs import evolve, field, frozen

from ganforge import InputError, Measured, Results, Split, is_finished, read_results
from ganforge_compare.comparison import Member
from ganforge_compare.intervals import Estimate, estimate, holm
from ganforge_compare.notes import on_results, on_runs

LARGEST = 1e150  # larger metrics have no sensible mean
SPLIT: Split = "test"

Seeds = Mapping[int, float]  # the value of each seed; nan if it is not finite


@frozen
class Checkpoint:
    """The results of one recipe's runs with their last or their best weights.

    Attributes:
        steps: step of the weights, for each seed.
        metrics: `role.metric`, with the value of each seed.
        about: the facts that each evaluation gives with its numbers, for each seed.
    """

    steps: Mapping[int, int]
    metrics: Mapping[str, Seeds]
    about: Mapping[int, Mapping[str, Mapping[str, Any]]]

    def estimate(self, metric: str, level: float) -> Estimate | None:
        """Return the mean of a metric over the seeds; None if no value is finite."""
        values = [value for value in self.metrics.get(metric, {}).values() if math.isfinite(value)]
        return estimate(values, level) if values else None


@frozen
class Compared:
    """A recipe (in a grid, a recipe at a point) and its runs.

    Attributes:
        name: the recipe's name and the point's.
        runs: the folder of each seed's run.
        by: the metric that chose the best weights, such as `-angles.rmse_AB`; empty if none did.
        checkpoints: `last`, and `best` if there is one.
        recipe: the recipe's name alone.
        point: the value of each varied key, as written.
    """

    name: str
    runs: Mapping[int, str]
    by: str
    checkpoints: Mapping[str, Checkpoint]
    recipe: str
    point: Mapping[str, str] = field(factory=dict)


@frozen
class Difference:
    """How a metric of the second recipe differs from that of the first: second minus first, seed by seed.

    Attributes:
        checkpoint: `last` or `best`.
        metric: `role.metric`.
        first: a recipe's name.
        second: the other's.
        by: what they differ in: `recipe`, or a varied key.
        values: the difference for each seed with which both are finite.
        estimate: their mean, with its interval.
        p_holm: its p, corrected for all differences of the comparison; None if there is no interval.
    """

    checkpoint: str
    metric: str
    first: str
    second: str
    by: str
    values: Seeds
    estimate: Estimate
    p_holm: float | None = None

    def verdict(self, level: float) -> str:
        """Return a verdict of one to three words."""
        found = self.estimate
        way = "higher" if found.mean > 0 else "lower"
        if found.p is None or self.p_holm is None:
            return "no interval"
        if found.p >= 1 - level:
            return "within the noise"
        return way if self.p_holm < 1 - level else f"perhaps {way}"


@frozen
class Comparison:
    """All results of a comparison.

    Attributes:
        level: confidence level of the intervals.
        recipes: those with results, in the order given, each with all of its points.
        differences: of all compared pairs, the earlier one first.
        notes: what a reader must know.
    """

    level: float
    recipes: Sequence[Compared]
    differences: Sequence[Difference]
    notes: Sequence[str]

    @property
    def names(self) -> list[str]:
        """The recipes' names, without points."""
        return list(dict.fromkeys(one.recipe for one in self.recipes))

    @property
    def varied(self) -> dict[str, list[str]]:
        """The values of each varied key."""
        keys = self.recipes[0].point
        return {key: list(dict.fromkeys(one.point[key] for one in self.recipes)) for key in keys}

    @property
    def checkpoints(self) -> list[str]:
        """`last`, and `best` if any recipe has it."""
        return [name for name in ("last", "best") if any(name in one.checkpoints for one in self.recipes)]

    @cached_property
    def same(self) -> dict[str, float]:
        """Metrics with one value in all runs that have them, two or more, such as what real pictures reach."""
        found: dict[str, list[float]] = {}
        runs: dict[str, set[tuple[str, int]]] = {}
        for one in self.recipes:
            for held in one.checkpoints.values():
                for metric, values in held.metrics.items():
                    found.setdefault(metric, []).extend(values.values())
                    runs.setdefault(metric, set()).update((one.name, seed) for seed in values)
        return {
            metric: values[0]
            for metric, values in found.items()
            if len(runs[metric]) > 1 and len(set(values)) == 1 and math.isfinite(values[0])
        }

    def metrics(self, checkpoint: str) -> list[str]:
        """Return the names of the metrics at a checkpoint that are not the same in all runs."""
        held = [one.checkpoints[checkpoint].metrics for one in self.recipes if checkpoint in one.checkpoints]
        return [name for name in dict.fromkeys(name for metrics in held for name in metrics) if name not in self.same]


def read(wanted: Sequence[Member], say: Callable[[str], None]) -> list[tuple[Member, Results]]:
    """Return the members that are trained and evaluated, with their results; report and leave out the others.

    They are in the order of the recipes and points, then of the seeds.
    """
    found = []
    order = list(dict.fromkeys(member.name for member in wanted))
    for member in wanted:
        try:
            results = read_results(member.folder)
        except InputError as error:
            say(f"warning: {error}")
            continue
        if results and not results.last:
            say(f"note: {member.label} is not compared: its metrics.json is from another version ({member.folder})")
        elif results and SPLIT in results.last.metrics and is_finished(member.folder, member.plan):
            found.append((member, results))
        else:
            say(f"note: {member.label} is not compared: it has no results for its last step ({member.folder})")
    return sorted(found, key=lambda one: order.index(one[0].name))


def gather(found: Sequence[tuple[Member, Results]], level: float) -> Comparison:
    """Compare the results of at least one member."""
    runs: dict[str, dict[int, tuple[Member, Results]]] = {}
    for member, results in found:
        runs.setdefault(member.name, {})[member.seed] = (member, results)
    recipes = [_compared(name, mine) for name, mine in runs.items()]
    pairs = [(*pair, by) for pair in combinations(recipes, 2) if (by := _by(*pair, recipes[0].point))]
    differences = _corrected([one for pair in pairs for one in _differences(*pair, level)])
    notes = [*on_results(recipes), *on_runs([member for member, _ in found])]
    return Comparison(level, recipes, differences, notes)


def _by(first: Compared, second: Compared, beginning: Mapping[str, str]) -> str:
    """Return what two compared ones differ in; empty if they are not compared."""
    if first.recipe != second.recipe:
        return "recipe" if first.point == second.point else ""
    keys = [key for key, value in first.point.items() if second.point[key] != value]
    return keys[0] if len(keys) == 1 and first.point[keys[0]] == beginning[keys[0]] else ""


def _compared(name: str, runs: Mapping[int, tuple[Member, Results]]) -> Compared:
    results = {seed: one for seed, (_, one) in runs.items()}
    first, _ = next(iter(runs.values()))
    best = {seed: one.best for seed, one in results.items() if one.best and SPLIT in one.best.metrics}
    checkpoints = {"last": _checkpoint({seed: one.last for seed, one in results.items()})}
    if best:
        checkpoints["best"] = _checkpoint(best)
    return Compared(
        name,
        {seed: str(member.folder) for seed, (member, _) in runs.items()},
        next((one.by for one in results.values() if one.best), ""),
        checkpoints,
        first.plan.name,
        first.point.values,
    )


def _checkpoint(measured: Mapping[int, Measured]) -> Checkpoint:
    metrics: dict[str, dict[int, float]] = {}
    for seed, one in measured.items():
        for role, table in one.metrics[SPLIT].items():
            for name, value in table.items():
                values = metrics.setdefault(f"{role}.{name}", dict.fromkeys(measured, math.nan))
                values[seed] = value if abs(value) < LARGEST else math.nan
    steps = {seed: one.step for seed, one in measured.items()}
    return Checkpoint(steps, metrics, {seed: one.about.get(SPLIT, {}) for seed, one in measured.items()})


def _differences(first: Compared, second: Compared, by: str, level: float) -> Iterator[Difference]:
    for name in first.checkpoints:
        ours = first.checkpoints[name].metrics
        theirs = second.checkpoints[name].metrics if name in second.checkpoints else {}
        for metric in ours:
            pairs = {seed: (value, theirs.get(metric, {}).get(seed, math.nan)) for seed, value in ours[metric].items()}
            pairs = {seed: pair for seed, pair in pairs.items() if all(map(math.isfinite, pair))}
            if pairs:
                values = {seed: other - one for seed, (one, other) in pairs.items()}
                size = max(abs(value) for pair in pairs.values() for value in pair)
                found = estimate(list(values.values()), level, size)
                yield Difference(name, metric, first.name, second.name, by, values, found)


def _corrected(differences: Sequence[Difference]) -> list[Difference]:
    """Correct every p for the number of differences."""
    corrected = iter(holm([one.estimate.p for one in differences if one.estimate.p is not None]))
    return [one if one.estimate.p is None else evolve(one, p_holm=next(corrected)) for one in differences]
