"""`ganforge bench`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ganforge import (
    AsJson,
    Device,
    InputError,
    PluginFiles,
    Sets,
    complete_recipe,
    print_rows,
    progress,
    to_json,
    understand,
)

PLAIN = (
    "What to compare with: `engine`, the same networks and losses without optimizations; a step written in plain "
    "PyTorch, `discogan`, `cyclegan`, `toy` or a Python file with `make(batch, width)`; or `none`."
)


def bench(
    context: typer.Context,
    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE]", help="A recipe's file, or the name of a shipped one.")
    ] = None,
    sets: Sets = None,
    plugin: PluginFiles = None,
    device: Device = "auto",
    data: Annotated[bool, typer.Option("--data", help="Use the recipe's data instead of random samples.")] = False,
    plain: Annotated[str, typer.Option(metavar="STEP", help=PLAIN)] = "engine",
    beside: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE",
            help="Measure another recipe in the same rounds; `--set` applies to both.",
            autocompletion=complete_recipe,
        ),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Compare with an earlier bench, written by --json.")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a trace and a table of the slowest operations there.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Roughly how long the rounds take; with --all, those of one row.")
    ] = 20.0,
    rounds: Annotated[int, typer.Option(min=1, help="Minimum number of rounds.")] = 5,
    whole: Annotated[
        bool,
        typer.Option("--all", help="Measure the whole table of this machine into --out; continues where it stopped."),
    ] = False,
    minutes: Annotated[float, typer.Option(min=0, help="With --all: start no case after this many minutes.")] = 19.0,
    out: Annotated[Path, typer.Option(metavar="DIR", help="With --all: the folder of the results.")] = Path("bench"),
    as_json: AsJson = False,
    fresh: Annotated[int | None, typer.Option("--fresh", metavar="ROUNDS", hidden=True)] = None,
) -> None:
    """Measure how fast a recipe's step is, compared with a plain step, an earlier bench or another recipe.

    Also measures the time to the first step, memory, and the shares of forward, backward, optimizer and host overhead.
    """
    if whole:
        if recipe or sets or plugin or beside or against or profile:
            raise InputError("--all has its own recipes; with it, give only --device, --seconds, --minutes, --out")
        _measure_all(device, seconds, minutes, out, as_json)
        return
    if recipe is None:
        raise InputError("name a recipe, or --all for the whole table of this machine; `ganforge recipes` lists them")
    plan = understand(context, recipe, sets, plugin)
    other = None if beside is None else understand(context, beside, sets, plugin)
    from ganforge import pick_device
    from ganforge_bench import against as earlier, fresh as process
    from ganforge_bench.bench import bench as measure
    from ganforge_bench.profiling import require_folder

    place = pick_device(device)
    if fresh is not None:
        with progress() as report:
            found = process.first_steps(plan, place, real_data=data, report=report, rounds=fresh, seconds=seconds)
        typer.echo(to_json(found))
        return
    before = None if against is None else earlier.read(against)
    if profile is not None:
        require_folder(profile)
    options = [word for text in sets or () for word in ("--set", text)]
    options += [word for path in plugin or () for word in ("--plugin", str(path))]
    options += ["--device", device, *(["--data"] if data else [])]
    with progress() as report:
        report("first steps in a new process", 0, 1)
        start = process.ask([recipe, *options])
        if beside is not None:
            start["beside_memory_mib"] = process.ask([beside, *options])["memory_mib"]
            start["beside_memory_ratio"] = start["memory_mib"] / start["beside_memory_mib"]
        report("first steps in a new process", 1, 1)
        found = measure(
            plan,
            place,
            seconds=seconds,
            rounds=rounds,
            report=report,
            real_data=data,
            plain=plain,
            beside=other,
            traces=profile,
        )
    found |= start
    if before is not None:
        compared = earlier.compare(found, before)
        found["against"] = {"file": str(against), **compared}
        for line in earlier.warnings(compared):
            typer.echo(line, err=True)
    if as_json:
        typer.echo(to_json(found))
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    """Print all figures, a row each, and the slowest operations."""
    operations = found.pop("operations", [])
    hidden = {"settings", "round_seconds"}
    rows = []
    for name, value in found.items():
        if isinstance(value, dict) and name not in hidden:
            title = {"parts_ms": "ms of a step", "shares": "share of a step"}.get(name, name)
            rows += [{"figure": f"{title}: {part}", "value": _shown(one)} for part, one in value.items()]
        elif name not in hidden:
            rows.append({"figure": name.replace("_", " "), "value": _shown(value)})
    print_rows(rows, as_json=False)
    if operations:
        print_rows([{name: _shown(value) for name, value in row.items()} for row in operations], as_json=False)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(map(_shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _measure_all(device: str, seconds: float, minutes: float, out: Path, as_json: bool) -> None:
    import json

    from ganforge import pick_device, write_output
    from ganforge_bench.table import report as pages, running

    with progress() as report:
        found = running.measure_all(out, pick_device(device), seconds=seconds, minutes=minutes, report=report)
    text = pages.markdown(found, json.loads((out / running.MACHINE).read_text()))
    drawn = pages.picture(found)
    if drawn is not None:
        write_output(out / pages.PICTURE, drawn)
    write_output(out / pages.TABLE, text)
    typer.echo(to_json(found) if as_json else text)
    typer.echo(f"written: {out / pages.TABLE}; run the same command again to measure what is missing", err=True)
