"""The commands `list`, `recipes`, `plugins` and `validate`, which do not train."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from attrs import asdict
from rich.markup import escape
from rich.table import Table

from ganforge.cli.common import (
    AsJson,
    PluginFiles,
    RecipeName,
    Sets,
    console_of_rows,
    offered,
    print_rows,
    tell,
    understand,
)
from ganforge.cli.complete import complete_kind
from ganforge.components.community import listed_components
from ganforge.components.component import KINDS
from ganforge.components.guard import aside
from ganforge.components.offer import Offer, keep_offer, offer_of
from ganforge.components.plugins import Plugins
from ganforge.errors import InputError, PluginError, Problem, RecipeError, nearest, printable
from ganforge.recipe.layers import summary
from ganforge.system.disk import read_text

_some_kind = typer.Argument(metavar="[KIND]", help=f"One of {', '.join(KINDS)}.", autocompletion=complete_kind)
_all = typer.Option("--all", help="Also list components of packages that are not installed, and how to install them.")
_save = typer.Option("--save", metavar="FILE", help="Write names, versions and origins of the installed plugins.")
_restore = typer.Option("--restore", metavar="FILE", help="Print how to install missing plugins from such a file.")
_run = typer.Option("--run", help="With --restore: install them with pip.")


def list_components(
    context: typer.Context,
    kind: Annotated[str | None, _some_kind] = None,
    everything: Annotated[bool, _all] = False,
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """List all components, grouped by plugin."""
    with aside():
        offer = offered(context, plugin)
        kinds = KINDS if kind is None else (_known(kind),)
        found = [component for one in kinds for component in offer.registry.of(one)]
        rows = [{"kind": one.kind, "name": one.name, "summary": one.summary, "plugin": one.plugin} for one in found]
        abouts = {one.name: {"version": one.version, "heading": one.heading} for one in offer.plugins}
    rows = [{**row, **abouts[row["plugin"]]} for row in rows]
    if everything:
        rows, more = [{**row, "install": ""} for row in rows], _elsewhere(kinds, offer)
        rows += more
        abouts |= {row["plugin"]: {"version": "", "heading": row["heading"]} for row in more}
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
        title = f"{about['heading'] or name}  ({name} {about['version'] or 'is not installed'})"
        console.print(printable(title), style="bold", markup=False)
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 0, 0, 2))
        for key in ("kind", "name", "summary"):
            table.add_column(key, overflow="fold", no_wrap=key in widths, min_width=widths.get(key))
        for row in (row for row in rows if row["plugin"] == name):
            table.add_row(*(escape(printable(row[key])) for key in ("kind", "name", "summary")))
        console.print(table)


def _elsewhere(kinds: Sequence[str], offer: Offer) -> list[dict[str, str]]:
    """Return rows for the components of known packages that are not installed."""
    installed = {one.origin for one in offer.plugins}
    return [
        {"kind": one.kind, "name": one.name, "summary": one.summary, "plugin": one.package, "version": ""}
        | {"heading": f"{one.install}  {one.url}", "install": one.install}
        for one in listed_components()
        if one.kind in kinds and one.package not in installed
    ]


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
    """Return a recipe's summary, or why it cannot be read."""
    try:
        return summary(read_text(path))
    except InputError as error:
        return str(error)


def list_plugins(
    context: typer.Context,
    save: Annotated[Path | None, _save] = None,
    restore: Annotated[Path | None, _restore] = None,
    run: Annotated[bool, _run] = False,
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """List the plugins with their hooks, and the errors of those that do not load; save or restore the list."""
    plugins: Plugins = context.obj
    if (save and restore) or (run and not restore):
        raise InputError("--save and --restore exclude each other, and --run belongs to --restore")
    if restore is not None:
        from ganforge.cli import plugin_list

        plugin_list.restore(restore, plugins, run=run)
        return
    with aside():
        for path in plugin or ():
            plugins.load_installed()
            with suppress(PluginError):  # its row shows the error
                plugins.load_file(path)
        offer = offer_of(plugins) if plugin else offered(context)
    if save is not None:
        from ganforge.cli import plugin_list

        plugin_list.save(save, offer, plugins)
        return
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
    from ganforge.cli import validation_cache

    problems: tuple[Problem, ...] = ()
    try:
        with aside():
            if plugin or not validation_cache.is_known(context.obj, recipe, sets or []):
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
    """Find all errors of a recipe; if there are none, store that in the index."""
    plan = understand(context, recipe, sets, files)
    from ganforge.cli import validation_cache
    from ganforge.data.held_out import check_data
    from ganforge.runs.warm_start import find_warm_start
    from ganforge.training import build
    from ganforge.training.check import check

    plugins: Plugins = context.obj
    dataset = build.make_dataset(plan)
    with plugins.index.watching():
        check(plan, dataset)
    with plan.located(("dataset",)):
        check_data(dataset, plan.data.validation, plan.train.batch)
    if plan.train.start is not None and os.path.isabs(plan.train.start):  # a name might mean a download
        find_warm_start(plan, dataset, plugins)
    keep_offer(plugins)
    validation_cache.keep(plugins, plan, dataset)
