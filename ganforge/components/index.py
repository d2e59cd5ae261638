"""A cache of answers between commands, so that `list`, `show` and `validate` import neither plugins nor torch.

An answer is valid while everything that it depends on is unchanged: the modules imported, files opened and folders
listed to compute it, the installed packages, the interpreter and the environment. If anything differs, or the cache
file is damaged, the answer is recomputed. The files are JSON in `index/` of the user's cache folder, and may be deleted
at any time.
"""

import hashlib
import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import source_from_cache
from pathlib import Path
from typing import Any

from ganforge.errors import InputError
from ganforge.system.disk import user_folder
from ganforge.system.folder import write_file

FORMAT = 1
FILES = 16  # files to keep: for other environments, and other installations that share the folder
OFFER = "offer"  # the answer that lists all plugins and what they offer
ANSWERS = 500  # answers to keep in each file
SLACK = 100_000_000  # nanoseconds by which file systems may date a change too early
SHELLS_OWN = {"_", "OLDPWD", "PWD", "SHLVL"}  # variables that a shell changes by itself
COMPLETION = ("COMP_", "_TYPER_COMPLETE", "_GANFORGE_COMPLETE")  # prefixes of variables for shell completion
PASSING = ("/proc/", "/sys/", "/dev/")  # files here change whenever they are read
MODULES = re.compile(r"[^.]+|.*\.(py|so|pyd|pth|zip|egg|egg-link|dist-info|egg-info)")  # modules and distributions
METADATA = ("METADATA", "PKG-INFO", "entry_points.txt")

State = list[int] | str | None  # times and size of a file, a digest of a folder's names, or None if it does not exist


class Index:
    """The answers that are valid for this process, which must be fresh: what it did before is not tracked.

    `silent` returns whether nothing was printed on standard error, since an answer from the cache would not print it
    again. Without `silent`, the index is off.
    """

    def __init__(self, silent: Callable[[], bool] | None = None) -> None:
        self._silent = silent
        self._file: Path | None = None
        self._answers: dict[str, Any] = {}
        self._seen: dict[str, State] = {}
        self._opened: set[str] = set()
        self._began = time.time_ns()
        if silent:
            with suppress(InputError, OSError, ValueError):
                self._file = user_folder("cache") / "index" / f"{_surroundings()}.json"
        if self._file:
            with suppress(Exception):  # it does not exist yet, is damaged, or is not ours
                self._read(self._file)

    @property
    def active(self) -> bool:
        """Whether the index is on."""
        return self._file is not None

    def find(self, name: str) -> Any:
        """Return the answer under a name, or None."""
        return self._answers.get(name)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the context, track which files are opened and which folders are listed: answers depend on them."""
        if self._file is None or _Noted.by is not None:  # it is tracked already
            yield
            return
        _Noted.begin(self._note)
        try:
            yield
        finally:
            _Noted.by = None

    def keep(self, name: str, answer: Any) -> None:
        """Store an answer of JSON values, unless something that it depends on has changed since the command began.

        Errors while writing are ignored.
        """
        if self._file is None or self._silent is None or not self._silent():
            return
        files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        imported = {file for file in files if isinstance(file, str) and os.path.isabs(file)}
        states = {path: _state(path) for path in imported | self._opened | self._seen.keys()}
        if any(states[path] != state for path, state in self._seen.items()) or any(map(self._is_new, states.values())):
            return
        self._seen = states
        self._answers.pop(name, None)
        self._answers = dict([*self._answers.items(), (name, answer)][-ANSWERS:])
        text = json.dumps({"seen": states, "answers": self._answers})
        with suppress(OSError, ValueError):  # a ValueError is a file's name that is not UTF-8
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._file, f"{digest(text)}\n{text}", lasting=False)
            for older in sorted(self._file.parent.glob("*.json"), key=_age, reverse=True)[FILES:]:
                older.unlink()

    def _read(self, file: Path) -> None:
        written, _, text = file.read_text().partition("\n")
        if written == digest(text):
            found = json.loads(text)
            if all(_state(path) == state for path, state in found["seen"].items()):
                self._seen, self._answers = found["seen"], dict(found["answers"])

    def _is_new(self, state: State) -> bool:
        """Return whether a file was changed since the command began, so that it may differ from what was imported."""
        changed = 0 if sys.platform == "win32" else 1  # programs cannot set ctime, which Windows lacks
        return isinstance(state, list) and state[changed] > self._began - SLACK

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note a file that is opened for reading, or a folder that is listed."""
        path, mode, flags = (*arguments, None, None)[:3]
        written = (isinstance(mode, str) and mode.strip("rbtU")) or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
        if not isinstance(path, str | bytes | os.PathLike) or (event == "open" and written):
            return
        path = os.path.abspath(os.fsdecode(path))
        if os.path.basename(os.path.dirname(path)) == "__pycache__":
            with suppress(ValueError, NotImplementedError):
                self._opened.add(source_from_cache(path))
        elif not path.startswith(PASSING) and (event == "open" or path not in sys.path):
            self._opened.add(path)


class _Noted:
    """The one audit hook that reports opened files and listed folders, since hooks cannot be removed."""

    by: Callable[[str, tuple[Any, ...]], None] | None = None
    hooked = False

    @classmethod
    def begin(cls, note: Callable[[str, tuple[Any, ...]], None]) -> None:
        cls.by = note
        if not cls.hooked:
            cls.hooked = True
            sys.addaudithook(cls._hear)

    @classmethod
    def _hear(cls, event: str, arguments: tuple[Any, ...]) -> None:
        if cls.by is not None and event in ("open", "os.listdir", "os.scandir"):
            cls.by(event, arguments)


def _surroundings() -> str:
    """Digest everything that decides which modules and plugins exist, and how they run."""
    counting = {name for name in os.environ if not name.startswith(COMPLETION)} - SHELLS_OWN
    variables = [(name, os.environ[name]) for name in sorted(counting)]
    interpreter = (sys.version, sys.executable, tuple(sys.flags), sys.path)
    return digest(repr((FORMAT, interpreter, variables, [_installed(place or ".") for place in sys.path])))


def _installed(place: str) -> Any:
    """Return the names of modules in a folder of `sys.path`, and the states of its distributions' metadata."""
    if not os.path.isdir(place):
        return _state(place)
    names = sorted(name for name in os.listdir(place) if MODULES.fullmatch(name) and name != "__pycache__")
    files = [name for name in names if name.endswith((".egg-info", ".egg-link", ".pth"))]
    files += [os.path.join(name, file) for name in names if name.endswith("-info") for file in METADATA]
    return names, [_state(os.path.join(place, file)) for file in files]


def _state(path: str) -> State:
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            return digest(repr(sorted(set(os.listdir(path)) - {"__pycache__"})))
    except (OSError, ValueError):
        return None
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size]


def _age(file: Path) -> float:
    with suppress(OSError):  # another process deleted it
        return file.stat().st_mtime
    return 0.0


def digest(text: str) -> str:
    """Return a short hash of a text."""
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()
