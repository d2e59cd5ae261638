"""What is odd about samples that are used all the same: their maker warns, and whoever has them made collects it."""

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any

from attrs import evolve, frozen

NAMED = 3  # samples that a note names, at most
_said: ContextVar[list[str] | None] = ContextVar("_said", default=None)
_compared: ContextVar[list[str] | None] = ContextVar("_compared", default=None)


@frozen
class Note:
    """What is odd about some samples.

    Attributes:
        text: says it of the first of them.
        names: of the first few.
        count: how many there are.
        unlike: whether it is odd only where other samples of the domain say something else.
    """

    text: str
    names: tuple[str, ...]
    count: int = 1
    unlike: bool = False


@contextmanager
def noting(name: str) -> Iterator[list[Note]]:
    """Turn Python's warnings into notes while a sample of that name is made: none is printed, and none is an error.

    The list is filled at the end. Several threads may make samples at once: each hears its own warnings.
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
    """Has warnings come to whoever notes them, while anyone does.

    What Python does with warnings is a matter of the whole process, so the first one to note changes it, and the last
    one changes it back.
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
    """Say of the sample being made what is odd only if others of its domain say something else; else nobody hears."""
    if (compared := _compared.get()) is not None:
        compared.append(text)


def gather_notes(notes: Iterable[Note]) -> list[Note]:
    """Make one note of those that say the same, but for numbers, of several samples."""
    found: dict[str, Note] = {}
    for note in notes:
        key = note.text if note.unlike else re.sub(r"\d+", "", note.text)
        first = found.get(key)
        found[key] = note
        if first is not None:
            found[key] = evolve(first, names=(*first.names, *note.names)[:NAMED], count=first.count + note.count)
    return list(found.values())


def note_lines(notes: Iterable[Note]) -> list[str]:
    """Say what notes on the samples of one domain come to, a line each."""
    found = gather_notes(notes)
    unlike = [note for note in found if note.unlike]
    said = [f"'{note.names[0]}': {note.text}{_others(note)}" for note in found if not note.unlike]
    if len(unlike) > 1:
        said.append("not all are read alike: " + ", ".join(f"'{note.names[0]}': {note.text}" for note in unlike))
    return said


def _others(note: Note) -> str:
    """Name the others that a note is about.

    >>> _others(Note("dark", ("a", "b", "c"), 12))
    " (likewise 'b', 'c' and 9 more)"
    """
    named = ", ".join(f"'{name}'" for name in note.names[1:])
    more = f" and {note.count - len(note.names)} more" if note.count > len(note.names) else ""
    return f" (likewise {named}{more})" if named else ""
