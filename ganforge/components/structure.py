"""Convert the values of a recipe to the types of settings, check their ranges, and convert them back."""

import enum
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import attrs
from attrs import NOTHING

from ganforge.components.describe import describe, describe_value
from ganforge.components.schedule import Schedule
from ganforge.components.settings import PLAIN, Key, Setting, check_range, fits, is_union, read_fields
from ganforge.errors import nearest

if TYPE_CHECKING:
    import cattrs

LARGEST = 2**53  # larger numbers are mistakes, and not every integer beyond it is a float

Report = Callable[[Key, str, str], None]  # called with (key, message, hint)


def fill(
    table: Mapping[str, Any], settings: Mapping[str, Setting], path: Key, report: Report, *, scheduled: bool = False
) -> dict[str, Any]:
    """Return the value of every setting, from the table or its default; report all faults.

    Args:
        table: the recipe's values.
        settings: the schema.
        path: the table's place in the recipe, for reports.
        report: called with (key, message, hint) for each fault.
        scheduled: whether numbers may be schedules.
    """
    read = follow if scheduled else structure
    values: dict[str, Any] = {}
    named = {name for name, setting in settings.items() if not setting.tables}
    inner = {k: v for k, v in table.items() if k not in named and isinstance(v, Mapping) and len(named) < len(settings)}
    for key in table:
        if key not in named | inner.keys():
            report((*path, key), f"unknown setting '{key}'", nearest(key, named) or "it has no settings")
    for name, setting in settings.items():
        if setting.tables:
            of_one = Setting(name, get_args(setting.type)[1], NOTHING, ())
            values[name] = {key: read(value, of_one, (*path, key), report) for key, value in inner.items()}
        elif name in table:
            value = read(table[name], setting, (*path, name), report)
            if value is not NOTHING:
                values[name] = value
        elif setting.default is NOTHING:
            report((*path, name), f"missing; expected {describe(setting.type)}", f"set {'.'.join((*path, name))}")
        else:
            values[name] = setting.default
    return values


def follow(value: Any, setting: Setting, path: Key, report: Report) -> Any:
    """Like `structure`, but also accept a schedule for a number; each of its values is checked."""
    if not isinstance(value, Mapping) or setting.type not in (float, float | None):
        return structure(value, setting, path, report)
    schedule = structure(value, Setting(setting.name, Schedule, NOTHING, ()), path, report)
    if schedule is NOTHING:
        return NOTHING
    if schedule.every > 1:
        report((*path, "every"), "only the weight of a loss can have 'every'", "")
        return NOTHING
    checked = [structure(one, setting, (*path, "values"), report) for one in schedule.values]
    return NOTHING if any(one is NOTHING for one in checked) else schedule


def structure(value: Any, setting: Setting, path: Key, report: Report) -> Any:
    """Convert a TOML value to the setting's type and check its range; report a fault and return `NOTHING`."""
    if isinstance(value, Mapping):
        arms = (setting.type, *(get_args(setting.type) if is_union(setting.type) else ()))
        if classes := [arm for arm in arms if attrs.has(arm)]:
            return _structure_class(value, attrs.evolve(setting, type=classes[0]), path, report)
    from cattrs import StructureHandlerNotFoundError

    try:
        result = _converter().structure(value, setting.type)
    except (ValueError, TypeError, AttributeError, StructureHandlerNotFoundError):  # cattrs reads keys of any value
        arms = get_args(setting.type) if is_union(setting.type) else (setting.type,)
        too_large = any(arm in (int, float) and fits(value, arm) for arm in arms)
        hint = "numbers must be between -2^53 and 2^53" if too_large else ""
        report(path, f"expected {describe(setting.type)}, got {describe_value(value)}", hint)
        return NOTHING
    if result is None:
        return result
    try:
        check_range(setting, result)
    except (ValueError, TypeError):
        report(path, f"expected {setting.ranges or 'another value'}, got {describe_value(value)}", "")
        return NOTHING
    return result


def _structure_class(table: Mapping[str, Any], setting: Setting, path: Key, report: Report) -> Any:
    """Convert a table to an attrs object; missing keys come from the setting's default."""
    fields = read_fields(setting.type)
    if isinstance(setting.default, setting.type):
        fields = {name: attrs.evolve(one, default=getattr(setting.default, name)) for name, one in fields.items()}
    faults: list[tuple[Key, str, str]] = []
    values = fill(table, fields, path, lambda *fault: faults.append(fault))
    try:
        if not faults:
            return setting.type(**values)
    except (ValueError, TypeError) as error:
        faults.append((path, str(error), ""))
    for fault in faults:
        report(*fault)
    return NOTHING


def plain(value: Any) -> Any:
    """Convert a setting's value to TOML types; the inverse of `structure`."""
    if attrs.has(type(value)):
        fields = {name: getattr(value, name) for name in read_fields(type(value))}
        return {name: plain(field) for name, field in fields.items() if field is not None}
    if isinstance(value, enum.Enum) and value is not NOTHING:
        return value.value
    if isinstance(value, Path):
        return str(Path(os.path.expanduser(value)).absolute())  # Path.expanduser fails where there is no home
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _plain(value: Any, hint: Any) -> Any:
    if not fits(value, hint):
        raise TypeError(hint)
    result = hint(value) if hint in PLAIN else value
    if isinstance(result, float | int) and not abs(result) < LARGEST:  # also infinity and nan
        raise ValueError(value)
    return result


def _path(value: Any, _: Any) -> Path:
    if not isinstance(value, Path | str):
        raise TypeError(value)
    return Path(value)


def _sequence_hook(hint: Any, converter: "cattrs.BaseConverter") -> Callable[[Any, Any], Any]:
    arms, origin = get_args(hint), get_origin(hint)

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise TypeError(hint)
        if origin is tuple and arms[-1] is not ...:
            return tuple(converter.structure(item, arm) for item, arm in zip(value, arms, strict=True))
        return origin(converter.structure(item, arms[0]) for item in value)

    return hook


def _union_hook(hint: Any, converter: "cattrs.BaseConverter") -> Callable[[Any, Any], Any]:
    arms = get_args(hint)

    def hook(value: Any, _: Any) -> Any:
        if value is None and type(None) in arms:
            return None
        for arm in arms:
            with suppress(ValueError, TypeError, AttributeError):  # cattrs reads keys of any value
                return converter.structure(value, arm)
        raise TypeError(hint)

    return hook


def _is(*origins: Any) -> Callable[[Any], bool]:
    """Return a predicate for types with these origins."""
    return lambda hint: get_origin(hint) in origins


@cache
def _converter() -> "cattrs.Converter":
    import cattrs  # reading signatures does not need it

    converter = cattrs.Converter(detailed_validation=False, forbid_extra_keys=True)
    for kind in PLAIN:
        converter.register_structure_hook(kind, _plain)
    converter.register_structure_hook(Path, _path)
    converter.register_structure_hook_func(_is(Literal), _plain)
    converter.register_structure_hook_factory(_is(list, tuple), _sequence_hook)
    converter.register_structure_hook_factory(is_union, _union_hook)
    return converter
