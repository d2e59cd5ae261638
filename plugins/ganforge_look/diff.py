"""`ganforge diff`: compares two runs or recipes, key by key with all defaults, and the metrics of runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ganforge import (
    AsJson,
    Measured,
    PluginFiles,
    complete_recipe_or_run,
    describe_value,
    flatten,
    print_rows,
    read_results,
    tell,
    to_json,
)
from ganforge_look.resolved import resolved
from ganforge_look.run import LOCK, lock_of

_one = typer.Argument(metavar="A", help="A run's folder, or a recipe.", autocompletion=complete_recipe_or_run)
_other = typer.Argument(metavar="B", help="Another run's folder, or a recipe.", autocompletion=complete_recipe_or_run)
_NONE = object()  # marks a missing key


def diff(
    context: typer.Context,
    one: Annotated[str, _one],
    other: Annotated[str, _other],
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """Show the settings in which two runs or recipes differ, defaults included, and compare the metrics of runs."""
    tables = [_tables(context, name, plugin) for name in (one, other)]
    settings = _differing(*map(flatten, tables))
    metrics = [_metrics(Path(name)) for name in (one, other)]
    beside = {name: tuple(found.get(name) for found in metrics) for name in dict.fromkeys([*metrics[0], *metrics[1]])}
    if as_json:
        found = {
            "settings": [{"key": key, **_named(pair)} for key, pair in settings.items()],
            "metrics": [{"metric": name, "a": pair[0], "b": pair[1]} for name, pair in beside.items()],
        }
        typer.echo(to_json(found, default=str))
        return
    titles = (one, other)
    rows = [{"key": key, **dict(zip(titles, map(_written, pair), strict=True))} for key, pair in settings.items()]
    if rows:
        print_rows(rows, as_json=False)
    else:
        tell("no setting differs")
    if beside:
        tell("")
        numbers = {name: ["" if value is None else f"{value:.4g}" for value in pair] for name, pair in beside.items()}
        print_rows([{"metric": name, **dict(zip(titles, pair, strict=True))} for name, pair in numbers.items()], False)


def _tables(context: typer.Context, name: str, files: Sequence[Path] | None) -> dict[str, Any]:
    """Return a run's locked recipe, or a recipe as a run would lock it."""
    if (Path(name) / LOCK).exists() or (Path(name).is_dir() and name not in context.obj.recipes()):
        return {key: table for key, table in lock_of(Path(name)).items() if key != "plugins"}
    return {key: table for key, table in resolved(context, name, files=files)["tables"].items() if key != "plugins"}


def _differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the keys that differ, in the order of the recipe, with both values.

    Facts that only a run has, such as versions, do not count as differences to a recipe.
    """
    pairs = {key: (one.get(key, _NONE), other.get(key, _NONE)) for key in dict.fromkeys([*one, *other])}
    noted = {key for key in pairs if key.startswith("lock.") and _NONE in pairs[key]}
    return {key: pair for key, pair in pairs.items() if key not in noted and not _same(*pair)}


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal: true is not 1, but 1 is 1.0."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _named(pair: tuple[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in zip("ab", pair, strict=True) if value is not _NONE}


def _written(value: Any) -> str:
    return "" if value is _NONE else describe_value(value)


def _metrics(folder: Path) -> dict[str, float]:
    """Return the metrics of a run, if any: of its last weights, and of its best ones."""
    results = read_results(folder) if (folder / LOCK).is_file() else None
    if results is None:
        return {}
    last = _counted("", results.last)
    return last if results.best is None else {**last, **_counted("best: ", results.best)}


def _counted(title: str, found: Measured) -> dict[str, float]:
    named = {f"{title}{role}.{name}": value for role, part in found.counting.items() for name, value in part.items()}
    return {f"{title}step": found.step, **named} if named else {}
