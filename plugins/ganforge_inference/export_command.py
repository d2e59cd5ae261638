"""`ganforge export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ganforge import NormName, PluginFiles, RunFailedError, plugins_with, tell, write_file

TrainedAt = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, a checkpoint's, or a weights file.")]


def export(
    context: typer.Context,
    run: TrainedAt,
    to: Annotated[Literal["onnx", "torch"], typer.Option(help="ONNX, or a program of torch.export.")],
    direction: Annotated[str | None, typer.Option(help="Such as AB or BA, if there are several.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="By default AB.onnx, or AB.pt2, here.")] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn, such as a style.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
    norm: NormName = None,
    plugin: PluginFiles = None,
) -> None:
    """Write one file that translates in other programs, and try it."""
    plugins = plugins_with(context, plugin)
    from ganforge import find_saved
    from ganforge_inference import export as exporting
    from ganforge_inference.direction import pick_direction
    from ganforge_inference.output import require_free
    from ganforge_inference.translator import pictures_of

    exporting.require_extra(to)
    saved = find_saved(run, plugins, norm)
    chosen = pick_direction(saved, direction, translating=True)
    pictures_of(saved.outline)
    target = out or Path(chosen + exporting.SUFFIXES[to])
    require_free([target], overwrite=overwrite)
    exported = exporting.export(saved, chosen, to, seed)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_file(target, exported.content)
    except OSError as error:
        raise RunFailedError(f"'{target}' cannot be written: {error.strerror or error}") from error
    for line in exporting.told(exported.about, target):
        tell(line)
