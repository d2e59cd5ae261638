"""The shipped recipes, as a plugin like any other."""

from collections.abc import Iterable
from pathlib import Path

from ganforge import hookimpl

HERE = Path(__file__).parent
CLONE = HERE.parents[1] / "recipes"  # their folder in a clone; in a wheel they are beside this module


@hookimpl
def ganforge_recipes() -> Iterable[Path]:
    """Return every shipped TOML file."""
    return sorted(HERE.glob("*.toml")) or sorted(CLONE.glob("*.toml"))
