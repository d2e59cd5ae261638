"""Suggest the right name for Python's errors about names that do not exist."""

import builtins
import difflib
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import FrameType, TracebackType

IMPORTED = re.compile(r"cannot import name '(\w+)'")


def suggest(error: BaseException) -> str:
    """Suggest a name, attribute or module close to the missing one; "" if none is close.

    >>> try:
    ...     [].apend(1)
    ... except AttributeError as error:
    ...     suggest(error)
    "did you mean 'append'?"
    """
    try:
        name, options = _choice(error)
        known = {option.casefold(): option for option in options}
        close = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.8)
    except Exception:  # raised by a plugin's own class, or by its `__dir__`
        return ""
    return f"did you mean '{known[close[0]]}'?" if close else ""


def _choice(error: BaseException) -> tuple[str, Iterable[str]]:
    """Return a missing name, and the existing ones."""
    frame = _last(error.__traceback__)
    if isinstance(error, ModuleNotFoundError) and error.name:
        above, _, name = error.name.rpartition(".")
        if above:
            return name, (module.name for module in pkgutil.iter_modules(import_module(above).__path__))
        # The module may be meant to be one beside a plugin file.
        beside = [str(Path(frame.f_code.co_filename).parent) for frame in _frames(error.__traceback__)]
        return name, (*sys.stdlib_module_names, *(module.name for module in pkgutil.iter_modules([*beside, *sys.path])))
    if isinstance(error, ImportError) and error.name and (found := IMPORTED.match(str(error))):
        return found[1], dir(sys.modules[error.name])
    if isinstance(error, NameError) and error.name and frame:
        return error.name, (*frame.f_locals, *frame.f_globals, *dir(builtins))
    if isinstance(error, AttributeError) and error.name:
        return error.name, dir(error.obj)
    return "", ()


def _frames(way: TracebackType | None) -> Iterator[FrameType]:
    while way:
        yield way.tb_frame
        way = way.tb_next


def _last(way: TracebackType | None) -> FrameType | None:
    return next(reversed([*_frames(way)]), None)
