"""`ganforge compare`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ganforge import AsJson, Device, PluginFiles, RunFailedError, Sets, print_rows, progress, tell, understand


def compare(
    context: typer.Context,
    recipes: Annotated[
        list[str], typer.Argument(metavar="RECIPE...", help="Recipes' files, or names of shipped ones.")
    ],
    seeds: Annotated[int, typer.Option(min=1, help="How many runs of each recipe, with seeds 0, 1, ...")] = 3,
    sets: Sets = None,
    plugin: PluginFiles = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the comparison.")] = Path("comparison"),
    device: Device = "auto",
    jobs: Annotated[int, typer.Option(min=0, help="Runs at a time; 0: one a core, or one on a GPU.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train several recipes with several seeds, as far as they are not trained, and compare their metrics."""
    plans = [(recipe, understand(context, recipe, sets, plugin)) for recipe in recipes]
    from ganforge import pick_device
    from ganforge_compare import comparison

    place = pick_device(device)
    wanted = comparison.members(plans, seeds, out, place)
    options = [word for text in sets or () for word in ("--set", text)]
    options += [word for path in plugin or () for word in ("--plugin", str(path))]
    try:
        with progress() as report:
            failures = comparison.train(wanted, options, place, jobs, report)
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on", err=True)
        raise
    summary = comparison.write(out, wanted)
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        print_rows(comparison.rows_of(summary), as_json=False)
        tell(f"figure: {out / 'comparison.png'}")
        tell(f"page:   {out / 'comparison.html'}")
    if failures:
        raise RunFailedError(*failures)
