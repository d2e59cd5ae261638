"""Where the keys of a TOML text stand: the line at which the statement begins that gives each of them."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from ganforge.components.settings import Key

# All that may hold a bracket or the end of a line without meaning it, then the brackets and ends that are meant.
_TOKEN = re.compile(
    r'''#[^\n]*|"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?'{3,5}|"(?:\\.|[^"\\])*"|'[^']*'|[\[\]{}\n]''',
    re.DOTALL,
)


def line_numbers(text: str) -> dict[Key, int]:
    """Return for each key path that a statement of a sound TOML text names the line at which the first one begins.

    What lies inside of a value is given by the statement of the longest path around it.
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
    """Yield the statements of a sound text, each with its line; it ends where a line does, but not a value."""
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
    """Return the keys that a statement names, down to where its value has several, or none."""
    keys = []
    while isinstance(table, dict) and len(table) == 1:
        ((key, table),) = table.items()
        keys.append(key)
    return tuple(keys)


def _resolved(keys: Key, lengths: dict[Key, int], *, grows: bool) -> Key:
    """Return a header's path, with the index of the newest table in each array of tables; `grows` where it adds one."""
    path: Key = ()
    for number, key in enumerate(keys, 1):
        path = (*path, key)
        if grows and number == len(keys):
            lengths[path] = lengths.get(path, 0) + 1
        if path in lengths:
            path = (*path, str(lengths[path] - 1))
    return path
