"""Measurements: how fast a recipe's step is."""

from typing import TYPE_CHECKING

from ganforge import hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def ganforge_commands(app: "typer.Typer") -> None:
    """Add `ganforge bench`."""
    from ganforge_bench.commands import bench

    app.command()(bench)
