"""Checks that components keep the rules of their kinds: `ganforge check`."""

from typing import TYPE_CHECKING

from ganforge import hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def ganforge_commands(app: "typer.Typer") -> None:
    """Add `ganforge check`."""
    from ganforge_check.commands import check

    app.command()(check)
