"""The line number of each key of a TOML text: the first line of the statement that sets it."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from ganforge.components.settings import Key

# Comments and strings, in which brackets and line ends have no meaning; then brackets and line ends.
_TOKEN = re.compile(
    r'''#[^\n]*|"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?'{3,5}|"(?:\\.|[^"\\])*"|'[^']*'|[\[\]{}\n]''',
    re.DOTALL,
)


def line_numbers(text: str) -> dict[Key, int]:
    """Return the line of the first statement that names each key path of a valid TOML text.

    Keys inside a value are not listed; the longest listed path around them has their line.
    """
    found: dict[Key, int] = {}
    lengths: dict[Key, int] = {}  # of the arrays of tables
    header: Key = ()
    for line, statement in _statements(text):
        keys = _named(tomllib.loads(statement))
        if statement.startswith("["):
            header, keys = _resolved(keys, lengths, grows=statement.startswith("[[")), ()
        path = (*header, *keys)
        for length in range(1, len(path) + 1):
            found.setdefault(path[:length], line)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield the statements of a valid text, each with its first line; a statement may span several lines."""
    line, depth, begin = 1, 0, 0
    for token in _TOKEN.finditer(text + "\n"):
        kind = token[0]
        depth += (kind in ("[", "{")) - (kind in ("]", "}"))
        if kind == "\n" and depth == 0:
            statement = text[begin : token.start()]
            if statement.strip() and not statement.lstrip().startswith("#"):
                yield line, statement.lstrip()
            line, begin = line + statement.count("\n") + 1, token.end()


def _named(table: Any) -> Key:
    """Return the keys that a statement names, down to a value, or to a table that does not have exactly one key."""
    keys = []
    while isinstance(table, dict) and len(table) == 1:
        ((key, table),) = table.items()
        keys.append(key)
    return tuple(keys)


def _resolved(keys: Key, lengths: dict[Key, int], *, grows: bool) -> Key:
    """Return a header's path with the index of the last table in each array of tables; `grows` if it adds a table."""
    path: Key = ()
    for number, key in enumerate(keys, 1):
        path = (*path, key)
        if grows and number == len(keys):
            lengths[path] = lengths.get(path, 0) + 1
        if path in lengths:
            path = (*path, str(lengths[path] - 1))
    return path
