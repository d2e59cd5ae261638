"""What a reader of a comparison must know besides its numbers."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ganforge_compare.comparison import Member
from ganforge_compare.difference import ORIGINS, origins, precision

if TYPE_CHECKING:
    from ganforge_compare.findings import Compared

FEW = 3  # runs named at most


def on_results(recipes: Sequence["Compared"]) -> Iterator[str]:
    """Yield notes on seeds, steps and metrics that differ or are missing."""
    if max(len(one.runs) for one in recipes) == 1:
        yield "one seed: no deviation, no interval, and any difference may be chance"
    elif len({tuple(one.runs) for one in recipes}) > 1:
        yield f"some seeds are missing: {_each(recipes, lambda one: ', '.join(map(str, one.runs)))}"
    if len({step for one in recipes for step in one.checkpoints["last"].steps.values()}) > 1:
        steps = _each(recipes, lambda one: _span(one.checkpoints["last"].steps.values()))
        yield f"the last steps differ: {steps}"
    yield from _of_the_best(recipes)
    odd: dict[str, list[str]] = {}
    for one in recipes:
        for name, checkpoint in one.checkpoints.items():
            for metric, values in checkpoint.metrics.items():
                where = [f"{one.name}, seed {seed} ({name})" for seed, value in values.items() if math.isnan(value)]
                odd.setdefault(metric, []).extend(where)
    for metric, places in odd.items():
        if places:
            yield f"{metric} is not finite and is left out: {'; '.join(places)}"
    for role, facts in told(recipes).items():
        for key, held in facts.items():
            if len({value for values in held.values() for value in values}) > 1:
                yield f"{role} was measured differently: {key} is {_among(held)}"


def on_runs(trained: Sequence[Member]) -> Iterator[str]:
    """Yield notes on runs that were not trained alike, although no varied key says so."""
    yield from _of_precision(trained)
    yield from _of_origins(trained)


def _of_precision(trained: Sequence[Member]) -> Iterator[str]:
    """Report runs that leave their precision to the device and were trained on devices that choose different ones."""
    found: dict[str, list[str]] = {}
    for member in trained:
        if "compute.precision" not in member.point.values and (kind := precision(member.folder)):
            found.setdefault(kind, []).append(member.label)
    if len(found) > 1:
        yield f"runs have different precisions: {'; '.join(f'{kind} {_few(names)}' for kind, names in found.items())}"


def _of_origins(trained: Sequence[Member]) -> Iterator[str]:
    """Report runs with other data, or that started from other weights."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for member in trained:
        for (part, name), digest in origins(member.folder).items():
            if not any(key.startswith(ORIGINS[part]) for key in member.point.values):
                found.setdefault((part, name), {}).setdefault(digest, []).append(member.label)
    for (part, name), held in found.items():
        if len(held) > 1:
            what = f"data ({name})" if part == "data" else f"weights to start from ({name})"
            yield f"runs have different {what}: {'; '.join(f'{one} {_few(names)}' for one, names in held.items())}"


def _few(names: Sequence[str]) -> str:
    return "; ".join(names) if len(names) <= FEW else f"{'; '.join(names[:FEW])}; and {len(names) - FEW} more"


def _of_the_best(recipes: Sequence["Compared"]) -> Iterator[str]:
    """Report best checkpoints that were chosen by different metrics, or by none."""
    chosen = [one for one in recipes if "best" in one.checkpoints]
    if chosen and len({one.by for one in recipes}) > 1:
        yield f"`best` was chosen differently: {_each(recipes, lambda one: f'by {one.by}' if one.by else 'not chosen')}"
    for one in chosen:
        have = len(one.checkpoints["best"].steps)
        if have < len(one.runs):
            yield f"only {have} of {len(one.runs)} runs of {one.name} have a best checkpoint"


def told(recipes: Sequence["Compared"]) -> dict[str, dict[str, dict[str, list[Any]]]]:
    """Return the facts of evaluations at the last step: for each role and fact, the values of each recipe."""
    found: dict[str, dict[str, dict[str, list[Any]]]] = {}
    for one in recipes:
        for roles in one.checkpoints["last"].about.values():
            for role, facts in roles.items():
                for key, value in facts.items():
                    held = found.setdefault(role, {}).setdefault(key, {}).setdefault(one.name, [])
                    if value not in held:
                        held.append(value)
    return found


def _each(recipes: Sequence["Compared"], say: Callable[["Compared"], str]) -> str:
    return "; ".join(f"{one.name} {say(one)}" for one in recipes)


def _span(values: Any) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _among(values: Mapping[str, Sequence[Any]]) -> str:
    return "; ".join(f"{', '.join(map(str, held))} for {name}" for name, held in values.items())
