"""`ganforge bench`."""

from typing import Annotated

import typer

from ganforge import AsJson, Device, PluginFiles, RecipeName, Sets, print_rows, progress, to_json, understand


def bench(
    context: typer.Context,
    recipe: RecipeName,
    sets: Sets = None,
    plugin: PluginFiles = None,
    device: Device = "auto",
    data: Annotated[bool, typer.Option("--data", help="Take the recipe's data, not random samples.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure, about.")] = 20.0,
    as_json: AsJson = False,
) -> None:
    """Measure how fast a recipe's step is, against a plain step of the same networks."""
    plan = understand(context, recipe, sets, plugin)
    from ganforge import pick_device
    from ganforge_bench.bench import bench as measure

    place = pick_device(device)
    with progress() as report:
        found = measure(plan, place, seconds=seconds / 2, real_data=data, report=report)
    if as_json:
        typer.echo(to_json(found))
        return
    parts = {f"  {name}, ms": value for name, value in found.pop("parts_ms").items()}
    rows = [
        {"figure": name.replace("_", " "), "value": f"{value:.4g}" if isinstance(value, float) else str(value)}
        for name, value in (found | parts).items()
    ]
    print_rows(rows, as_json=False)
