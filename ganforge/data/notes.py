"""What is odd about samples that are used all the same: their maker warns, and whoever has them made collects it."""

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from attrs import evolve, frozen

NAMED = 3  # samples that a note names, at most
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

    The list is filled at the end. Warnings belong to the whole process, so no other thread may make samples meanwhile.
    """
    notes: list[Note] = []
    compared: list[str] = []
    token = _compared.set(compared)
    try:
        with warnings.catch_warnings(record=True) as caught:
            for category in (UserWarning, RuntimeWarning):
                warnings.simplefilter("always", category)
            yield notes
    finally:
        _compared.reset(token)
    said = dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught)
    notes += [Note(text, (name,)) for text in said] + [Note(text, (name,), unlike=True) for text in compared]


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
