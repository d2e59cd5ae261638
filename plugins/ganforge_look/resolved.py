"""Recipes as they are resolved, with every default; the index keeps them, so that torch is needed once for each."""

import os
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from ganforge import GanforgeError, Recipe, aside, brief, digest, offered, read_recipe, understand


def load(context: typer.Context, name: str, sets: Sequence[str]) -> Recipe:
    """Read a recipe's text; what is wrong with its meaning is found by `resolved`."""
    with aside():
        return read_recipe(context.obj, name, sets)


def resolved(
    context: typer.Context, name: str, sets: Sequence[str] = (), files: Sequence[Path] | None = None
) -> dict[str, Any]:
    """Return `tables`, those of the recipe with all defaults, and `cost`, what a step takes, or why it is not known.

    Raises:
        RecipeError: all that is wrong with the recipe.
    """
    recipe, index = load(context, name, sets), context.obj.index
    local = bool(files) or any(recipe.plugin_files())
    folders = [str(layer.folder) for layer in recipe.layers]  # to which paths are relative
    key = f"resolved {digest(repr((recipe.table, folders, os.getcwd())))}"
    if not local and (kept := index.find(key)):
        return dict(kept)
    with aside(), index.watching():
        plan = understand(context, name, sets, files)
        from ganforge import cost_of_step, lock_text, make_dataset

        tables = tomllib.loads(lock_text(plan, {}))
        cost: dict[str, Any] = {}
        try:
            cost = cost_of_step(plan, make_dataset(plan))
        except GanforgeError as error:
            cost = {"unknown": str(error.args[0])}
        except Exception as error:  # an operation that cannot be counted, of whatever plugin
            cost = {"unknown": brief(error)}
    tables.pop("lock", None)
    offered(context)  # which has the index keep what there is
    answer = {"tables": tables, "cost": {"batch": plan.train.batch, "steps": plan.train.steps, **cost}}
    if not local:
        with suppress(TypeError, ValueError):  # a date in a setting, say, which JSON does not know
            index.keep(key, answer)
    return answer
