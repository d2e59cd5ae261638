"""Inspection: `ganforge show`, `ganforge diff` and `ganforge schema`, which change nothing."""

from typing import TYPE_CHECKING

from ganforge import hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def ganforge_commands(app: "typer.Typer") -> None:
    """Add `ganforge show`, `diff` and `schema`."""
    from ganforge_look.diff import diff
    from ganforge_look.schema import schema
    from ganforge_look.show import show

    app.command()(show)
    app.command()(diff)
    app.command()(schema)
