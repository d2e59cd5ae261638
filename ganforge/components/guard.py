"""Run plugins' code in isolation: what it raises, prints and changes does not affect others."""

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
# Libraries in which errors of a plugin surface.
LIBRARIES = re.compile(r"[/\\]site-packages[/\\](torch|torchvision|numpy|PIL|attrs?|cattrs|pluggy|typer)[/\\]")


@contextmanager
def guarded() -> Iterator[None]:
    """Guard plugin code that runs before a training: see `contained`, `aside` and `unchanged`."""
    with unchanged(), aside(), contained():
        yield


@contextmanager
def contained() -> Iterator[None]:
    """Turn exceptions that are no `Exception`, such as SystemExit, into a PluginError; a real Ctrl-C stays one."""
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
        # The first Ctrl-C replaces a training's own handler by the default one.
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
    """Redirect standard output to standard error, for Python, C code and child processes."""
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
        with suppress(OSError, ValueError):  # the reader is gone, or it is closed: the next print reports it
            if stream is not None:
                stream.flush()


@contextmanager
def unchanged() -> Iterator[None]:
    """Restore environment variables, `sys.path`, the current folder and warning filters afterwards.

    New variables stay, and so do new entries of `sys.path`, at its end. New filters stay unless they raise errors.
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
    """Describe an exception in one line, with its place in the plugin's code and the nearest right name."""
    try:
        text = str(error)
    except Exception:  # the class may be a plugin's own
        text = ""
    # Code that intercepts torch functions is not the cause of what they raise.
    way = takewhile(lambda frame: frame.name != "__torch_function__", traceback.extract_tb(error.__traceback__))
    frames = [frame for frame in way if _is_foreign(frame.filename)]
    own = [frame for frame in frames if not LIBRARIES.search(frame.filename)] or frames
    place = f"{own[-1].filename}:{own[-1].lineno}" if own else ""
    if isinstance(error, SyntaxError):
        text, place = error.msg, f"{error.filename}:{error.lineno}" if error.filename else place
    if not isinstance(error, GanforgeError):
        text = ": ".join(filter(None, (type(error).__name__, text)))
    # Messages of ganforge itself name the plugin's file already.
    named = own[-1].filename if own and isinstance(error, GanforgeError) else place
    text = text if named in text else f"{text} ({place})"
    return "; ".join(filter(None, (" ".join(text.splitlines()), suggest(error))))


def trace(error: BaseException) -> list[str]:
    """Return the lines of an exception's traceback, starting in the plugin's own code."""
    way = error.__traceback__
    while way and not _is_foreign(way.tb_frame.f_code.co_filename):
        way = way.tb_next
    if way is None and not isinstance(error, SyntaxError):  # the fault lies in the core
        way = error.__traceback__
    lines = traceback.format_exception(error.with_traceback(way))
    return "".join(lines).rstrip().split("\n")


def _is_foreign(file: str) -> bool:
    """Return whether a file belongs neither to the core nor to the standard library, and was not generated."""
    standard = file.startswith(("<", STANDARD_LIBRARY)) and "site-packages" not in file
    return not standard and not file.startswith(f"{CORE}{os.sep}")
