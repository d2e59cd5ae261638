"""Inference with trained networks: translating pictures, drawing samples, export and a demo."""

from typing import TYPE_CHECKING

from ganforge import hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def ganforge_commands(app: "typer.Typer") -> None:
    """Add `ganforge translate`, `draw`, `export` and `demo`."""
    from ganforge_inference.commands import draw, translate
    from ganforge_inference.demo_command import demo
    from ganforge_inference.export_command import export

    app.command()(translate)
    app.command()(draw)
    app.command()(export)
    app.command()(demo)
