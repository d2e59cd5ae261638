"""The list of components in community packages, which need not be installed; `community.toml` is part of the wheel."""

import tomllib
from functools import cache
from pathlib import Path

from attrs import frozen

INDEX = Path(__file__).with_name("community.toml")


@frozen
class ListedComponent:
    """A component of a package: how to install it, where it is described, and the folder of its tests in a clone."""

    kind: str
    name: str
    summary: str
    package: str
    install: str
    url: str
    tests: str = ""


@cache
def listed_components() -> tuple[ListedComponent, ...]:
    """Return all listed components."""
    return tuple(ListedComponent(**row) for row in tomllib.loads(INDEX.read_text(encoding="utf-8"))["component"])


def hint(kind: str, name: str) -> str:
    """Name the packages with a component of this name, short or `plugin/name`; "" if there are none."""
    found = [one for one in listed_components() if (one.kind, one.name) == (kind, name.rpartition("/")[2])]
    return "; ".join(f"the package {one.package} has one: {one.install}" for one in found)
