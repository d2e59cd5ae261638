"""The component `example`."""

from collections.abc import Iterable
from pathlib import Path

import typer
from ganforge import hookimpl


@hookimpl
def ganforge_commands(app: typer.Typer) -> None:
    """Add the command."""
    from . import example

    example.ganforge_commands(app)


@hookimpl
def ganforge_recipes() -> Iterable[Path]:
    """Ship the recipe."""
    return [Path(__file__).with_name("example.toml")]
