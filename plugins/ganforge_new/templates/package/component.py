"""The component `example`."""

from collections.abc import Iterable
from pathlib import Path

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the component; torch is not imported before."""
    from . import example

    example.ganforge_register(register)


@hookimpl
def ganforge_recipes() -> Iterable[Path]:
    """Ship the recipe."""
    return [Path(__file__).with_name("example.toml")]
