"""A grid: the points at which every recipe is trained, which `--vary KEY=VALUE,VALUE,...` sets."""

import hashlib
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from attrs import evolve, field, frozen

from ganforge import InputError, Plan, lock_text

EXAMPLE = "such as losses.reconstruction.weight=1,10,100"
SAFE = r"[a-z0-9][a-z0-9_.,=+-]{0,99}(?<![.,])"  # a name for every file system, also case-insensitive ones
LONGEST = 60  # characters kept of any other name
LARGEST_WHOLE = 1 << 53


@frozen
class Point:
    """One combination of values; without a grid there is one empty point.

    Attributes:
        values: the value of each varied key, as written in a recipe.
    """

    values: Mapping[str, str] = field(factory=dict)

    @property
    def label(self) -> str:
        """Such as `losses.reconstruction.weight=10, train.batch=32`."""
        return ", ".join(self.sets)

    @property
    def sets(self) -> list[str]:
        """The same values as arguments of `--set`."""
        return [f"{key}={value}" for key, value in self.values.items()]

    def differs(self, other: "Point") -> list[str]:
        """Return the keys with different values in another point."""
        return [key for key, value in self.values.items() if other.values.get(key) != value]


def points(varied: Sequence[str]) -> list[Point]:
    """Read all `--vary` options and return every combination of values; the last key changes fastest.

    >>> [point.label for point in points(["a.b=1,2.0", "c.d=x"])]
    ['a.b=1, c.d=x', 'a.b=2, c.d=x']

    Raises:
        InputError: an option cannot be read, or a key or a value is given twice.
    """
    axes: dict[str, list[str]] = {}
    for text in varied:
        key, equals, rest = text.partition("=")
        key, values = key.strip(), [_written(value) for value in split(rest)]
        if not (key and equals and all(values)):
            raise InputError(f"--vary {text}: expected KEY=VALUE,VALUE,..., {EXAMPLE}")
        if key in axes:
            raise InputError(f"--vary {text}: '{key}' is varied twice")
        if twice := [value for value in values if values.count(value) > 1]:
            raise InputError(f"--vary {text}: the value {twice[0]} is given twice")
        if key == "train.seed":
            raise InputError(f"--vary {text}: every point has the same seeds, 0, 1, ...; set their number with --seeds")
        axes[key] = values
    return [Point(dict(zip(axes, values, strict=True))) for values in product(*axes.values())]


def split(text: str) -> list[str]:
    """Split at the commas outside TOML lists, tables and strings.

    >>> split("1, [2, 3], { steps = [0, 9], values = [1, 0] }, 'a,b'")
    ['1', '[2, 3]', '{ steps = [0, 9], values = [1, 0] }', "'a,b'"]
    """
    parts, depth, quote, escaped = [""], 0, "", False
    for char in text:
        if quote:
            escaped, ended = char == "\\" and quote == '"' and not escaped, char == quote and not escaped
            quote = "" if ended else quote
        elif char in "\"'" and (depth or not parts[-1].strip()):
            quote = char
        elif char in "[{" and (depth or not parts[-1].strip()):
            depth += 1
        elif char in "]}" and depth:
            depth -= 1
        elif char == "," and not depth:
            parts.append("")
            continue
        parts[-1] += char
    return [part.strip() for part in parts]


def number(text: str) -> float | None:
    """Return a value as a finite number; None if it is not one.

    >>> number("1e-4"), number("true"), number("[1, 2]")
    (0.0001, None, None)
    """
    value = _read(text)
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None


def as_name(text: str) -> str:
    """Return a name for a file or folder; characters that a name cannot have are replaced, and a digest is added.

    >>> as_name("train.batch=32"), as_name("dataset.root=../A")
    ('train.batch=32', 'dataset.root=.._a-8d242a5f')
    """
    if re.fullmatch(SAFE, text):
        return text
    digest = hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=4).hexdigest()
    return f"{re.sub('[^a-z0-9_.,=+-]', '_', text.lower())[:LONGEST]}-{digest}"


def require_effect(recipe: str, plans: Sequence[tuple[Plan, Point]]) -> None:
    """Raise an InputError if two points of a grid make the same runs of a recipe."""
    seen: dict[str, Point] = {}
    for plan, point in plans:
        text = lock_text(evolve(plan, train=evolve(plan.train, seed=0)), {})
        if other := seen.get(text):
            keys = ", ".join(point.differs(other))
            raise InputError(
                f"--vary: {keys} has no effect on '{recipe}': {other.label} and {point.label} give the same run"
            )
        seen[text] = point


def _written(text: str) -> str:
    """Normalise a number, so that 10 and 10.0, or 1e-4 and 0.0001, are the same point."""
    value = _read(text)
    if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_WHOLE:
        return str(int(value))
    return repr(value) if type(value) in (int, float) else text


def _read(text: str) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if table.keys() == {"value"} else text
