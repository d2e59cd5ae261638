"""The shipped recipes, as a plugin like any other."""

from collections.abc import Iterable
from pathlib import Path

from ganforge import hookimpl


@hookimpl
def ganforge_recipes() -> Iterable[Path]:
    """Return every TOML file beside this module."""
    return sorted(Path(__file__).parent.glob("*.toml"))
