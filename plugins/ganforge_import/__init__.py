"""Importing weights: state dicts of well-known public networks become ganforge weights."""

from typing import TYPE_CHECKING

from ganforge import hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def ganforge_commands(app: "typer.Typer") -> None:
    """Add `ganforge import`."""
    from ganforge_import.command import import_weights

    app.command("import")(import_weights)
