"""`ganforge data list`, `show` and `fetch`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ganforge import (
    Archive,
    AsJson,
    InputError,
    PluginFiles,
    RecipeName,
    Sets,
    plugins_with,
    print_rows,
    printable,
    progress,
    read_recipe,
    understand,
    user_folder,
)

if TYPE_CHECKING:
    from ganforge import Plugins, Stored

NAMED = 3  # up to so many different values of a label are listed


def list_data(context: typer.Context, plugin: PluginFiles = None, as_json: AsJson = False) -> None:
    """List the recipes with the data that they need, and how to get missing data."""
    plugins = plugins_with(context, plugin)
    archives = _archives(plugins)
    rows = []
    for name, path in plugins.recipes().items():
        if name.startswith("base_"):
            continue
        table = read_recipe(plugins, path).table.get("dataset", {})
        needs = list(_needs(plugins, table))
        missing = [needed for needed in needs if not needed.exists()]
        rows.append(
            {
                "recipe": name,
                "data set": str(table.get("use", "")),
                "needs": ", ".join(map(str, needs)) or "nothing",
                "here": "; ".join(_way_to(needed, archives) for needed in missing) or "yes",
            }
        )
    print_rows(rows, as_json)


def show(
    context: typer.Context,
    recipe: RecipeName,
    sets: Sets = None,
    plugin: PluginFiles = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The contact sheet, a PNG; by default RECIPE-data.png.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a recipe's data: counts, sizes, splits, labels, and a contact sheet of all domains."""
    plan = understand(context, recipe, sets, plugin)
    from ganforge import SPLITS, Stored, decide_and_read, make_dataset, oddities
    from ganforge_data.contact_sheet import draw_sheet

    with progress() as report:
        plan, dataset, decided, sources = decide_and_read(plan, make_dataset(plan), report)
    for line in decided.said:
        context.obj.say(line)
    rows = []
    for split, domain in ((split, domain) for split in SPLITS for domain in dataset.shapes if split in sources):
        samples = sources[split][domain]
        stored = samples if isinstance(samples, Stored) else None
        made_of = stored.made_of if stored else None
        labels = [item for item in stored.labels.items() if item[0] != "file"] if stored else []
        rows.append(
            {
                "split": split,
                "domain": domain,
                "samples": stored.length if stored else "drawn at each step",
                "skipped": len(stored.skipped) if stored else 0,
                "shape": " x ".join(map(str, dataset.shapes[domain])),
                "made from": _made_from(stored) if stored and made_of else "",
                "left out": made_of.left_out if made_of else "",
                "labels": "; ".join(f"{name}: {_values(values)}" for name, values in labels),
            }
        )
    print_rows(rows, as_json)
    for line in (*decided.odd, *oddities(sources)):
        context.obj.say(f"warning: {line}")
    path = out or Path(f"{plan.name}-data.png")
    try:
        if draw_sheet(sources["train"], path):
            typer.echo(printable(f"contact sheet: {path}"), err=as_json)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write the contact sheet '{path}': {error}") from error


def fetch(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A data set, such as edges2shoes, or weights, such as inception; `?` lists all."
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="The parent folder of NAME/, for data; weights have their own folder."),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="URL of a folder with the same files, tried first; repeatable."),
    ] = None,
    accept_checksum: Annotated[
        bool, typer.Option("--accept-checksum", help="Accept files with another checksum.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Also keep the downloaded archives in DIR.")] = False,
    plugin: PluginFiles = None,
) -> None:
    """Download a public data set or weights: resume, check and safely unpack them."""
    archives = _archives(plugins_with(context, plugin))
    if name not in archives:
        raise InputError(f"no data set '{name}' to download; choose from: {', '.join(sorted(archives))}")
    from ganforge_data.fetch import fetch as fetch_archive

    archive = archives[name]
    if archive.shared and folder:
        raise InputError(f"'{name}' is stored in '{user_folder('data')}' for all runs: leave out '{folder}'")
    parent = user_folder("data") if archive.shared else folder or Path("data")
    size = f", about {archive.size / 1e9:.2g} GB to download" if archive.files else ""
    typer.echo(f"{name}{size}. {archive.licence}")
    told: list[str] = []
    with progress(in_bytes=True) as report:
        target = fetch_archive(
            archive, parent, report, tell=told.append, mirrors=mirror or (), accept_checksum=accept_checksum, keep=keep
        )
    for line in told:
        typer.echo(printable(line))
    typer.echo(printable(f"{name} is in {target}"))


def _archives(plugins: "Plugins") -> dict[str, Archive]:
    return {archive.name: archive for _, found in plugins.each("ganforge_archives") for archive in found}


def _needs(plugins: "Plugins", table: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the paths in the settings of a recipe's data set."""
    try:
        component = plugins.registry.find("dataset", str(table.get("use", "")))
    except InputError:
        return
    for name, setting in component.signature.settings.items():
        kinds = (setting.type, *get_args(setting.type))
        if name in table and Path in kinds:
            yield Path(str(table[name]))
        elif dict[str, Path] in kinds and isinstance(table.get(name), dict):
            yield from map(Path, map(str, table[name].values()))


def _way_to(needed: Path, archives: Mapping[str, Archive]) -> str:
    if needed.name in archives and not archives[needed.name].shared:
        return f"ganforge data fetch {needed.name} {needed.parent}"
    return f"no {needed}: see the recipe"


def _made_from(samples: "Stored") -> str:
    """Describe the files that samples are made from."""
    made_of = samples.made_of
    items = made_of.items if made_of else []
    places = samples.places or range(len(items))
    files = [item for place in places if isinstance(item := items[place], Path) and item.is_file()]
    size = sum(file.stat().st_size for file in files)
    return f"{len(files):,} files, {size / 2**20:,.1f} MiB" if files else "rendered"


def _values(values: Any) -> str:
    """Summarise the values of a label."""
    if all(isinstance(value, bool) for value in values):
        return f"{sum(values):,}"
    different = sorted(set(values))
    if len(different) <= NAMED:
        return ", ".join(map(str, different))
    if all(isinstance(value, int | float) for value in different):
        return f"{different[0]:g} to {different[-1]:g}"
    return f"{len(different):,} different"
