"""Notes on samples that are odd but used: warnings that occur while samples are made, collected."""

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any

from attrs import evolve, frozen

NAMED = 3  # samples that a note names at most
_said: ContextVar[list[str] | None] = ContextVar("_said", default=None)
_compared: ContextVar[list[str] | None] = ContextVar("_compared", default=None)


@frozen
class Note:
    """An oddity of some samples.

    Attributes:
        text: describes it, for the first of them.
        names: the names of the first few.
        count: the number of samples.
        unlike: whether it is odd only if other samples of the domain differ.
    """

    text: str
    names: tuple[str, ...]
    count: int = 1
    unlike: bool = False


@contextmanager
def noting(name: str) -> Iterator[list[Note]]:
    """Turn Python's warnings into notes while a sample is made: they are neither printed nor raised.

    The list is filled at the end. Threads may make samples in parallel: each collects its own warnings.
    """
    notes: list[Note] = []
    said: list[str] = []
    compared: list[str] = []
    tokens = _said.set(said), _compared.set(compared)
    try:
        with _listening:
            yield notes
    finally:
        _said.reset(tokens[0])
        _compared.reset(tokens[1])
    notes += [Note(text, (name,)) for text in dict.fromkeys(said)]
    notes += [Note(text, (name,), unlike=True) for text in compared]


class _Listening:
    """Redirects warnings to `noting` while any thread uses it.

    Python handles warnings for the whole process, so the first user changes that and the last one restores it.
    """

    def __init__(self) -> None:
        self._lock, self._count, self._before = Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._count += 1
            if self._count > 1:
                return
            self._before = warnings.catch_warnings()
            self._before.__enter__()
            others = warnings.showwarning

            def hear(message: Any, *where: Any, **more: Any) -> None:
                said = _said.get()
                if said is None:  # a thread that makes no samples
                    others(message, *where, **more)
                else:
                    said.append(" ".join(str(message).split()))

            warnings.showwarning = hear
            for category in (UserWarning, RuntimeWarning):
                warnings.simplefilter("always", category)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._count -= 1
            if not self._count:
                self._before.__exit__(None, None, None)


_listening = _Listening()


def compare(text: str) -> None:
    """Note something about the sample being made that is odd only if other samples of its domain differ."""
    if (compared := _compared.get()) is not None:
        compared.append(text)


def gather_notes(notes: Iterable[Note]) -> list[Note]:
    """Merge notes with the same text, apart from numbers, into one."""
    found: dict[str, Note] = {}
    for note in notes:
        key = note.text if note.unlike else re.sub(r"\d+", "", note.text)
        first = found.get(key)
        found[key] = note
        if first is not None:
            found[key] = evolve(first, names=(*first.names, *note.names)[:NAMED], count=first.count + note.count)
    return list(found.values())


def note_lines(notes: Iterable[Note]) -> list[str]:
    """Return the notes on the samples of one domain as text, one line each."""
    found = gather_notes(notes)
    unlike = [note for note in found if note.unlike]
    said = [f"'{note.names[0]}': {note.text}{_others(note)}" for note in found if not note.unlike]
    if len(unlike) > 1:
        said.append("files are read differently: " + ", ".join(f"'{note.names[0]}': {note.text}" for note in unlike))
    return said


def _others(note: Note) -> str:
    """Name the other samples of a note.

    >>> _others(Note("dark", ("a", "b", "c"), 12))
    " (likewise 'b', 'c' and 9 more)"
    """
    named = ", ".join(f"'{name}'" for name in note.names[1:])
    more = f" and {note.count - len(note.names)} more" if note.count > len(note.names) else ""
    return f" (likewise {named}{more})" if named else ""
