"""`ganforge import`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge import PluginFiles, Sets, tell, understand
from ganforge_import.methods import Name, method_of

if TYPE_CHECKING:
    from ganforge_import.importing import Given, Imported


def import_weights(
    context: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE[=NETWORK]...",
            help="State dicts written by torch.save, such as latest_net_G_A.pth, or mine.pth=G_AB.",
            show_default=False,
        ),
    ],
    name: Annotated[
        Name, typer.Option("--as", help="The method of the networks; or one network, by its name in the public code.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write; by default named after the first file.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Height and width of pictures in the recipe.", min=1)] = None,
    bgr: Annotated[
        bool, typer.Option("--bgr", help="The networks were trained on BGR pictures, as OpenCV reads them.")
    ] = False,
    sets: Sets = None,
    plugin: PluginFiles = None,
) -> None:
    """Convert weights from the public code of CycleGAN, pix2pix, CUT and DiscoGAN to ganforge weights."""
    from ganforge_import import importing

    method = method_of(name)
    target = importing.require_place(out or Path(Path(files[0].partition("=")[0]).stem))
    imported = importing.gather(
        files, name, lambda changes: understand(context, method.recipe, changes, plugin), size, sets or (), bgr=bgr
    )
    importing.write(imported, target)
    for one in imported.given:
        tell(_becomes(one, imported))
    for line in _notes(imported, bgr=bgr):
        tell(f"note: {line}")
    tell(f"{out or target.name}: weights and {importing.RECIPE}")


def _becomes(given: "Given", imported: "Imported") -> str:
    """Say what a file holds, and which network it becomes."""
    settings = ", ".join(f"{key} {value}" for key, value in given.architecture.settings.items())
    does = " to ".join(given.network.domains) if given.network.role == "generator" else ""
    what = f"translates {does}" if does else f"{given.network.role} of {' and '.join(given.network.domains)}"
    return f"{given.path}: {given.architecture.names[0]} ({settings}) becomes {given.network.name}, {what}"


def _notes(imported: "Imported", *, bgr: bool) -> list[str]:
    """Return notes on what the weights do not say about the public code."""
    architectures = [one.architecture for one in imported.given]
    found = [f"{name} holds numbers that are not finite" for name in imported.not_finite]
    if any(one.use in ("resnet", "unet") for one in architectures):
        found.append("their code has pixels in -1..1; ganforge's networks take and return 0..1, and convert internally")
    if imported.plan.train.norm == "batch" and any(one.role == "generator" for one in architectures):
        found.append(
            "batch norm uses the statistics of each batch, as their test command does; for those in the files, which "
            "--eval uses there, give --norm running to translate and evaluate"
        )
    if any("bottleneck" in one.settings for one in architectures):
        found.append(
            "a single picture cannot be normalised where it is one pixel: give --norm running to translate and evaluate"
        )
    if any(one.use == "resnet" and one.settings["dropout"] for one in architectures):
        found.append(
            "dropout in the residual blocks is for training only; their test command keeps it on without --eval"
        )
    if any(one.use == "unet" for one in architectures):
        dropout = imported.plan.networks[next(g.network.name for g in imported.given if g.architecture.use == "unet")]
        rate = dropout[1].settings["dropout"]
        other = 0.0 if rate else 0.5
        found.append(f"no tensor shows a U-Net's dropout: {rate} is assumed; if wrong, --set generator.dropout={other}")
    if any("discogan" in one.names for one in architectures) and not bgr:
        found.append("DiscoGAN's own code reads BGR pictures: add --bgr for weights that it has trained")
    return found
