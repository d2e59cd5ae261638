"""Inference: what is done with trained networks, such as translating pictures, or drawing new ones."""

import typer

from ganforge import hookimpl


@hookimpl
def ganforge_commands(app: typer.Typer) -> None:
    """Add `ganforge translate` and `ganforge draw`."""
    from ganforge_inference.commands import draw, translate

    app.command()(translate)
    app.command()(draw)
