"""`ganforge export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ganforge import NormName, PluginFiles, plugins_with, tell
from ganforge_inference.commands import Overwrite, TrainedAt


def export(
    context: typer.Context,
    run: TrainedAt,
    to: Annotated[Literal["onnx", "torch"], typer.Option(help="Format: ONNX, or a torch.export program.")],
    direction: Annotated[str | None, typer.Option(help="Direction, such as AB or BA, if there are several.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write; by default AB.onnx or AB.pt2 here.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn, such as a style.")] = 0,
    overwrite: Overwrite = False,
    norm: NormName = None,
    plugin: PluginFiles = None,
) -> None:
    """Export one file that translates in other programs, and verify it."""
    plugins = plugins_with(context, plugin)
    from ganforge import find_saved
    from ganforge_inference import export as exporting
    from ganforge_inference.direction import pick_direction
    from ganforge_inference.output import require_free, telling, write_made
    from ganforge_inference.translator import pictures_of

    exporting.require_extra(to)
    saved = find_saved(run, plugins, norm)
    chosen = pick_direction(saved, direction, translating=True)
    pictures_of(saved.outline)
    target = out or Path(chosen + exporting.SUFFIXES[to])
    require_free([target], overwrite=overwrite)
    exported = exporting.export(saved, chosen, to, seed)
    with telling(target):
        write_made(exported.content, target)
    for line in exporting.told(exported.about, target):
        tell(line)
