"""Measurements: how fast a recipe's step is."""

import typer

from ganforge import hookimpl


@hookimpl
def ganforge_commands(app: typer.Typer) -> None:
    """Add `ganforge bench`."""
    from ganforge_bench.commands import bench

    app.command()(bench)
