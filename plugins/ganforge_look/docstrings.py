"""The entries of docstring sections `Args` and `Attributes`."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

_SECTION = re.compile(r"^(?:Args|Attributes):\n((?:(?: {4,}.*)?\n?)*)", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def entries(doc: str) -> dict[str, str]:
    r"""Return the entry of each name in a docstring's sections, as one line.

    >>> entries("Blur.\n\nArgs:\n    sigma: its width,\n        in pixels.\n\nRaises:\n    ValueError: no.")
    {'sigma': 'its width, in pixels.'}
    """
    found = (entry for section in _SECTION.findall(doc) for entry in _ENTRY.findall(section))
    return {name: " ".join(text.split()) for name, text in found}


def without(doc: str, names: Iterable[str]) -> str:
    """Return a docstring without its sections if they describe only these names, which are shown elsewhere."""
    return _SECTION.sub("", doc).strip() if entries(doc).keys() <= set(names) else doc


def with_docs(rows: Iterable[Mapping[str, Any]], doc: str) -> list[dict[str, Any]]:
    """Add the docstring's entries to rows of settings, if there are any."""
    docs = entries(doc)
    rows = list(rows)
    known = any(row["setting"] in docs for row in rows)
    return [{**row, **({"doc": docs.get(row["setting"], "")} if known else {})} for row in rows]
