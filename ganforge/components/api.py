"""The version number of the plugin API: what changed with each number, which one a plugin needs, renamed names."""

import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ganforge.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

API = 0  # nothing is released yet; from the first release on, it counts the changes that can break plugins
MADE_FOR = "GANFORGE_API"  # a plugin module's constant: the API number that it was made for
OWN = "ganforge"  # the distribution that contains ganforge and its own plugins
CORE = str(Path(__file__).parents[1])


@frozen
class Change:
    """What changed with an API number, in one sentence, and the version of ganforge that brought it."""

    version: str
    said: str


@frozen
class Renamed:
    """A name that plugins use and that has changed.

    Attributes:
        where: `ganforge` if plugins import it from there, `hook`, or `register` for its methods.
        old: the old name.
        new: the new name.
        until: the version of ganforge that removes the old name.
    """

    where: str
    old: str
    new: str
    until: str


# docs/api-changes.md lists all of these.
CHANGES: Mapping[int, Change] = {
    0: Change("0.1.0", "nothing is released yet, so anything may still change"),
}
RENAMED: tuple[Renamed, ...] = ()


def misfit(module: Any) -> str:
    """Describe what changed since the API that a plugin module was made for; "" if it states none, or the current one.

    Raises:
        PluginError: the module was made for a later API, or its number is not an integer.
    """
    stated = getattr(module, MADE_FOR, API)
    if type(stated) is not int or stated < 0:
        raise PluginError(f"its {MADE_FOR} is {stated!r}, expected a whole number such as {API}")
    if stated > API:
        raise PluginError(f"it was made for plugin API {stated}, this is {API}: pip install --upgrade ganforge")
    return f"it was made for plugin API {stated}, this is {API} ({_changes(stated)})" if stated < API else ""


def require_version(distribution: "Distribution | None") -> None:
    """Check that a plugin's distribution accepts this version of ganforge.

    Raises:
        PluginError: its requirements exclude this version.
    """
    asked: list[str] = []
    with suppress(Exception):  # unreadable metadata require nothing
        asked = [text for text in (distribution and distribution.requires) or () if text.startswith(OWN)]
    if not asked:
        return
    from packaging.requirements import InvalidRequirement, Requirement

    for text in asked:
        try:
            wanted = Requirement(text)
        except InvalidRequirement as error:
            raise PluginError(f"it requires '{text}', which pip cannot read") from error
        counts = wanted.name == OWN and (wanted.marker is None or wanted.marker.evaluate({"extra": ""}))
        if counts and not wanted.specifier.contains(version(OWN), prereleases=True):
            raise PluginError(f"it requires {OWN}{wanted.specifier}, this is {version(OWN)} ({_changes()})")


def _changes(since: int = -1) -> str:
    """Describe what changed after an API number."""
    return "; ".join(f"API {number}: {change.said}" for number, change in sorted(CHANGES.items()) if number > since)


def renamed(where: str, name: str, place: str = "") -> str | None:
    """Return the new name of a renamed name and warn; None if the name was never in use.

    The warning names the file and line of its use: `place`, or else the nearest caller outside the core.
    """
    found = next((one for one in RENAMED if (one.where, one.old) == (where, name)), None)
    if found is None:
        return None
    file, _, line = (place or _caller()).rpartition(":")
    message = f"'{name}' was renamed to '{found.new}'; ganforge {found.until} removes the old name"
    warnings.warn_explicit(message, FutureWarning, file, int(line), registry=_told.setdefault(file, {}))
    return found.new


_told: dict[str, dict[Any, Any]] = {}  # the warning registry of each file, so that each line warns once


def version(distribution: str) -> str:
    """Return the version of an installed distribution."""
    from importlib.metadata import version

    return version(distribution)


def _caller() -> str:
    """Return `file:line` of the nearest caller outside the core and Python's import machinery."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(("<frozen importlib", CORE)):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
