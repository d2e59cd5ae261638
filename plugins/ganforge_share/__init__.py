"""Sharing: a trained model packed into one folder, pushed to a hub, and found there by its name."""

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
    """Return the folder of `hub:NAME` or `hub:NAME@REVISION`, downloaded if it is not in the hub library's cache."""
    from ganforge_share.hub import PREFIX, download

    return download(name) if name.startswith(PREFIX) else None
