"""Nested tables of keys, as TOML gives them."""

from collections.abc import Iterator, Mapping
from typing import Any

from ganforge.components.settings import Key

Table = dict[str, Any]


def leaves(table: Mapping[str, Any], path: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Yield the path and the value of every key in nested tables that is not a table."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def flatten(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested tables as one, with dotted keys.

    >>> flatten({"a": {"b": 1, "c": {}}})
    {'a.b': 1}
    """
    return {".".join(path): value for path, value in leaves(table)}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Table:
    """Merge a table into another; a table whose `use` changes replaces the older one completely.

    A component is the same with and without the name of its plugin, which locked recipes add.

    >>> merge({"use": "a", "x": 1}, {"x": 2}), merge({"use": "a", "x": 1}, {"use": "b"})
    ({'use': 'a', 'x': 2}, {'use': 'b'})
    >>> merge({"use": "mine/a", "x": 1}, {"use": "a"})
    {'use': 'a', 'x': 1}
    """
    if "use" in over and "use" in base and not _is_same(over["use"], base["use"]):
        return dict(over)
    result = dict(base)
    for key, value in over.items():
        older = result.get(key)
        result[key] = merge(older, value) if isinstance(value, dict) and isinstance(older, dict) else value
    return result


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two names can mean the same component."""
    names = (str(one).split("/"), str(other).split("/"))
    return one == other or (names[0][-1] == names[1][-1] and len(names[0]) != len(names[1]))


def has(table: Any, path: Key) -> bool:
    """Return whether a nested table contains a path; numbers in it index lists.

    >>> has({"a": {"b": [1]}}, ("a", "b", "0")), has({"a": 1}, ("a", "b"))
    (True, False)
    """
    for key in path:
        if isinstance(table, list) and key.isdigit() and int(key) < len(table):
            table = table[int(key)]
        elif isinstance(table, dict) and key in table:
            table = table[key]
        else:
            return False
    return True
