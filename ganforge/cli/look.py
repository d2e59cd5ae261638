"""The commands that only look: `list`, `show`, `recipes`, `plugins` and `validate`."""

import inspect
import json
from typing import Annotated, Any

import typer
from attrs import NOTHING, asdict
from rich.console import Console

from ganforge.cli.command import AsJson, PluginFiles, RecipeName, Sets, plugins_with, print_rows, tell, understand
from ganforge.components.describe import describe, describe_value
from ganforge.components.registry import KINDS
from ganforge.components.settings import plain
from ganforge.errors import InputError, Problem, RecipeError, nearest
from ganforge.recipe.layers import summary

_some_kind = typer.Argument(metavar="[KIND]", help=f"One of {', '.join(KINDS)}.")
_kind = typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}.")
_name = typer.Argument(metavar="NAME", help="Its name, or plugin/name.")


def list_components(
    context: typer.Context,
    kind: Annotated[str | None, _some_kind] = None,
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """List the components there are."""
    plugins = plugins_with(context, plugin)
    kinds = KINDS if kind is None else (_known(kind),)
    found = [component for one in kinds for component in plugins.registry.of(one)]
    rows = [{"kind": one.kind, "name": one.name, "summary": one.summary, "plugin": one.plugin} for one in found]
    print_rows([{**row, "version": plugins.known[row["plugin"]].version} for row in rows], as_json)


def show(
    context: typer.Context,
    kind: Annotated[str, _kind],
    name: Annotated[str, _name],
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """Show a component: its settings with types, defaults and ranges, and what it asks for."""
    plugins = plugins_with(context, plugin)
    component = plugins.registry.find(_known(kind), name)
    doc = inspect.getdoc(component.factory) or ""
    asked = component.asks() if kind in ("loss", "value") else {}
    settings: list[dict[str, Any]] = []
    for one in component.signature.settings.values():
        required = one.default is NOTHING
        row = {"setting": one.name, "type": describe(one.type), "default": None if required else plain(one.default)}
        settings.append({**row, "required": required, "range": one.ranges})
    if as_json:
        about = {"kind": kind, "name": component.name, "plugin": component.plugin, "doc": doc}
        typer.echo(json.dumps({**about, "settings": settings, "asks": asked}))
        return
    console = Console()
    console.print(f"{kind} {component.name}  ({component.plugin})", style="bold", markup=False)
    console.print(doc, markup=False, highlight=False)
    for player, names in asked.items():
        whom = f", for the {player}" if player else ""
        console.print(f"\nasks for{whom}: {', '.join(names) or 'nothing'}", markup=False)
    for row in settings:
        default = "" if row["default"] is None else describe_value(row["default"])
        row["default"] = "(required)" if row.pop("required") else default
    if settings:
        console.print()
        print_rows(settings, as_json=False)


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise InputError(f"unknown kind '{kind}'; {nearest(kind, KINDS)}")
    return kind


def list_recipes(context: typer.Context, as_json: AsJson = False) -> None:
    """List the shipped recipes."""
    shipped = {name: path for name, path in context.obj.recipes().items() if not name.startswith("base_")}
    rows = [{"name": name, "summary": summary(path.read_text(encoding="utf-8"))} for name, path in shipped.items()]
    print_rows(rows, as_json)


def list_plugins(context: typer.Context, plugin: PluginFiles = None, as_json: AsJson = False) -> None:
    """List the plugins with their hooks, and what is wrong with those that do not load."""
    plugins = plugins_with(context, plugin)
    _ = plugins.registry
    rows = [
        {"name": name, "version": one.version, "from": one.origin, "hooks": ", ".join(one.hooks), "error": one.error}
        for name, one in plugins.known.items()
    ]
    print_rows(rows, as_json)


def validate(
    context: typer.Context, recipe: RecipeName, sets: Sets = None, plugin: PluginFiles = None, as_json: AsJson = False
) -> None:
    """Find all errors of a recipe without training."""
    problems: tuple[Problem, ...] = ()
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
        problems = error.problems
    if as_json:
        typer.echo(json.dumps([asdict(problem) for problem in problems]))
        raise typer.Exit(2 if problems else 0)
    tell(f"{recipe}: no problems")
