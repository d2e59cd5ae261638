"""Running plugins' code so that it takes nobody along: what it raises, prints and changes remains its own affair."""

import os
import re
import signal
import sys
import sysconfig
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from itertools import takewhile
from pathlib import Path
from types import FrameType

from ganforge.components.suggestions import suggest
from ganforge.errors import GanforgeError, PluginError, StoppedError

STANDARD_LIBRARY, CORE = sysconfig.get_path("stdlib"), str(Path(__file__).parents[1])
# Where a mistake of a plugin shows, but is not made.
LIBRARIES = re.compile(r"[/\\]site-packages[/\\](torch|torchvision|numpy|PIL|attrs?|cattrs|pluggy|typer)[/\\]")


@contextmanager
def guarded() -> Iterator[None]:
    """Guard what a plugin does before a run: see `contained`, `aside` and `unchanged`."""
    with unchanged(), aside(), contained():
        yield


@contextmanager
def contained() -> Iterator[None]:
    """Turn what passes every `except Exception`, such as sys.exit(), into a PluginError; a real Ctrl-C remains one."""
    pressed = False

    def press(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    watched = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if watched:
        signal.signal(signal.SIGINT, press)
    try:
        yield
    except Exception:
        if not pressed:
            raise
    except BaseException as error:
        # A training's own handler, if it was there, gives way to the default one at the first Ctrl-C.
        pressed = pressed or (in_main and not watched and signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        if not (isinstance(error, StoppedError) or (pressed and isinstance(error, KeyboardInterrupt))):
            raise PluginError(brief(error)) from None
    finally:
        if watched:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if pressed:  # also if the plugin caught it
            raise KeyboardInterrupt


@contextmanager
def aside() -> Iterator[None]:
    """Send to standard error what is printed meanwhile, by Python, by C, and by processes that are started."""
    stdout, stderr, held = sys.stdout, sys.stderr, None
    _flush()
    with suppress(OSError):  # one of them is closed
        held = os.dup(1)
        os.dup2(2, 1)
    try:
        with redirect_stdout(stderr):
            yield
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        if held is not None:
            _flush()
            os.dup2(held, 1)
            os.close(held)


def _flush() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        with suppress(OSError, ValueError):  # nobody reads it, or it is closed: whoever prints next is told
            if stream is not None:
                stream.flush()


@contextmanager
def unchanged() -> Iterator[None]:
    """Keep variables of the environment, the module path, the current folder and the warnings as they are.

    New variables stay, and new places of modules, which come last; filters that make errors of warnings do not stay.
    """
    variables, path, places, filters = dict(os.environ), sys.path, list(sys.path), list(warnings.filters)
    folder = None
    with suppress(OSError):  # it was deleted
        folder = os.getcwd()
    try:
        yield
    finally:
        os.environ.update(variables)
        path[:] = [*places, *(place for place in sys.path if place not in places)]
        sys.path = path
        if warnings.filters != filters:
            new = [one for one in warnings.filters if one[0] != "error" and one not in filters]
            warnings.filters[:] = [*new, *filters]  # type: ignore[index]
        if folder is not None:
            with suppress(OSError):
                os.chdir(folder)


def brief(error: BaseException) -> str:
    """Describe an exception in one line, with the place in the plugin where it arose, and the nearest right name."""
    try:
        text = str(error)
    except Exception:  # it is a plugin's own class
        text = ""
    # Whoever watches torch's functions has no part in what they raise.
    way = takewhile(lambda frame: frame.name != "__torch_function__", traceback.extract_tb(error.__traceback__))
    frames = [frame for frame in way if _is_foreign(frame.filename)]
    own = [frame for frame in frames if not LIBRARIES.search(frame.filename)] or frames
    place = f"{own[-1].filename}:{own[-1].lineno}" if own else ""
    if isinstance(error, SyntaxError):
        text, place = error.msg, f"{error.filename}:{error.lineno}" if error.filename else place
    if not isinstance(error, GanforgeError):
        text = ": ".join(filter(None, (type(error).__name__, text)))
    # What ganforge itself says of a plugin names the file already.
    named = own[-1].filename if own and isinstance(error, GanforgeError) else place
    text = text if named in text else f"{text} ({place})"
    return "; ".join(filter(None, (" ".join(text.splitlines()), suggest(error))))


def trace(error: BaseException) -> list[str]:
    """Return the lines of an exception's traceback from the plugin's own code on, without the way that led there."""
    way = error.__traceback__
    while way and not _is_foreign(way.tb_frame.f_code.co_filename):
        way = way.tb_next
    if way is None and not isinstance(error, SyntaxError):  # the fault lies in the core
        way = error.__traceback__
    lines = traceback.format_exception(error.with_traceback(way))
    return "".join(lines).rstrip().split("\n")


def _is_foreign(file: str) -> bool:
    """Whether a file is neither of ganforge's core nor of the standard library, and was not generated."""
    standard = file.startswith(("<", STANDARD_LIBRARY)) and "site-packages" not in file
    return not standard and not file.startswith(f"{CORE}{os.sep}")
