"""The commands that only look: `list`, `show`, `recipes`, `plugins` and `validate`."""

import inspect
import json
from typing import Annotated

import typer
from attrs import NOTHING
from rich.console import Console

from ganforge.cli.command import AsJson, PluginFiles, RecipeName, Sets, plugins_with, print_rows, understand
from ganforge.components.describe import describe, describe_value
from ganforge.components.registry import KINDS, Component
from ganforge.components.settings import plain
from ganforge.errors import InputError, RecipeError, nearest
from ganforge.recipe.layers import summary


def list_components(
    context: typer.Context,
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help=f"One of {', '.join(KINDS)}.")] = None,
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """List the components there are."""
    plugins = plugins_with(context, plugin)
    if kind is not None and kind not in KINDS:
        raise InputError(f"unknown kind '{kind}'; {nearest(kind, KINDS)}")
    rows = [
        {
            "kind": one,
            "name": found.name,
            "summary": found.summary,
            "plugin": found.plugin,
            "version": plugins.known[found.plugin].version,
        }
        for one in ([kind] if kind else KINDS)
        for found in plugins.registry.of(one)
    ]
    print_rows(rows, as_json)


def show(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, or plugin/name.")],
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """Show a component: its settings with types, defaults and ranges, and what it asks for."""
    plugins = plugins_with(context, plugin)
    if kind not in KINDS:
        raise InputError(f"unknown kind '{kind}'; {nearest(kind, KINDS)}")
    component = plugins.registry.find(kind, name)
    settings = [
        {
            "setting": setting.name,
            "type": describe(setting.type),
            "default": None if setting.default is NOTHING else plain(setting.default),
            "required": setting.default is NOTHING,
            "range": setting.ranges,
        }
        for setting in component.signature.settings.values()
    ]
    asked = component.asks() if kind in ("loss", "value") else {}
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "kind": kind,
                    "name": component.name,
                    "plugin": component.plugin,
                    "doc": _doc(component),
                    "settings": settings,
                    "asks": asked,
                }
            )
        )
        return
    console = Console()
    console.print(f"{kind} {component.name}  ({component.plugin})", style="bold", markup=False)
    console.print(_doc(component), markup=False, highlight=False)
    for player, names in asked.items():
        whom = f", for the {player}" if player else ""
        console.print(f"\nasks for{whom}: {', '.join(names) or 'nothing'}", markup=False)
    if settings:
        for row in settings:
            row["default"] = (
                "(required)" if row["required"] else "" if row["default"] is None else describe_value(row["default"])
            )
        console.print()
        print_rows(
            [{key: row[key] for key in ("setting", "type", "default", "range")} for row in settings], as_json=False
        )


def list_recipes(context: typer.Context, as_json: AsJson = False) -> None:
    """List the shipped recipes."""
    rows = [
        {"name": name, "summary": summary(path.read_text(encoding="utf-8"))}
        for name, path in context.obj.recipes().items()
        if not name.startswith("base_")
    ]
    print_rows(rows, as_json)


def list_plugins(context: typer.Context, plugin: PluginFiles = None, as_json: AsJson = False) -> None:
    """List the plugins with their hooks, and what is wrong with those that do not load."""
    plugins = plugins_with(context, plugin)
    _ = plugins.registry
    rows = [
        {
            "name": name,
            "version": found.version,
            "from": found.origin,
            "hooks": ", ".join(found.hooks),
            "error": found.error,
        }
        for name, found in plugins.known.items()
    ]
    print_rows(rows, as_json)


def validate(
    context: typer.Context, recipe: RecipeName, sets: Sets = None, plugin: PluginFiles = None, as_json: AsJson = False
) -> None:
    """Find all errors of a recipe without training."""
    problems: list[dict[str, str]] = []
    try:
        plan = understand(context, recipe, sets, plugin)
        from ganforge.data.batches import require
        from ganforge.training import build

        dataset = build.make_dataset(plan)
        build.check(plan, dataset)
        with plan.located(("dataset",)):
            require(dataset.open("train"), plan.train.batch)
            dataset.open("test")
    except RecipeError as error:
        if not as_json:
            raise
        problems = [
            {"where": one.where, "key": one.key, "message": one.message, "hint": one.hint} for one in error.problems
        ]
    if as_json:
        typer.echo(json.dumps(problems))
        raise typer.Exit(2 if problems else 0)
    typer.echo(f"{recipe}: no problems")


def _doc(component: Component) -> str:
    return inspect.getdoc(component.factory) or ""
