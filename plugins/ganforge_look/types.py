"""Settings as JSON Schema (Draft 4): types, ranges, choices and defaults."""

import enum
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from ganforge import Schedule, Setting, plain, read_fields

Schema = dict[str, Any]
PLAIN: Mapping[Any, str] = {int: "integer", float: "number", bool: "boolean", str: "string", Path: "string"}
LIMITS = {">=": ("minimum", False), ">": ("minimum", True), "<=": ("maximum", False), "<": ("maximum", True)}


def of_setting(setting: Setting, said: str = "", *, scheduled: bool = False) -> Schema:
    """Return the schema of a setting; `scheduled` says that a number may follow a schedule."""
    schema = of_type(setting.type)
    for validator in setting.validators:
        schema = both(schema, of_validator(validator))
    if scheduled and setting.type in (float, float | None):
        schema = {"anyOf": [schema, of_type(Schedule)]}
    default = plain(setting.default)
    if isinstance(default, bool | int | float | str | list) or (isinstance(default, dict) and default):
        schema["default"] = default
    return {**({"description": said} if said else {}), **schema}


def of_type(hint: Any) -> Schema:
    """Return the schema of a type; a type that TOML cannot hold allows anything.

    >>> of_type(tuple[float, ...]), of_type(Literal["a", True])
    ({'type': 'array', 'items': {'type': 'number'}}, {'enum': ['a', True]})
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        arms = [of_type(arm) for arm in arguments if arm is not type(None)]
        return arms[0] if len(arms) == 1 else {"anyOf": arms}
    if origin is Literal:
        return {"enum": list(arguments)}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    if origin is tuple and arguments[-1] is not ...:
        count = len(arguments)
        return {"type": "array", "items": [of_type(one) for one in arguments], "minItems": count, "maxItems": count}
    if origin in (list, tuple):
        return {"type": "array", "items": of_type(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": of_type(arguments[1])}
    if attrs.has(hint):
        return of_fields(read_fields(hint))
    return {"type": PLAIN[hint]} if hint in PLAIN else {}


def of_fields(settings: Mapping[str, Setting], docs: Mapping[str, str] | None = None) -> Schema:
    """Return the schema of a table that holds these settings and no others."""
    properties = {name: of_setting(one, (docs or {}).get(name, "")) for name, one in settings.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def of_validator(validator: Callable[..., None]) -> Schema:
    """Return the limits that an attrs validator sets; empty if JSON Schema cannot express them."""
    if parts := getattr(validator, "_validators", None):  # and_
        schema: Schema = {}
        for part in parts:
            schema = both(schema, of_validator(part))
        return schema
    match type(validator).__name__:
        case "_NumberValidator":
            key, exclusive = LIMITS[validator.compare_op]  # type: ignore[attr-defined]
            bound = validator.bound  # type: ignore[attr-defined]
            return {key: bound, **({f"exclusive{key.capitalize()}": True} if exclusive else {})}
        case "_InValidator":
            return {"enum": list(validator.options)}  # type: ignore[attr-defined]
        case "_MinLengthValidator":
            return {"minLength": validator.min_length, "minItems": validator.min_length}  # type: ignore[attr-defined]
        case "_MaxLengthValidator":
            return {"maxLength": validator.max_length, "maxItems": validator.max_length}  # type: ignore[attr-defined]
        case "_MatchesReValidator":
            return {"pattern": f"^(?:{validator.pattern.pattern})$"}  # type: ignore[attr-defined]
        case "_OptionalValidator":
            return of_validator(validator.validator)  # type: ignore[attr-defined]
        case "_DeepIterable":
            return {"items": of_validator(validator.member_validator)}  # type: ignore[attr-defined]
        case "_DeepMapping":
            return {"additionalProperties": of_validator(validator.value_validator)}  # type: ignore[attr-defined]
    return {}


def both(one: Schema, other: Schema) -> Schema:
    """Return the schema of what matches two schemas.

    >>> both({"type": "integer"}, {"minimum": 0})
    {'type': 'integer', 'minimum': 0}
    >>> both({"minimum": 0}, {"minimum": 1})
    {'allOf': [{'minimum': 0}, {'minimum': 1}]}
    """
    return {"allOf": [one, other]} if one.keys() & other.keys() else {**one, **other}
