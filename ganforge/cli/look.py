"""The commands that only look: `list`, `show`, `recipes`, `plugins` and `validate`."""

import inspect
import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from attrs import asdict
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ganforge.cli.command import (
    AsJson,
    PluginFiles,
    RecipeName,
    Sets,
    console_of_rows,
    offered,
    plugins_with,
    print_rows,
    tell,
    understand,
)
from ganforge.components.guard import aside
from ganforge.components.offer import Described, Offer, described, described_setting, keep_offer, offer_of
from ganforge.components.plugins import Plugins
from ganforge.components.registry import KINDS
from ganforge.components.settings import read_fields
from ganforge.disk import read_text, to_json
from ganforge.errors import InputError, PluginError, Problem, RecipeError, nearest, printable
from ganforge.recipe.layers import summary

TABLES = ("train", "compute", "record", "losses", "values")  # of a recipe, with keys of the engine's own
NETWORKS = ("generator", "discriminator", "network")

_some_kind = typer.Argument(metavar="[KIND]", help=f"One of {', '.join(KINDS)}.")
_kind = typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}; or, alone, one of {', '.join(TABLES)}.")
_set = typer.Option("--set", metavar="KEY=VALUE", help="A setting to count with, such as width=32; repeatable.")
_name = typer.Argument(metavar="[NAME]", help="Its name, or plugin/name.")
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)  # of a docstring


def list_components(
    context: typer.Context,
    kind: Annotated[str | None, _some_kind] = None,
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """List the components there are, under the plugins that they come from."""
    with aside():
        offer = offered(context, plugin)
        kinds = KINDS if kind is None else (_known(kind),)
        found = [component for one in kinds for component in offer.registry.of(one)]
        rows = [{"kind": one.kind, "name": one.name, "summary": one.summary, "plugin": one.plugin} for one in found]
        abouts = {one.name: {"version": one.version, "heading": one.heading} for one in offer.plugins}
    rows = [{**row, **abouts[row["plugin"]]} for row in rows]
    if as_json:
        print_rows(rows, as_json)
        return
    console = console_of_rows()
    widths = {key: max((len(row[key]) for row in rows), default=0) for key in ("kind", "name")}
    names = {row["plugin"] for row in rows}
    for number, name in enumerate(sorted(names, key=lambda name: (abouts[name]["heading"].lower(), name))):
        about = abouts[name]
        if number:
            console.print()
        console.print(printable(f"{about['heading'] or name}  ({name} {about['version']})"), style="bold", markup=False)
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 0, 0, 2))
        for key in ("kind", "name", "summary"):
            table.add_column(key, overflow="fold", no_wrap=key in widths, min_width=widths.get(key))
        for row in (row for row in rows if row["plugin"] == name):
            table.add_row(*(escape(printable(row[key])) for key in ("kind", "name", "summary")))
        console.print(table)


def show(
    context: typer.Context,
    kind: Annotated[str, _kind],
    name: Annotated[str | None, _name] = None,
    sets: Annotated[list[str] | None, _set] = None,
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """Show a component, or a table of the engine: settings with types, defaults and ranges, and what it asks for.

    Of a network for pictures it also says how many parameters it has, and how much arithmetic a picture takes.
    """
    with aside():
        offer = offered(context, plugin)
        if name is not None and kind in TABLES:
            raise InputError(f"'{kind}' is a table of the engine, which is shown alone; {nearest(kind, KINDS)}")
        if sets and (name is None or kind not in NETWORKS):
            raise InputError(f"--set is for {', '.join(NETWORKS)}: how large they are with other settings")
        if name is None:
            shown = _about_table(kind, offer)
        else:
            found = described(offer.registry.find(_known(kind), name))
            shown = {**asdict(found), "costs": _costs(context, found, sets or [], plugin)}
            del shown["summary"]
        defaults = [row.pop("shown") for row in shown["settings"]]
        rows = [{**row, "default": default} for row, default in zip(shown["settings"], defaults, strict=True)]
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
    if rows:
        console.print()
        print_rows([{key: text for key, text in row.items() if key != "required"} for row in rows], as_json=False)
    if shown["costs"]:
        console.print()
        rows = [
            {**row, "parameters": f"{row['parameters']:,}", "gflop": f"{row['gflop']:.4g}"} for row in shown["costs"]
        ]
        print_rows(rows, as_json=False)


def _costs(
    context: typer.Context, network: Described, sets: Sequence[str], files: Sequence[Path] | None
) -> list[dict[str, Any]]:
    """Count how large a network is, or say what the index knows of it."""
    if network.kind not in NETWORKS:
        return []
    name, index = f"costs {network.kind} {network.qualified} {json.dumps(sets)}", context.obj.index
    costs: list[dict[str, Any]] | None = None if files else index.find(name)
    if costs is None:
        from ganforge.cli.costs import costs_of

        component = plugins_with(context, files).registry.find(network.kind, network.qualified)
        with index.watching():
            costs = costs_of(component, sets)
        if not files:
            index.keep(name, costs)
    return costs


def _about_table(name: str, offer: Offer) -> dict[str, Any]:
    from ganforge.recipe.plan import Compute, LossTable, Record, Train, ValueTable

    tables = dict(zip(TABLES, (Train, Compute, Record, LossTable, ValueTable), strict=True))
    if name in KINDS:
        there = [component.name for component in offer.registry.of(name)]
        raise InputError(f"which {name}? There are: {', '.join(there) or 'none'}")
    if name not in tables:
        hint = nearest(name, (*KINDS, *TABLES))
        raise InputError(f"'{name}' is no kind of component and no table of the engine; {hint}")
    doc, _, attributes = (inspect.getdoc(tables[name]) or "").partition("\n\nAttributes:\n")
    docs = {key: " ".join(text.split()) for key, text in _ATTRIBUTE.findall(attributes)}
    settings = [{**described_setting(one), "doc": docs.get(key, "")} for key, one in read_fields(tables[name]).items()]
    return {
        "kind": "table",
        "name": name,
        "plugin": "ganforge",
        "doc": doc,
        "settings": settings,
        "asks": {},
        "costs": [],
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
            plugins.load_installed()
            with suppress(PluginError):  # its row says so
                plugins.load_file(path)
        offer = offer_of(plugins) if plugin else offered(context)
    rows = [
        {
            "name": one.name,
            "version": one.version,
            "from": one.origin,
            "hooks": ", ".join(one.hooks),
            "error": one.error,
        }
        for one in offer.plugins
    ]
    print_rows(rows, as_json)


def validate(
    context: typer.Context, recipe: RecipeName, sets: Sets = None, plugin: PluginFiles = None, as_json: AsJson = False
) -> None:
    """Find all errors of a recipe without training."""
    from ganforge.cli import verdict

    problems: tuple[Problem, ...] = ()
    try:
        with aside():
            if plugin or not verdict.is_known(context.obj, recipe, sets or []):
                _check(context, recipe, sets, plugin)
    except RecipeError as error:
        if not as_json:
            raise
        problems = error.problems
    if as_json:
        typer.echo(json.dumps([asdict(problem) for problem in problems]))
        raise typer.Exit(2 if problems else 0)
    tell(f"{recipe}: no problems")


def _check(context: typer.Context, recipe: str, sets: Sequence[str] | None, files: Sequence[Path] | None) -> None:
    """Find all errors of a recipe, and have the index keep that there are none."""
    plan = understand(context, recipe, sets, files)
    from ganforge.cli import verdict
    from ganforge.data.divide import look
    from ganforge.runs.origin import find_origin
    from ganforge.training import build
    from ganforge.training.check import check

    plugins: Plugins = context.obj
    dataset = build.make_dataset(plan)
    with plugins.index.watching():
        check(plan, dataset)
    with plan.located(("dataset",)):
        look(dataset, plan.data.validation, plan.train.batch)
    if plan.train.start is not None and os.path.isabs(plan.train.start):  # a name might mean a download
        find_origin(plan, dataset, plugins)
    keep_offer(plugins)
    verdict.keep(plugins, plan, dataset)
