"""Describe types, values and ranges in the terms of a recipe."""

import enum
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import attrs


def describe(hint: Any) -> str:
    """Describe a type in the terms of a recipe.

    >>> describe(tuple[float, float]), describe(int | None), describe(Literal["a", "b"])
    ('[number, number]', 'whole number', '"a" or "b"')
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(arm) for arm in arguments if arm is not type(None))
    if origin is Literal:
        return " or ".join(f'"{option}"' if isinstance(option, str) else str(option).lower() for option in arguments)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return " or ".join(describe_value(member) for member in hint)
    if origin is tuple and arguments[-1] is not ...:
        return f"[{', '.join(map(describe, arguments))}]"
    if origin in (list, tuple):
        return f"list of {describe(arguments[0])}s"
    if origin is dict:
        inner = describe(arguments[1])
        return f"tables{inner.removeprefix('table')}" if attrs.has(arguments[1]) else f"table of {inner}s"
    if attrs.has(hint):
        return f"table with {', '.join(field.name for field in attrs.fields(hint))}"
    return {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path"}.get(hint, str(hint))


def describe_value(value: Any) -> str:
    """Format a value as TOML.

    >>> describe_value(True), describe_value("x"), describe_value({"a": [1, 2]})
    ('true', '"x"', '{ a = [1, 2] }')
    """
    if isinstance(value, enum.Enum) and value is not attrs.NOTHING:
        return describe_value(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {describe_value(item)}' for key, item in value.items())} }}"
    return f'"{value}"' if isinstance(value, str) else str(value)


def describe_validator(validator: Callable[..., None]) -> str:
    """Format the limits of an attrs validator; combined validators are joined by commas."""
    parts = getattr(validator, "_validators", None)
    if parts is not None:
        return ", ".join(map(describe_validator, parts))
    of_values = getattr(validator, "value_validator", None)
    if of_values is not None:
        return f"{describe_validator(of_values)} for each"
    text = repr(validator)
    if text.startswith("<Validator for "):
        return text.removeprefix("<Validator for ").removesuffix(">")
    if text.startswith("<in_ validator with options "):
        return "one of " + text.removeprefix("<in_ validator with options ").removesuffix(">").strip("[]()")
    return (getattr(validator, "__doc__", None) or "").strip().partition("\n")[0].rstrip(".")
