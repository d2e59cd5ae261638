"""Formatting of numbers and untrusted texts in the report."""

import math
import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

from markupsafe import Markup

# Control characters, changes of writing direction, and lone surrogates.
UNSHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def said(message: str, step: int) -> str:
    """Add the step to a warning that does not give it."""
    return message if message.startswith(f"step {step}") else f"step {number(step)}: {message}"


def shown(value: Any) -> Any:
    """Replace characters that a page cannot hold."""
    return UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", value) if type(value) is str else value


def digest(text: Markup) -> str:
    """Return the hash by which the page's security policy allows its own script and style."""
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def number(value: float, digits: int = 4) -> str:
    """Format a number for people.

    >>> number(50000), number(0.123456), number(-2.0), number(float("nan"))
    ('50,000', '0.1235', '-2', 'nan')
    """
    if math.isfinite(value) and value == round(value) and abs(value) < 10**9:
        return f"{round(value):,}"
    return f"{value:.{digits}g}"


def listed(value: Any) -> str:
    """Format a table of the lock in one line."""
    return ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else str(value)
