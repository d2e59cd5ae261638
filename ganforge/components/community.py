"""What plugins that may not be installed have, as a list in the wheel tells: the community's index."""

import tomllib
from functools import cache
from pathlib import Path

from attrs import frozen

INDEX = Path(__file__).with_name("community.toml")


@frozen
class ListedComponent:
    """A component of a package: how it is installed, where it is described, and a clone's folder with its tests."""

    kind: str
    name: str
    summary: str
    package: str
    install: str
    url: str
    tests: str = ""


@cache
def listed_components() -> tuple[ListedComponent, ...]:
    """Return all components that are listed."""
    return tuple(ListedComponent(**row) for row in tomllib.loads(INDEX.read_text(encoding="utf-8"))["component"])


def hint(kind: str, name: str) -> str:
    """Say which packages have a component of that name, short or `plugin/name`; "" where none is known."""
    found = [one for one in listed_components() if (one.kind, one.name) == (kind, name.rpartition("/")[2])]
    return "; ".join(f"the package {one.package} has one: {one.install}" for one in found)
