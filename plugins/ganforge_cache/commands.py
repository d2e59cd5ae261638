"""`ganforge data prepare` and `ganforge data clear`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganforge import InputError, PluginFiles, RecipeName, Sets, printable, progress, understand

if TYPE_CHECKING:
    from ganforge import Plan, Stored
    from ganforge_cache.cache import Entry


def prepare(context: typer.Context, recipe: RecipeName, sets: Sets = None, plugin: PluginFiles = None) -> None:
    """Prepare a recipe's pictures in the cache, in parallel, as a run does before its first step."""
    plan = understand(context, recipe, sets, plugin)
    from ganforge import decide_and_read, make_dataset, oddities
    from ganforge_cache import cache

    with progress() as report:
        plan, _, decided, sources = decide_and_read(plan, make_dataset(plan), report)
    for line in decided.said:
        context.obj.say(line)
    entries = list(_cached(plan))
    for reason in sorted({reason for entry in entries for reason in entry.skipped}):
        typer.echo(f"skipped: {printable(reason)}")
    for line in (*decided.odd, *oddities(sources, skipped=False)):
        context.obj.say(f"warning: {line}")
    size = sum(entry.size for entry in entries) / 2**20
    count = sum(entry.length for entry in entries)
    typer.echo(printable(f"{plan.name}: {count:,} samples, {size:,.1f} MiB in {cache.home()}"))


def clear(
    context: typer.Context,
    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE]", help="Only this recipe's pictures; by default all.")
    ] = None,
    sets: Sets = None,
    plugin: PluginFiles = None,
) -> None:
    """Empty the cache of prepared pictures; the original files are not touched."""
    if recipe is None and sets:
        raise InputError("--set needs a RECIPE that it overrides")
    plan = understand(context, recipe, sets, plugin) if recipe else None
    from ganforge_cache import cache

    keys = [entry.folder.name for entry in _all_cached(plan)] if plan else None
    typer.echo(printable(f"{cache.clear(keys) / 2**20:,.1f} MiB freed in {cache.home()}"))


def _all_cached(plan: "Plan") -> "Iterator[Entry]":
    """Yield all caches of a recipe: its samples, and the scans that decided its settings."""
    from ganforge import decide, make_dataset
    from ganforge_cache.cache import find, ready

    looked = []

    def look(**asked: Any) -> "Stored":
        looked.append((asked["samples"], asked["shape"]))
        return ready(**asked)

    plan, _, _ = decide(plan, make_dataset(plan), ready=look)
    yield from filter(None, (find(*wanted) for wanted in looked))
    yield from _cached(plan)


def _cached(plan: "Plan") -> "Iterator[Entry]":
    """Yield the caches of a recipe's samples."""
    from ganforge import Prepared, make_dataset, open_all
    from ganforge_cache.cache import find

    dataset = make_dataset(plan)
    for opened in open_all(plan, dataset).values():
        for domain, samples in opened.items():
            if isinstance(samples, Prepared) and (entry := find(samples, samples.shape or dataset.shapes[domain])):
                yield entry
