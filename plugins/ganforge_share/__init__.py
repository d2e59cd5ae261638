"""Sharing trained models: packing them into one folder, pushing them to a hub, and loading them by name."""

from pathlib import Path
from typing import TYPE_CHECKING

from ganforge import hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def ganforge_commands(app: "typer.Typer") -> None:
    """Add `ganforge pack` and `ganforge push`."""
    from ganforge_share.commands import pack, push

    app.command()(pack)
    app.command()(push)


@hookimpl
def ganforge_locate(name: str) -> Path | None:
    """Return the folder of `hub:NAME` or `hub:NAME@REVISION`; download it unless it is in the hub library's cache."""
    from ganforge_share.hub import PREFIX, download

    return download(name) if name.startswith(PREFIX) else None
