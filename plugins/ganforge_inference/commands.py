"""`ganforge translate` and `ganforge draw`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ganforge import Device, InputError, NormName, PluginFiles, complete_run, plugins_with, progress, tell

TrainedAt = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="A run's or checkpoint's folder, weights, or hub:NAME.", autocompletion=complete_run
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]


def translate(
    context: typer.Context,
    run: TrainedAt,
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Pictures, or folders of pictures.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the translations.")],
    direction: Annotated[str | None, typer.Option(help="Direction, such as AB or BA, if there are several.")] = None,
    beside: Annotated[bool, typer.Option("--beside", help="Put each input and its translation side by side.")] = False,
    size: Annotated[
        str, typer.Option(metavar="own|training|HxW", help="Size at which pictures are translated, height x width.")
    ] = "own",
    tile: Annotated[
        int | None,
        typer.Option(help="Side of the tiles for large pictures; by default chosen from free memory."),
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="Pixels that tiles share; by default enough for a seamless result.")
    ] = None,
    format: Annotated[str | None, typer.Option(metavar="png|tiff|npy", help="Format of the written files.")] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of what is drawn, such as a style; the same seed gives the same pictures.")
    ] = 0,
    overwrite: Overwrite = False,
    norm: NormName = None,
    plugin: PluginFiles = None,
    device: Device = "auto",
) -> None:
    """Translate pictures with trained weights."""
    plugins = plugins_with(context, plugin)
    from ganforge import find_saved, pick_device
    from ganforge_inference import translate as translating
    from ganforge_inference.direction import pick_direction
    from ganforge_inference.output import suffix_of
    from ganforge_inference.sizes import size_named
    from ganforge_inference.translator import Translator, pictures_of

    # Check everything before loading networks.
    wanted = size_named(size)
    saved = find_saved(run, plugins, norm)
    chosen = pick_direction(saved, direction, translating=True)
    dataset, target = pictures_of(saved.outline), saved.outline.target(chosen)
    if beside:
        translating.require_beside(saved.outline, chosen)
        if format not in (None, "png"):
            raise InputError(f"--beside makes PNGs: leave out --format {format}")
    suffix = ".png" if beside else suffix_of(format, dataset.depths[target], dataset.shapes[target][0])
    jobs = translating.plan_jobs(inputs, out, suffix=suffix, overwrite=overwrite)
    trained = saved.load(pick_device(device), chosen)
    translator = Translator(trained, chosen, size=wanted, tile=tile, overlap=overlap, seed=seed, saved=saved)
    for note in translator.notes:
        plugins.say(f"note: {note}")

    def warn(line: str) -> None:
        plugins.say(f"warning: {line}")

    with progress() as report:
        outcome = translating.translate(translator, jobs, report, warn, beside=beside)
    done = len(jobs) - len(outcome.failed)
    tell(f"{done} of {len(jobs)} pictures translated into {out}{translating.size_line(translator, outcome, jobs)}")
    if outcome.failed:
        raise InputError(*dict.fromkeys(outcome.failed.values()))


def draw(
    context: typer.Context,
    run: TrainedAt,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the samples.")],
    count: Annotated[int, typer.Option(help="Number of samples.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the noise; the same seed gives the same samples.")] = 0,
    direction: Annotated[str | None, typer.Option(help="Direction, if the run draws in several.")] = None,
    overwrite: Overwrite = False,
    norm: NormName = None,
    plugin: PluginFiles = None,
    device: Device = "auto",
) -> None:
    """Draw samples from noise with trained weights."""
    plugins = plugins_with(context, plugin)
    from ganforge import find_saved, pick_device
    from ganforge_inference import draw as drawing
    from ganforge_inference.direction import pick_direction

    saved = find_saved(run, plugins, norm)
    chosen = pick_direction(saved, direction, translating=False)
    planned = drawing.plan_drawing(saved.outline, chosen, count, out, overwrite=overwrite)
    trained = saved.load(pick_device(device), chosen)
    with progress() as report:
        drawing.draw(trained, chosen, planned, seed, partial(report, "drawing"))
    tell(f"{count} samples drawn into {out}")
