"""The errors of ganforge, by who can fix them. Each problem is one line: where, what, and the nearest right name."""

import difflib
from collections.abc import Iterable, Sequence

from attrs import frozen

LONGEST = 600  # characters per part of a problem


class GanforgeError(Exception):
    """Base of the errors that users see as a message, without a traceback; `status` is the exit status.

    Each argument is shown as one line, whatever file names it contains. The lines in `further` say where a plugin
    failed.
    """

    status = 1
    further: Sequence[str] = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class RunFailedError(GanforgeError):
    """The training failed: it diverged, or ran out of memory."""


class DivergedError(RunFailedError):
    """Losses or weights are no longer finite."""


class StoppedError(BaseException):
    """A signal stopped the run after its state was saved. The exit status is 128 plus the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class InputError(GanforgeError):
    """The user's input is wrong. `key` names the setting at fault, such as `root`, if a component knows it."""

    status = 2

    def __init__(self, *lines: str, key: str = "") -> None:
        super().__init__(*lines)
        self.key = key


class PluginError(GanforgeError):
    """A plugin broke its contract or raised; its exception is the `__cause__`."""

    status = 3


class UnrecordableError(Exception):
    """A step cannot be replayed: what it computes depends on more than the shapes of its inputs."""


class UnreadyError(UnrecordableError):
    """A buffer is created during a step; later steps may be recorded."""


@frozen
class Problem:
    """One fault of a recipe: `file:line`, the key, what is wrong, and what to do."""

    where: str
    key: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        parts = [printable(_short(part)) for part in (self.where, self.key, self.message) if part]
        return ": ".join(parts) + (f"; {printable(self.hint)}" if self.hint else "")


class RecipeError(InputError):
    """All problems of a recipe, one per line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(*map(str, problems))
        self.problems = tuple(problems)


def nearest(name: str, options: Iterable[str], otherwise: str = "") -> str:
    """Suggest the option closest to `name`; if none is close, return `otherwise`, or list them all.

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
    return otherwise or (f"there are: {', '.join(known)}" if known else "")


def printable(text: str) -> str:
    r"""Return the text as one line with all control characters escaped, so that file names cannot drive the terminal.

    >>> printable("a\x1b[31mb\n\udcff")
    'a\\x1b[31mb\\n\\udcff'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _short(text: str) -> str:
    """Cut the middle out of a text too long to read."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
