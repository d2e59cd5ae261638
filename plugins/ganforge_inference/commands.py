"""`ganforge translate` and `ganforge draw`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ganforge import Device, InputError, NormName, PluginFiles, plugins_with, progress, tell


def translate(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, a checkpoint's, or a weights file.")],
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Pictures, or folders of pictures.")],
    direction: Annotated[str, typer.Option(help="Such as AB or BA.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the translations.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    norm: NormName = None,
    plugin: PluginFiles = None,
    device: Device = "auto",
) -> None:
    """Translate pictures with trained weights."""
    plugins = plugins_with(context, plugin)
    from ganforge import load_trained, pick_device
    from ganforge_inference.translate import plan_jobs, suffix_for, translate as translate_jobs

    trained = load_trained(run, plugins, pick_device(device), norm)
    trained.source(direction)
    jobs = plan_jobs(inputs, out, suffix=suffix_for(trained, direction), overwrite=overwrite)

    def warn(line: str) -> None:
        plugins.say(f"warning: {line}")

    with progress() as report:
        failed = list(translate_jobs(trained, direction, jobs, partial(report, "translating"), warn))
    tell(f"{len(jobs) - len(failed)} of {len(jobs)} pictures translated into {out}")
    if failed:
        raise InputError(*(reason for _, reason in failed))


def draw(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, a checkpoint's, or a weights file.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the samples.")],
    count: Annotated[int, typer.Option(help="How many.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the noise: the same one gives the same samples.")] = 0,
    direction: Annotated[str | None, typer.Option(help="Which, if the run draws in several.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    norm: NormName = None,
    plugin: PluginFiles = None,
    device: Device = "auto",
) -> None:
    """Draw samples with trained weights that need no source picture."""
    plugins = plugins_with(context, plugin)
    from ganforge import load_trained, pick_device
    from ganforge_inference import draw as drawn

    trained = load_trained(run, plugins, pick_device(device), norm)
    chosen = drawn.pick_direction(trained, direction)
    drawing = drawn.plan_drawing(trained, chosen, count, out, overwrite=overwrite)
    with progress() as report:
        drawn.draw(trained, chosen, drawing, seed, partial(report, "drawing"))
    tell(f"{count} samples drawn into {out}")
