"""Entry points of installed distributions, including those with broken metadata."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ganforge.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

FILE = "entry_points.txt"


@frozen
class Unreadable:
    """Represents a distribution whose entry points cannot be read."""

    name: str
    dist: "Distribution"
    value: str = FILE

    def load(self) -> Any:
        """Raise a PluginError."""
        raise PluginError(f"its {FILE} cannot be read; reinstall it")


def entry_points(group: str) -> "list[EntryPoint | Unreadable]":
    """Return the entry points of a group; if a distribution is in two folders, the first one counts, as in Python."""
    from importlib.metadata import distributions

    found: list[EntryPoint | Unreadable] = []
    folders: dict[str, str] = {}
    for dist in distributions():
        try:
            if f"[{group}]" not in (dist.read_text(FILE) or ""):
                continue
            name, folder = str(dist.name), str(dist.locate_file(""))
            if folders.setdefault(name, folder) == folder:
                found += dist.entry_points.select(group=group)
        except Exception:  # whatever is wrong with one distribution, the others are read
            found.append(Unreadable(_name(dist), dist))
    return found


@lru_cache(maxsize=16)
def _name_and_version(dist: "Distribution") -> tuple[Any, Any]:
    """Read name and version once: each access parses all of the metadata."""
    return dist.name, dist.version


def _name(dist: "Distribution") -> str:
    """Return a distribution's name from its metadata, or else from their folder."""
    try:
        return str(dist.name or dist._path.name)  # type: ignore[attr-defined]
    except Exception:
        return "unknown"


def origin_of(entry: "EntryPoint | Unreadable") -> tuple[str, str]:
    """Return the name and version of the distribution of an entry point.

    Raises:
        PluginError: they are unknown, or the entry point names no module.
    """
    from importlib.metadata import EntryPoint

    if not EntryPoint.pattern.match(entry.value):
        raise PluginError(f"its entry point '{entry.value}' names no module")
    if entry.dist is None:
        return entry.value, ""
    try:
        found = _name_and_version(entry.dist)
    except Exception:  # such as missing metadata
        found = None, None
    if not all(isinstance(text, str) and text for text in found):
        raise PluginError("its metadata lack a name or a version; reinstall it")
    return found
