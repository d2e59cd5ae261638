"""`ganforge pack` and `ganforge push`."""

from pathlib import Path
from typing import Annotated

import typer

from ganforge import Device, PluginFiles, complete_run, plugins_with, tell

Packed = Annotated[Path, typer.Argument(metavar="DIR", help="A folder written by `ganforge pack`.")]


def pack(
    context: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run's or checkpoint's folder, or weights.", autocompletion=complete_run),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")],
    direction: Annotated[
        list[str] | None, typer.Option(help="Direction, such as AB; repeatable. By default all.")
    ] = None,
    with_discriminators: Annotated[
        bool, typer.Option("--with-discriminators", help="Also add the networks that fine-tuning needs.")
    ] = False,
    licence: Annotated[str, typer.Option(metavar="ID", help="Licence of the weights, such as apache-2.0.")] = "unknown",
    data_licence: Annotated[str, typer.Option(metavar="TEXT", help="Licence of the training data.")] = "",
    dataset: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Name of the data set on a hub; repeatable.")
    ] = None,
    author: Annotated[str, typer.Option(metavar="TEXT", help="Author of the model.")] = "",
    preview: Annotated[
        bool, typer.Option("--preview/--no-preview", help="Show test pictures, if there are any.")
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that is not a pack.")] = False,
    plugin: PluginFiles = None,
    device: Device = "auto",
) -> None:
    """Pack weights, their recipe, a model card and a preview into one folder to share."""
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
    name: Annotated[str, typer.Argument(metavar="NAME", help="Repository, such as me/day2night.")],
    private: Annotated[bool, typer.Option("--private", help="Make it visible only to you.")] = False,
) -> None:
    """Upload a pack to a model hub; it is public unless --private is given."""
    from ganforge_share import hub

    plugins = plugins_with(context, None)
    tell(hub.upload(folder, name, private=private, warn=lambda line: plugins.say(f"warning: {line}")))
