"""What can go wrong, by whose fault, and how it is said: one located line a problem, with the nearest right name."""

import difflib
from collections.abc import Iterable, Sequence

from attrs import frozen

LONGEST = 600  # characters of a part of a problem


class GanforgeError(Exception):
    """Base of the errors that are answered with a message, not a traceback; `status` is the exit status.

    `further` lines tell where a plugin went wrong. Each argument is a line of its own, and shown as one, whatever names
    of files it holds.
    """

    status = 1
    further: Sequence[str] = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class RunFailedError(GanforgeError):
    """The training itself failed: it diverged, or memory ran out."""


class DivergedError(RunFailedError):
    """Losses or weights are no longer finite."""


class StoppedError(BaseException):
    """A signal asked the run to stop; its state is saved. The exit status is 128 plus the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class InputError(GanforgeError):
    """What the user gave is wrong. `key` names the setting at fault, where a component can tell (such as `root`)."""

    status = 2

    def __init__(self, *lines: str, key: str = "") -> None:
        super().__init__(*lines)
        self.key = key


class PluginError(GanforgeError):
    """A plugin broke its contract or raised; its own exception is the `__cause__`."""

    status = 3


class UnrecordableError(Exception):
    """What a step computes depends on more than the shapes of its inputs: it cannot be replayed."""


class UnreadyError(UnrecordableError):
    """A buffer is made while a step is played: once it is there, the step may be recorded."""


@frozen
class Problem:
    """One fault of a recipe: where it stands (`file:line`), which key, what is wrong, and what to do."""

    where: str
    key: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        parts = [printable(_short(part)) for part in (self.where, self.key, self.message) if part]
        return ": ".join(parts) + (f"; {printable(self.hint)}" if self.hint else "")


class RecipeError(InputError):
    """Every problem of a recipe at once, a line each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(*map(str, problems))
        self.problems = tuple(problems)


def nearest(name: str, options: Iterable[str]) -> str:
    """Suggest the option that `name` was probably meant to be, else name them all.

    >>> nearest("epss", ["eps", "delta"])
    "did you mean 'eps'?"
    >>> nearest("zzz", ["eps", "delta", "eps"])
    'there are: delta, eps'
    >>> nearest("zzz", [])
    ''
    """
    known = sorted(set(options))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"there are: {', '.join(known)}" if known else ""


def printable(text: str) -> str:
    r"""Return the text as one line, all that is no plain character escaped: a file's name cannot drive the terminal.

    >>> printable("a\x1b[31mb\n\udcff")
    'a\\x1b[31mb\\n\\udcff'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _short(text: str) -> str:
    """Leave out the middle of what nobody would read."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
