"""The commands that only look: `list`, `show`, `recipes`, `plugins` and `validate`."""

import inspect
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from attrs import NOTHING, asdict
from rich.console import Console

from ganforge.cli.command import AsJson, PluginFiles, RecipeName, Sets, plugins_with, print_rows, tell, understand
from ganforge.components.describe import describe, describe_value
from ganforge.components.guard import aside
from ganforge.components.plugins import Plugins
from ganforge.components.registry import KINDS, Component, Registry
from ganforge.components.settings import Setting, plain, read_fields
from ganforge.disk import read_text, to_json
from ganforge.errors import InputError, PluginError, Problem, RecipeError, nearest
from ganforge.recipe.layers import summary

TABLES = ("train", "compute", "record", "losses", "values")  # of a recipe, with keys of the engine's own

_some_kind = typer.Argument(metavar="[KIND]", help=f"One of {', '.join(KINDS)}.")
_kind = typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}; or, alone, one of {', '.join(TABLES)}.")
_name = typer.Argument(metavar="[NAME]", help="Its name, or plugin/name.")
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)  # of a docstring


def list_components(
    context: typer.Context,
    kind: Annotated[str | None, _some_kind] = None,
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """List the components there are."""
    with aside():
        plugins = plugins_with(context, plugin)
        kinds = KINDS if kind is None else (_known(kind),)
        found = [component for one in kinds for component in plugins.registry.of(one)]
        rows = [{"kind": one.kind, "name": one.name, "summary": one.summary, "plugin": one.plugin} for one in found]
    print_rows([{**row, "version": plugins.known[row["plugin"]].version} for row in rows], as_json)


def show(
    context: typer.Context,
    kind: Annotated[str, _kind],
    name: Annotated[str | None, _name] = None,
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """Show a component, or a table of the engine: settings with types, defaults and ranges, and what it asks for."""
    with aside():
        plugins = plugins_with(context, plugin)
        if name is not None and kind in TABLES:
            raise InputError(f"'{kind}' is a table of the engine, which is shown alone; {nearest(kind, KINDS)}")
        if name is None:
            shown = _about_table(kind, plugins.registry)
        else:
            shown = _about_component(plugins.registry.find(_known(kind), name))
        text = to_json(shown, default=str)
    if as_json:
        typer.echo(text)
        return
    console = Console(emoji=False)
    console.print(f"{shown['kind']} {shown['name']}  ({shown['plugin']})", style="bold", markup=False)
    console.print(shown["doc"], markup=False, highlight=False)
    for player, names in shown["asks"].items():
        whom = f", for the {player}" if player else ""
        console.print(f"\nasks for{whom}: {', '.join(names) or 'nothing'}", markup=False)
    for row in shown["settings"]:
        default = "" if row["default"] is None else describe_value(row["default"])
        row["default"] = "(required)" if row.pop("required") else default
    if shown["settings"]:
        console.print()
        print_rows(shown["settings"], as_json=False)


def _about_component(component: Component) -> dict[str, Any]:
    asks = component.asks() if component.kind in ("loss", "value") else {}
    about = {"kind": component.kind, "name": component.name, "plugin": component.plugin}
    doc = inspect.getdoc(component.factory) or ""
    settings = [_about_setting(one) for one in component.signature.settings.values()]
    return {**about, "doc": doc, "settings": settings, "asks": asks}


def _about_table(name: str, registry: Registry) -> dict[str, Any]:
    from ganforge.recipe.plan import Compute, LossTable, Record, Train, ValueTable

    tables = dict(zip(TABLES, (Train, Compute, Record, LossTable, ValueTable), strict=True))
    if name in KINDS:
        there = [component.name for component in registry.of(name)]
        raise InputError(f"which {name}? There are: {', '.join(there) or 'none'}")
    if name not in tables:
        hint = nearest(name, (*KINDS, *TABLES))
        raise InputError(f"'{name}' is no kind of component and no table of the engine; {hint}")
    doc, _, attributes = (inspect.getdoc(tables[name]) or "").partition("\n\nAttributes:\n")
    docs = {key: " ".join(text.split()) for key, text in _ATTRIBUTE.findall(attributes)}
    settings = [{**_about_setting(one), "doc": docs.get(key, "")} for key, one in read_fields(tables[name]).items()]
    return {"kind": "table", "name": name, "plugin": "ganforge", "doc": doc, "settings": settings, "asks": {}}


def _about_setting(setting: Setting) -> dict[str, Any]:
    required = setting.default is NOTHING
    about = {"setting": setting.name, "type": describe(setting.type)}
    return {
        **about,
        "default": None if required else plain(setting.default),
        "required": required,
        "range": setting.ranges,
    }


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise InputError(f"unknown kind '{kind}'; {nearest(kind, KINDS)}")
    return kind


def list_recipes(context: typer.Context, as_json: AsJson = False) -> None:
    """List the shipped recipes."""
    shipped = {name: path for name, path in context.obj.recipes().items() if not name.startswith("base_")}
    rows = [{"name": name, "summary": _summary(path)} for name, path in shipped.items()]
    print_rows(rows, as_json)


def _summary(path: Path) -> str:
    """Return what a recipe says of itself, or why it cannot be read."""
    try:
        return summary(read_text(path))
    except InputError as error:
        return str(error)


def list_plugins(context: typer.Context, plugin: PluginFiles = None, as_json: AsJson = False) -> None:
    """List the plugins with their hooks, and what is wrong with those that do not load."""
    plugins: Plugins = context.obj
    with aside():
        for path in plugin or ():
            with suppress(PluginError):  # its row says so
                plugins.load_file(path)
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
        with aside():
            plan = understand(context, recipe, sets, plugin)
            from ganforge.data.reading import require
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
