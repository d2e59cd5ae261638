"""Shared by the commands: common options, reading a recipe, tables and progress bars."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ganforge.cli.complete import complete_key, complete_recipe, complete_run
from ganforge.components.offer import Offer, known_offer, offer_of
from ganforge.components.plugins import Plugins
from ganforge.errors import InputError, Problem, RecipeError, printable
from ganforge.recipe import layers
from ganforge.recipe.layers import Recipe
from ganforge.system.disk import to_json

if TYPE_CHECKING:
    from ganforge.recipe.plan import Plan
    from ganforge.runs.results import Measured, Results

errors = Console(stderr=True, emoji=False)  # `x.toml:100: ...` names a line

_plugin = typer.Option("--plugin", metavar="FILE", help="Load a plugin file too; repeatable.")
_set = typer.Option(
    "--set",
    metavar="KEY=VALUE",
    help="Override a key, such as train.steps=1000; repeatable.",
    autocompletion=complete_key,
)
_recipe = typer.Argument(
    metavar="RECIPE", help="A recipe's file, or the name of a shipped one.", autocompletion=complete_recipe
)
_devices = typer.Option(help="Devices of this machine that share a batch: a number, or auto for all.")
_run = typer.Argument(
    metavar="RUN", help="A run's folder, such as runs/discogan_toy/0001.", autocompletion=complete_run
)
_norm = typer.Option(help="Statistics of batch normalisation, if not the recipe's `train.norm`.")

PluginFiles = Annotated[list[Path] | None, _plugin]
Sets = Annotated[list[str] | None, _set]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Devices = Annotated[str, _devices]
RecipeName = Annotated[str, _recipe]
RunFolder = Annotated[Path, _run]
NormName = Annotated[Literal["recalibrated", "running", "batch"] | None, _norm]

PLAIN_SECONDS = 10.0  # between lines of progress without a terminal


def say(text: str, style: str = "") -> None:
    """Print a message, such as a warning, on standard error without markup."""
    errors.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True)


def tell(text: str) -> None:
    """Print a line on standard output with control characters escaped."""
    typer.echo(printable(text), file=sys.stdout)


def plugins_with(context: typer.Context, files: Iterable[Path] | None) -> Plugins:
    """Load the installed plugins and those of `--plugin`, and return them."""
    plugins: Plugins = context.obj
    plugins.load_installed()
    for path in files or ():
        plugins.load_file(path)
    return plugins


def offered(context: typer.Context, files: Sequence[Path] | None = None) -> Offer:
    """Return what the installed plugins and those of `--plugin` offer; without `--plugin`, the index may know it."""
    return offer_of(plugins_with(context, files)) if files else known_offer(context.obj)


def read_recipe(plugins: Plugins, name: str | Path, sets: Sequence[str] | None = None) -> Recipe:
    """Read a recipe's file, or a shipped recipe by name, with its parents and the overrides."""
    return layers.load(name, sets or (), plugins.recipes())


def understand(context: typer.Context, name: str, sets: Sequence[str] | None, files: Iterable[Path] | None) -> "Plan":
    """Read a recipe, load its local plugins, and resolve it; report all problems at once."""
    plugins: Plugins = context.obj
    plugins.load_installed()
    loaded = read_recipe(plugins, name, sets)
    problems, local = [], []
    for path, key, layer in loaded.plugin_files():
        try:
            plugins.load_file(path)
            local.append(path)
        except InputError as error:
            line = layer.line(key[:1]) or 1
            problems.append(Problem(f"{layer.name}:{line}", f"plugins[{key[1]}]", *str(error).split("; ", 1)))
    plugins_with(context, files)
    local += files or ()
    from ganforge.recipe.resolve import resolve

    try:
        with plugins.index.watching():
            plan = resolve(loaded, plugins.registry, local)
    except RecipeError as error:
        for failed in plugins.failures():
            plugins.say(f"warning: plugin '{failed.name}' is not loaded; `ganforge plugins` shows the error")
        raise RecipeError([*problems, *error.problems]) from error
    if problems:
        raise RecipeError(problems)
    return plan


def print_rows(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    """Print rows as a table, or as a JSON list of objects."""
    if as_json:
        typer.echo(to_json(list(rows), default=str))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0] if rows else ():
        table.add_column(name, overflow="fold", no_wrap=name in ("kind", "name", "setting"))
    for row in rows:
        broken = bool(row.get("error"))
        table.add_row(*(escape(printable(str(value))) for value in row.values()), style="red" if broken else "")
    console_of_rows().print(table)


def console_of_rows() -> Console:
    """Return the console for tables. Without a terminal, each row is one line, for grep."""
    return Console(width=None if sys.stdout.isatty() else 250, emoji=False)


def print_results(results: "Results") -> None:
    """Print a row for each metric: of the last weights, and of the best ones, if they differ.

    Metrics are from the test split; columns from the validation split say so. nan means non-finite. Lines below the
    table say what the numbers are based on.
    """
    last, best = results.last, results.best
    states = {"": last} if best is None else {"last and best, ": last}
    if best is not None and best.step != last.step:
        states = {"last, ": last, "best, ": best}
    columns = {f"{name}step {state.step}{_split(state)}": state.counting for name, state in states.items()}
    names = dict.fromkeys((role, name) for found in columns.values() for role in found for name in found[role])
    rows = []
    for role, name in names:
        values = {title: found.get(role, {}).get(name) for title, found in columns.items()}
        cells = {title: "" if value is None else f"{value:.4g}" for title, value in values.items()}
        rows.append({"evaluation": role, "metric": name, **cells})
    print_rows(rows, False)
    for role, facts in last.about.get(last.split, {}).items():
        if facts:
            tell(f"{role}: {', '.join(f'{name} {value}' for name, value in facts.items())}")


def _split(state: "Measured") -> str:
    return "" if state.split == "test" else f" ({state.split})"


@contextmanager
def progress(*, in_bytes: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that shows (what, done, total) as progress bars; without a terminal, as occasional lines."""
    from rich import progress as bars

    units = (bars.DownloadColumn(), bars.TransferSpeedColumn()) if in_bytes else (bars.MofNCompleteColumn(),)
    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        *units,
        bars.TimeRemainingColumn(),
    )
    tasks: dict[str, bars.TaskID] = {}
    said, shown = time.monotonic(), errors.is_terminal and not errors.is_dumb_terminal
    with bars.Progress(*columns, console=errors, transient=True, disable=not shown) as bar:

        def report(what: str, done: int, total: int) -> None:
            nonlocal said
            if what not in tasks:
                tasks[what] = bar.add_task(printable(what), total=total)
            bar.update(tasks[what], completed=done, total=total)
            if not shown and time.monotonic() - said > PLAIN_SECONDS:
                said = time.monotonic()
                say(f"{what}: {done}/{total}")

        yield report
