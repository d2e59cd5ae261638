"""`ganforge pack` and `ganforge push`."""

from pathlib import Path
from typing import Annotated

import typer

from ganforge import Device, PluginFiles, complete_run, plugins_with, tell

Packed = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `ganforge pack` wrote.")]


def pack(
    context: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run's folder, a checkpoint's, or weights.", autocompletion=complete_run),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")],
    direction: Annotated[list[str] | None, typer.Option(help="Such as AB; repeatable. By default, all.")] = None,
    with_discriminators: Annotated[
        bool, typer.Option("--with-discriminators", help="Add what fine-tuning needs besides generators.")
    ] = False,
    licence: Annotated[str, typer.Option(metavar="ID", help="Of the weights, such as apache-2.0.")] = "unknown",
    data_licence: Annotated[str, typer.Option(metavar="TEXT", help="Of the training data.")] = "",
    dataset: Annotated[list[str] | None, typer.Option(metavar="ID", help="The data on a hub; repeatable.")] = None,
    author: Annotated[str, typer.Option(metavar="TEXT", help="Who made it.")] = "",
    preview: Annotated[bool, typer.Option("--preview/--no-preview", help="Show test pictures, if there are.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that is no pack.")] = False,
    plugin: PluginFiles = None,
    device: Device = "auto",
) -> None:
    """Pack weights with their recipe, a model card and a preview into one folder, for others."""
    plugins = plugins_with(context, plugin)
    from ganforge import pick_device
    from ganforge_share import pack as packing
    from ganforge_share.card import Terms

    terms = Terms(licence.lower(), data_licence, tuple(dataset or ()), author)
    contents = packing.choose(run, plugins, direction or (), with_discriminators=with_discriminators)
    target = packing.require_place(out, contents, overwrite=overwrite)
    note = packing.write(contents, target, terms, pick_device(device), preview=preview)
    tell(f"{out}: {', '.join(contents.files)} of {contents.which}")
    if note:
        tell(f"note: no preview: {note}")


def push(
    context: typer.Context,
    folder: Packed,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as me/day2night.")],
    private: Annotated[bool, typer.Option("--private", help="Show it to nobody else.")] = False,
) -> None:
    """Upload a pack to a model hub; everybody can see it, unless it is to be private."""
    from ganforge_share import hub

    plugins = plugins_with(context, None)
    tell(hub.upload(folder, name, private=private, warn=lambda line: plugins.say(f"warning: {line}")))
