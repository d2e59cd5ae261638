"""Resolved recipes with all defaults; the index caches them, so that torch is needed only once for each."""

import os
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from ganforge import GanforgeError, Recipe, aside, brief, digest, offered, read_recipe, understand


def load(context: typer.Context, name: str, sets: Sequence[str]) -> Recipe:
    """Read a recipe's text; `resolved` finds errors in its meaning."""
    with aside():
        return read_recipe(context.obj, name, sets)


def resolved(
    context: typer.Context, name: str, sets: Sequence[str] = (), files: Sequence[Path] | None = None
) -> dict[str, Any]:
    """Return `tables`, the recipe with all defaults, and `cost`, the cost of a step or why it is unknown.

    Raises:
        RecipeError: lists all problems of the recipe.
    """
    recipe, index = load(context, name, sets), context.obj.index
    local = bool(files) or any(recipe.plugin_files())
    folders = [str(layer.folder) for layer in recipe.layers]  # paths are relative to them
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
        except Exception as error:  # a plugin's operation that cannot be counted
            cost = {"unknown": brief(error)}
    tables.pop("lock", None)
    offered(context)  # so that the index is stored
    answer = {"tables": tables, "cost": {"batch": plan.train.batch, "steps": plan.train.steps, **cost}}
    if not local:
        with suppress(TypeError, ValueError):  # for example a date, which JSON cannot hold
            index.keep(key, answer)
    return answer
