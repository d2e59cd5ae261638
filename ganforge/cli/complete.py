"""Shell completion of kinds, names, recipes, runs and keys of recipes; from the index if possible.

On errors, nothing is offered.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

import typer

from ganforge.components.component import KINDS
from ganforge.components.guard import aside
from ganforge.components.offer import described, known_offer
from ganforge.components.settings import read_fields
from ganforge.recipe.layers import load
from ganforge.runs.log import LOCK

Complete = Callable[[typer.Context, str], list[str]]
SHOWN = ("recipe", "run", "train", "compute", "record", "losses", "values")  # by `show`, besides components
# Tables of a recipe, or of tables of roles, with the kind of component that they name.
NAMING = {
    **{kind: kind for kind in ("dataset", "coupling", "generator", "discriminator", "optimizer")},
    "losses": "loss",
    "values": "value",
    "updates": "update",
    "evaluations": "evaluation",
    "observers": "observer",
}


def _offering(find: Callable[[typer.Context, str], Iterable[str]]) -> Complete:
    """Turn a function that finds words into one that offers those which begin like the user's input."""

    @wraps(find)
    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        with suppress(Exception), aside():
            return sorted({word for word in find(ctx, incomplete) if word.startswith(incomplete)})
        return []

    return complete


@_offering
def complete_kind(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Offer kinds of components, and for `show` everything else that it shows."""
    return (*KINDS, *(SHOWN if ctx.info_name == "show" else ()))


@_offering
def complete_shown(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Offer names of the kind that precedes them."""
    kind = ctx.params.get("kind")
    if kind == "recipe":
        return _recipes(ctx, incomplete)
    if kind == "run":
        return _runs(incomplete)
    return [name for one in known_offer(ctx.obj).registry.of(str(kind)) for name in (one.name, one.qualified)]


@_offering
def complete_recipe(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Offer shipped recipes and recipe files."""
    return _recipes(ctx, incomplete)


@_offering
def complete_run(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Offer the folders of runs, and other folders and weights files."""
    return _runs(incomplete)


@_offering
def complete_recipe_or_run(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Offer recipes and runs."""
    return [*_recipes(ctx, incomplete), *_runs(incomplete)]


@_offering
def complete_key(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Offer keys for `--set`: of the engine's tables, and of the components that the recipe names."""
    from ganforge.recipe.tables import Compute, Record, Train

    for name, cls in {"train": Train, "compute": Compute, "record": Record}.items():
        yield from (f"{name}.{key}=" for key in read_fields(cls))
    if recipe := ctx.params.get("recipe") or next(iter(ctx.args), None):  # an unfinished line may be unparsed
        table = load(recipe, (), ctx.obj.recipes()).table
        for key, kind in NAMING.items():
            yield from _keys(ctx, kind, key, table.get(key))


def _keys(ctx: typer.Context, kind: str, path: str, table: Any) -> Iterator[str]:
    """Yield the keys of a table that names a component, and of the tables inside it."""
    if not isinstance(table, dict):
        return
    if "use" in table:
        component = described(known_offer(ctx.obj).registry.find(kind, str(table["use"])))
        keys = ["use", *(row["setting"] for row in component.settings), *(["weight"] if kind == "loss" else [])]
        yield from (f"{path}.{key}=" for key in keys)
    for name, inner in table.items():
        yield from _keys(ctx, kind, f"{path}.{name}", inner)


def _recipes(ctx: typer.Context, incomplete: str) -> list[str]:
    return [*ctx.obj.recipes(), *_files(incomplete, ".toml")]


def _runs(incomplete: str) -> list[str]:
    """Return the runs in `runs/`, and the files beside the user's input."""
    there = [str(path.parent) for path in Path("runs").glob(f"*/*/{LOCK}")]
    return [*there, *_files(incomplete, ".safetensors")]


def _files(incomplete: str, ending: str) -> Iterator[str]:
    """Yield the folders, and the files with an ending, beside the user's input."""
    folder, _ = os.path.split(incomplete)
    with suppress(OSError), os.scandir(folder or ".") as found:
        for entry in found:
            path = os.path.join(folder, entry.name)
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield f"{path}/"
            elif entry.name.endswith(ending):
                yield path
