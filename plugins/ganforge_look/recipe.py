"""Showing a recipe: what it extends, where keys are set, its components with settings, and the cost of a step."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from ganforge import GanforgeError, describe_value, flatten, leaves, print_rows, tell
from ganforge_look.resolved import load, resolved

Key = tuple[str, ...]


def recipe_of(context: typer.Context, name: str, sets: Sequence[str], files: Sequence[Path] | None) -> dict[str, Any]:
    """Return everything about a recipe; `error` says why it cannot be resolved, as for one made to be extended."""
    recipe = load(context, name, sets)
    first, *parents = reversed([layer for layer in recipe.layers if not layer.name.startswith("--set")])
    shown = {
        "kind": "recipe",
        "name": recipe.name,
        "file": first.name,
        "summary": recipe.summary,
        "extends": [layer.name for layer in parents],
        "keys": [
            {"key": ".".join(key), "value": value, "where": recipe.where(key)} for key, value in leaves(recipe.table)
        ],
    }
    try:
        found = resolved(context, name, sets, files)
    except GanforgeError as error:
        if not parents and first.name.endswith(".toml") and not sets:
            return {**shown, "error": error}
        raise
    components = [
        {
            "table": ".".join(key),
            "use": table["use"],
            "settings": {k: v for k, v in table.items() if k != "use" and v != {}},
        }
        for key, table in _components(found["tables"])
    ]
    return {**shown, "components": components, "cost": found["cost"]}


def _components(table: Mapping[str, Any], path: Key = ()) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """Yield every table that names a component."""
    if "use" in table:
        yield path, table
    for key, inner in table.items():
        if isinstance(inner, Mapping):
            yield from _components(inner, (*path, key))


def print_recipe(shown: Mapping[str, Any]) -> None:
    """Print what `recipe_of` returned, and raise its error, if any."""
    tell(f"recipe {shown['name']}  ({shown['file']})")
    if shown["summary"]:
        tell(shown["summary"])
    for parent in shown["extends"]:
        tell(f"extends {parent}")
    tell("")
    print_rows([{**row, "value": describe_value(row["value"])} for row in shown["keys"]], as_json=False)
    if error := shown.get("error"):
        tell("")
        raise error
    tell("")
    rows = []
    for one in shown["components"]:
        settings = ", ".join(f"{key} = {describe_value(value)}" for key, value in flatten(one["settings"]).items())
        rows.append({"table": one["table"], "use": one["use"], "settings": settings})
    print_rows(rows, as_json=False)
    cost = shown["cost"]
    tell("")
    for name, count in cost.get("parameters", {}).items():
        tell(f"{name}: {count:,} parameters")
    arithmetic = f"{cost['gflop']:,.4g} GFLOP" if "gflop" in cost else f"arithmetic not counted: {cost['unknown']}"
    tell(f"a step of {cost['batch']:,} samples: {arithmetic}; {cost['steps']:,} steps")
