"""`ganforge show`: a component, a table of the engine, a recipe or a run."""

import inspect
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from attrs import asdict
from rich.console import Console

from ganforge import (
    KINDS,
    AsJson,
    Compute,
    Described,
    InputError,
    LossTable,
    Offer,
    PluginFiles,
    Plugins,
    Record,
    Train,
    ValueTable,
    aside,
    complete_kind,
    complete_shown,
    described,
    described_setting,
    nearest,
    offered,
    plugins_with,
    print_rows,
    read_fields,
    tell,
    to_json,
)
from ganforge_look.docstrings import with_docs, without
from ganforge_look.recipe import print_recipe, recipe_of
from ganforge_look.run import print_run, run_of

# Tables of a recipe with the engine's own keys.
TABLES = {"train": Train, "compute": Compute, "record": Record, "losses": LossTable, "values": ValueTable}
NETWORKS = ("generator", "discriminator", "network")
OTHERS = ("recipe", "run")

_kind = typer.Argument(
    metavar="KIND",
    help=f"One of {', '.join((*KINDS, *OTHERS))}; or, alone, one of {', '.join(TABLES)}.",
    autocompletion=complete_kind,
)
_name = typer.Argument(
    metavar="[NAME]",
    help="A component as NAME or PLUGIN/NAME; a recipe's file or name; a run's folder.",
    autocompletion=complete_shown,
)
_set = typer.Option(
    "--set", metavar="KEY=VALUE", help="A network's setting, such as width=32, or a recipe's; repeatable."
)


def show(
    context: typer.Context,
    kind: Annotated[str, _kind],
    name: Annotated[str | None, _name] = None,
    sets: Annotated[list[str] | None, _set] = None,
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """Show a component, a table of the engine, a recipe or a run.

    For a component: its docstring, its settings with types, defaults and ranges, the tensors that it asks for, the
    couplings that offer them, and the recipes that use it; for a network also its parameters and its arithmetic per
    picture. For a recipe: what it extends and sets, and the cost of a step. For a run: its progress and its metrics.
    """
    if sets and (name is None or kind not in (*NETWORKS, "recipe")):
        raise InputError(f"--set is only for {', '.join(NETWORKS)} and recipe, to show their size with other settings")
    if kind in OTHERS and name is None:
        raise InputError(f"which {kind}? Write ganforge show {kind} {'NAME' if kind == 'recipe' else 'FOLDER'}")
    if kind == "recipe":
        shown = recipe_of(context, str(name), sets or [], plugin)
    elif kind == "run":
        shown = run_of(Path(str(name)))
    elif name is None:
        with aside():
            shown = _about_table(kind, offered(context, plugin))
    else:
        with aside():
            shown = _about_component(context, kind, name, sets or [], plugin)
    if as_json:
        shown.pop("error", None)
        for row in shown.get("settings", ()):
            del row["shown"]  # a second form of the default
        typer.echo(to_json(shown, default=str))
    elif kind in OTHERS:
        (print_recipe if kind == "recipe" else print_run)(shown)
    else:
        _print(shown)


def _about_component(
    context: typer.Context, kind: str, name: str, sets: Sequence[str], files: Sequence[Path] | None
) -> dict[str, Any]:
    offer = offered(context, files)
    if kind in TABLES:
        raise InputError(f"'{kind}' is a table of the engine, which takes no name; {nearest(kind, KINDS)}")
    if kind not in KINDS:
        raise InputError(f"unknown kind '{kind}'; {nearest(kind, (*KINDS, *OTHERS))}")
    found = described(offer.registry.find(kind, name))
    heading = next((one.heading for one in offer.plugins if one.name == found.plugin), "")
    facts = _worked_out(context, "facts", files, _facts)[f"{kind} {found.qualified}"]
    costs = []
    if kind in NETWORKS:
        count = partial(_count, found, sets)
        costs = _worked_out(context, f"costs {kind} {found.qualified} {json.dumps(list(sets))}", files, count)
    shown = {**asdict(found), "heading": heading, **facts, "costs": costs}
    return {**shown, "settings": with_docs(shown["settings"], found.doc)}


def _worked_out(context: typer.Context, name: str, files: Sequence[Path] | None, work: Callable[[Plugins], Any]) -> Any:
    """Return what the index has under a name; otherwise compute it from the plugins, and store it."""
    index = context.obj.index
    known = None if files else index.find(name)
    if known is None:
        plugins = plugins_with(context, files)
        with index.watching():
            known = work(plugins)
        if not files:
            index.keep(name, known)
    return known


def _facts(plugins: Plugins) -> dict[str, Any]:
    from ganforge_look.facts import facts_of

    return facts_of(plugins)


def _count(found: Described, sets: Sequence[str], plugins: Plugins) -> list[dict[str, Any]]:
    from ganforge_look.costs import costs_of

    return costs_of(plugins.registry.find(found.kind, found.qualified), sets)


def _about_table(name: str, offer: Offer) -> dict[str, Any]:
    if name in KINDS:
        there = [component.name for component in offer.registry.of(name)]
        raise InputError(f"which {name}? Choose from: {', '.join(there) or 'none'}")
    if name not in TABLES:
        hint = nearest(name, (*KINDS, *OTHERS, *TABLES))
        raise InputError(f"'{name}' is neither a kind of component nor a table of the engine; {hint}")
    doc, settings = inspect.getdoc(TABLES[name]) or "", read_fields(TABLES[name])
    rows = with_docs(map(described_setting, settings.values()), doc)
    shown = {"kind": "table", "name": name, "plugin": "ganforge", "doc": without(doc, settings)}
    return {**shown, "settings": rows, "asks": {}, "costs": []}


def _print(shown: dict[str, Any]) -> None:
    """Print a component or a table of the engine."""
    console = Console(emoji=False)
    console.print(f"{shown['kind']} {shown['name']}  ({shown['plugin']})", style="bold", markup=False)
    doc = without(shown["doc"], (row["setting"] for row in shown["settings"]))
    heading, module = shown.get("heading", ""), shown.get("module", "")
    for text in (doc, "" if module.startswith(heading) else heading, module):
        if text:
            console.print(text + "\n", markup=False, highlight=False)
    for method, doc in shown.get("methods", {}).items():
        console.print(f"{method}: {doc}\n", markup=False, highlight=False)
    for player, names in shown["asks"].items():
        whom = f", for the {player}" if player else ""
        console.print(f"asks for{whom}: {', '.join(names) or 'nothing'}", markup=False)
    _print_rows(shown.get("tensors", []))
    left_out = {"required", "shown", *(["doc"] if doc == shown["doc"] and shown["kind"] != "table" else [])}
    rows = [{**row, "default": row["shown"]} for row in shown["settings"]]
    _print_rows([{key: text for key, text in row.items() if key not in left_out} for row in rows])
    _print_rows(
        [{**row, "parameters": f"{row['parameters']:,}", "gflop": f"{row['gflop']:.4g}"} for row in shown["costs"]]
    )
    for title, key in (("offered by the couplings", "couplings"), ("used by the recipes", "recipes")):
        if shown.get(key):
            tell(f"{title}: {', '.join(shown[key])}")
    if shown.get("place"):
        tell(shown["place"])


def _print_rows(rows: list[dict[str, Any]]) -> None:
    if rows:
        print_rows(rows, as_json=False)
        tell("")
