"""`ganforge compare`."""

from pathlib import Path
from typing import Annotated

import typer

from ganforge import (
    AsJson,
    Device,
    InputError,
    PluginFiles,
    RunFailedError,
    Sets,
    StoppedError,
    complete_recipe,
    printable,
    tell,
    to_json,
    understand,
)


def compare(
    context: typer.Context,
    recipes: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE...", help="Recipes' files, or names of shipped ones.", autocompletion=complete_recipe
        ),
    ],
    seeds: Annotated[int, typer.Option(min=1, help="How many runs of each recipe, with seeds 0, 1, ...")] = 3,
    sets: Sets = None,
    plugin: PluginFiles = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the comparison.")] = Path("comparison"),
    device: Device = "auto",
    jobs: Annotated[int, typer.Option(min=0, help="Runs at a time; 0: one a core, or one on a GPU.")] = 0,
    level: Annotated[
        float, typer.Option(help="The probability with which an interval covers, between 0 and 1.")
    ] = 0.95,
    as_json: AsJson = False,
) -> None:
    """Train several recipes with several seeds, as far as they are not trained, and compare their metrics."""
    if not 0 < level < 1:
        raise InputError(f"--level: expected a number between 0 and 1, got {level}")
    plans = [(recipe, understand(context, recipe, sets, plugin)) for recipe in recipes]
    from ganforge import pick_device
    from ganforge_compare import comparison, findings, results, tables
    from ganforge_compare.display import Display

    place = pick_device(device)
    wanted = comparison.members(plans, seeds, out, place)
    options = [word for text in sets or () for word in ("--set", text)]
    options += [word for path in plugin or () for word in ("--plugin", str(path))]

    def say(text: str) -> None:
        for line in text.split("\n"):
            typer.echo(printable(line), err=True)

    held = comparison.occupy(out)
    try:
        with Display() as display:
            failures = comparison.train(wanted, options, place, jobs, display.show)
        for failure in failures:
            say(failure)
        trained = findings.read(wanted, say)
        if not trained:
            raise RunFailedError("no run came far enough to be compared")
        found = findings.gather(trained, level)
        written = results.write(out, found, [member for member, _ in trained])
    except (StoppedError, KeyboardInterrupt):
        say("interrupted; the same command goes on")
        raise
    finally:
        held.release()
    if as_json:
        typer.echo(to_json(results.nest(found)))
    else:
        tables.show(found)
        for what, path in written.items():
            tell(f"{what + ':':7} {path}")
    if failures:
        raise RunFailedError(f"{len(failures)} of {len(wanted)} runs failed")
