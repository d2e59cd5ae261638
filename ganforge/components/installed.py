"""Entry points of installed distributions, with those whose metadata are broken."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ganforge.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

FILE = "entry_points.txt"


@frozen
class Unreadable:
    """Stands for the entry points of a distribution that cannot be read."""

    name: str
    dist: "Distribution"
    value: str = FILE

    def load(self) -> Any:
        """Say so."""
        raise PluginError(f"its {FILE} cannot be read; install it anew")


def entry_points(group: str) -> "list[EntryPoint | Unreadable]":
    """Return the entry points of a group; of a distribution in two folders those of the first one, as Python does."""
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
        except Exception:  # whatever is wrong with it, the others are read
            found.append(Unreadable(_name(dist), dist))
    return found


@lru_cache(maxsize=16)
def _name_and_version(dist: "Distribution") -> tuple[Any, Any]:
    """Read them once: each time all of the metadata are parsed."""
    return dist.name, dist.version


def _name(dist: "Distribution") -> str:
    """Name a distribution by its metadata, or else by the folder that they lie in."""
    try:
        return str(dist.name or dist._path.name)  # type: ignore[attr-defined]
    except Exception:
        return "unknown"


def origin_of(entry: "EntryPoint | Unreadable") -> tuple[str, str]:
    """Return the name and the version of the distribution that brings an entry point.

    Raises:
        PluginError: they are not known, or the entry point names no module.
    """
    from importlib.metadata import EntryPoint

    if not EntryPoint.pattern.match(entry.value):
        raise PluginError(f"its entry point '{entry.value}' names no module")
    if entry.dist is None:
        return entry.value, ""
    try:
        found = _name_and_version(entry.dist)
    except Exception:  # such as metadata that are not there
        found = None, None
    if not all(isinstance(text, str) and text for text in found):
        raise PluginError("its metadata lack a name or a version; install it anew")
    return found
