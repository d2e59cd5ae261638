"""Settings: the schema of a component is its annotated signature.

Positional parameters come from the engine; keyword-only parameters are settings of the recipe. For an attrs class,
the fields are the settings. A range is an attrs validator: on the field, or in `Annotated[float, validators.gt(0)]`.
"""

import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import attrs
from attrs import NOTHING, frozen

from ganforge.components.describe import describe, describe_validator, describe_value
from ganforge.components.suggestions import suggest
from ganforge.errors import PluginError

TABLES = "tables"  # key of a field's metadata: the field holds the tables inside the component's own
PLAIN: dict[Any, tuple[type, ...]] = {float: (float, int), int: (int,), bool: (bool,), str: (str,)}
BARE = ("torch.nn.modules.module", "torch._dynamo.mutation_guard")  # modules of nn.Module.__init__, plain or compiled

Key = tuple[str, ...]
Validator = Callable[[Any, Any, Any], None]


@frozen
class Setting:
    """A setting of a component; `default` is `attrs.NOTHING` if the recipe must set it.

    If `tables` is True, it holds the tables inside the component's own, `[dataset.NAME]`, by name.
    """

    name: str
    type: Any
    default: Any
    validators: tuple[Validator, ...]
    tables: bool = False

    @property
    def ranges(self) -> str:
        """The limits as text, such as `0 <= x < 0.5`; "" if every value of the type is valid."""
        return ", ".join(filter(None, map(describe_validator, self.validators)))


@frozen
class Signature:
    """The parameters of a component that the engine gives, and those that the recipe sets."""

    given: tuple[str, ...]
    settings: Mapping[str, Setting]


def read_signature(factory: Callable[..., Any]) -> Signature:
    """Read the signature of a function, a class or an attrs class.

    Raises:
        PluginError: a parameter is variadic, or a setting has no annotation.
    """
    name = getattr(factory, "__qualname__", repr(factory))
    if inspect.isclass(factory) and attrs.has(factory):
        return Signature((), read_fields(factory))
    if inspect.isclass(factory) and getattr(factory.__init__, "__module__", "") in BARE:
        return Signature((), {})  # a module without its own __init__; the inherited one takes anything
    parameters = inspect.signature(factory).parameters
    holder: Any = factory.__init__ if inspect.isclass(factory) else factory
    # Annotations of other parameters may use names that exist only for type checkers.
    wanted = {key: hint for key, hint in getattr(holder, "__annotations__", {}).items() if _is_setting(parameters, key)}
    hints = _hints(types.SimpleNamespace(__annotations__=wanted), name, getattr(holder, "__globals__", {}))
    given, settings = [], {}
    for parameter in parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise PluginError(f"'{stars}{parameter.name}' hides settings; write each of them, as `name: float = 1.0`")
        if not _is_setting(parameters, parameter.name):
            given.append(parameter.name)
            continue
        if parameter.name not in hints:
            raise PluginError(f"setting '{parameter.name}' has no type annotation; {_annotated(parameter)}")
        default = NOTHING if parameter.default is parameter.empty else parameter.default
        settings[parameter.name] = _setting(parameter.name, hints[parameter.name], default, None)
    return Signature(tuple(given), settings)


def read_fields(cls: type) -> dict[str, Setting]:
    """Return the fields of an attrs class as settings."""
    hints, settings = _hints(cls, cls.__qualname__), {}
    for field in attrs.fields(cls):
        if field.init:
            default: Any = field.default
            if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
                default = default.factory()
            setting = _setting(field.name, hints.get(field.name, field.type), default, field.validator)
            settings[field.name] = attrs.evolve(setting, tables=field.metadata.get(TABLES, False))
    return settings


def _annotated(parameter: inspect.Parameter) -> str:
    """Suggest an annotation for a parameter, from its default."""
    kind = "float" if parameter.default in (parameter.empty, None) else type(parameter.default).__name__
    return f"write `{parameter.replace(annotation=kind)}`".replace("'", "")


def _is_setting(parameters: Mapping[str, inspect.Parameter], name: str) -> bool:
    return name in parameters and parameters[name].kind is inspect.Parameter.KEYWORD_ONLY


def _hints(holder: Any, name: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        return typing.get_type_hints(holder, variables, include_extras=True)
    except NameError as error:
        near = f"; {hint}" if (hint := suggest(error)) else ""
        raise PluginError(f"the annotations of {name} cannot be read: {error}{near}") from error


def _setting(name: str, hint: Any, default: Any, validator: Validator | None) -> Setting:
    hint, extras = _unwrap(hint, name)
    if not _is_writable(hint):
        raise PluginError(
            f"setting '{name}' is a {getattr(hint, '__name__', hint)}, which a recipe cannot hold; use numbers, texts, "
            'lists, tables, Literal["a", "b"], an Enum or an attrs class'
        )
    setting = Setting(name, hint, default, extras + ((validator,) if validator else ()))
    if default is not NOTHING:
        _check_default(setting)
    return setting


def _check_default(setting: Setting) -> None:
    """Check a default of a plain type, and the range of any default.

    Raises:
        PluginError: a recipe could not set this value.
    """
    arms = get_args(setting.type) if is_union(setting.type) else (setting.type,)
    got = describe_value(setting.default)
    if all(fits(setting.default, arm) is False for arm in arms):
        hint = "; add `| None` to the annotation" if setting.default is None else ""
        raise PluginError(f"setting '{setting.name}' has the default {got}; expected {describe(setting.type)}{hint}")
    if setting.default is None:
        return
    try:
        check_range(setting, setting.default)
    except (ValueError, TypeError) as error:
        raise PluginError(
            f"setting '{setting.name}' has the default {got}; expected {setting.ranges or 'another value'}"
        ) from error


def fits(value: Any, hint: Any) -> bool | None:
    """Return whether a value has a plain type: no "5" for 5, and no 1 for true; None for types that are not plain."""
    if value is None or hint is types.NoneType:
        return value is None and hint is types.NoneType
    if hint in PLAIN:
        return isinstance(value, PLAIN[hint]) and (hint is bool or not isinstance(value, bool))
    if get_origin(hint) is Literal:
        return any(value == option and type(value) is type(option) for option in get_args(hint))
    return None


def check_range(setting: Setting, value: Any) -> None:
    """Run the setting's validators; a ValueError or TypeError says that the value is out of range.

    A validator that needs other fields is skipped here; attrs runs it on the whole object.
    """
    attribute = types.SimpleNamespace(name=setting.name)
    for validator in setting.validators:
        with suppress(AttributeError):
            validator(None, attribute, value)


def _unwrap(hint: Any, name: str) -> tuple[Any, tuple[Validator, ...]]:
    """Split an annotation into type and validators; in `Annotated[...] | None`, those of the inner type count."""
    if get_origin(hint) is typing.Annotated:
        hint, *rest = get_args(hint)
        return hint, tuple(extra for extra in rest if callable(extra))
    if is_union(hint) and any(get_origin(arm) is typing.Annotated for arm in get_args(hint)):
        arms = [arm for arm in get_args(hint) if arm is not types.NoneType]
        if len(arms) > 1:
            raise PluginError(f"setting '{name}': put Annotated around the whole union, not around part of it")
        inner, extras = _unwrap(arms[0], name)
        return inner | None, extras
    return hint, ()


def _is_writable(hint: Any) -> bool:
    """Return whether values of a type can be written in TOML."""
    hint = getattr(hint, "__supertype__", getattr(hint, "__value__", hint))  # of a NewType, or of an alias
    if hint in (*PLAIN, Path, types.NoneType, Any, list, tuple, dict, ...) or get_origin(hint) is Literal:
        return True
    if get_origin(hint) is typing.Annotated:
        return _is_writable(get_args(hint)[0])
    if arguments := get_args(hint):
        return all(map(_is_writable, arguments))
    return isinstance(hint, type) and (attrs.has(hint) or issubclass(hint, enum.Enum))


def is_union(hint: Any) -> bool:
    """Return whether a type is a union."""
    return get_origin(hint) in (Union, types.UnionType)
