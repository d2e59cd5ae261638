"""Comparisons: several recipes, each with several seeds, side by side."""

import typer

from ganforge import hookimpl


@hookimpl
def ganforge_commands(app: typer.Typer) -> None:
    """Add `ganforge compare`."""
    from ganforge_compare.commands import compare

    app.command()(compare)
