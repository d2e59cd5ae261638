"""A component: a factory with its kind and name, what it asks for, and the faults that registering it would report."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from attrs import field, frozen

from ganforge.components.settings import Signature, read_signature
from ganforge.errors import nearest

# The positional parameters that the engine offers to each kind. A network may also ask for any fact of the coupling;
# values and losses ask for values.
GIVEN: dict[str, tuple[str, ...]] = {
    "generator": ("source_shape", "target_shape", "target_mean"),
    "discriminator": ("shape",),
    "network": (),
    "value": (),
    "loss": (),
    "coupling": (),
    "update": (),
    "dataset": (),
    "optimizer": ("parameters",),
    "evaluation": ("trained",),
    "observer": ("run",),
    "recorder": ("modules", "formulas", "players", "compute"),
    "cache": ("samples", "shape", "what", "report"),
}
KINDS = tuple(GIVEN)
# Keys of a component's table that the engine reads, besides `use`; no setting can have such a name.
KEYS = {"loss": ("weight", "on", "player"), "value": ("on", "lasts"), "dataset": ("validation",)}
ASKING = ("loss", "value")  # kinds whose positional parameters name values
# Methods of an update with their arguments; `after` may also ask for values.
UPDATING = {"before": ("player", "parameters", "step"), "after": (), "shown": ("network",)}
GENERAL = ("forward", "__call__")  # methods that serve every player


@frozen
class Named:
    """An entry of a registry, under a kind and a name."""

    kind: str
    name: str
    plugin: str

    @property
    def qualified(self) -> str:
        """`plugin/name`, unique in its kind."""
        return f"{self.plugin}/{self.name}"


@frozen
class Component(Named):
    """A registered component with its factory.

    Attributes:
        place: file and line of the registering call.
        precision: `fp32` if a loss or a value must not be computed in half precision.
        lasts: whether a value lasts for the whole step, whatever is updated in between.
        whole: whether a value or a loss must see the whole batch if several devices share it.
    """

    factory: Callable[..., Any] = field(repr=False)
    place: str = field(repr=False)
    signature: Signature = field(repr=False)
    precision: str = field(default="", repr=False)
    lasts: bool = field(default=False, repr=False)
    whole: bool = field(default=False, repr=False)

    @property
    def written(self) -> str:
        """File and line where it is defined."""
        return place_of(self.factory) or self.place

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return first_line(self.factory)

    def method(self, player: str) -> str | None:
        """Return the name of the method for a player: the one named like the player, else one for all players."""
        if not isinstance(self.factory, type):
            return None
        return next((name for name in (player, *GENERAL) if name in _own(self.factory)), None)

    def is_general(self, player: str) -> bool:
        """Return whether a player gets the same function as every player."""
        return not isinstance(self.factory, type) or self.method(player) in GENERAL

    def asks(self) -> dict[str, tuple[str, ...]]:
        """Return the values that each method asks for, by player; "" is the method for all players."""
        own = _own(self.factory) if isinstance(self.factory, type) else ()
        players = ("", *(name for name in own if name not in GENERAL))
        return {player: asked for player in players if (asked := self.asked(player)) is not None}

    def may_set(self, name: str) -> bool:
        """Return whether a positional parameter has a default, so that it may be meant as a setting."""
        own = _own(self.factory) if isinstance(self.factory, type) else ()
        functions = [getattr(self.factory, method) for method in own] or [self.factory]
        found = [inspect.signature(function).parameters.get(name) for function in functions]
        return any(one is not None and one.default is not one.empty for one in found)

    def asked(self, player: str) -> tuple[str, ...] | None:
        """Return the names of the values that it asks for when a player plays; None if it has no method for it."""
        if not isinstance(self.factory, type):
            return self.signature.given
        method = self.method(player)
        if method is None:
            return None
        bound = not isinstance(inspect.getattr_static(self.factory, method), staticmethod)
        return read_signature(getattr(self.factory, method)).given[1 if bound else 0 :]


def place_of(thing: Any) -> str:
    """Return `file:line` of a function or class; "" if unknown."""
    with suppress(TypeError, OSError):
        source = inspect.unwrap(thing.func if isinstance(thing, partial) else thing)
        return f"{inspect.getsourcefile(source)}:{inspect.findsource(source)[1] + 1}"
    return ""


def keyword_only(name: str, offered: Iterable[str]) -> str:
    """Say how to fix a positional parameter of an unknown name: correct its spelling, or make it a setting.

    >>> keyword_only("reel", ["real", "fake"]), keyword_only("eps", ["real", "fake"])
    ("did you mean 'real'?", "make it keyword-only if it is a setting: write it after a '*'")
    """
    hint = nearest(name, offered)
    return hint if hint.startswith("did") else "make it keyword-only if it is a setting: write it after a '*'"


def first_line(thing: object) -> str:
    """Return the first line of the docstring of a module, class or function."""
    return str(thing.__doc__ or "").strip().partition("\n")[0]


def problems(component: Component) -> Iterator[str]:
    """Yield faults that would otherwise surface later, far from their cause."""
    kind, signature = component.kind, component.signature
    if "/" in component.name or not component.name:
        yield "a name must not be empty or contain '/'"
    if taken := [key for key in ("use", *KEYS.get(kind, ())) if key in signature.settings]:
        yield f"the setting '{taken[0]}' is a key of every {kind}; rename it"
    if lacking := sorted(getattr(component.factory, "__abstractmethods__", ())):
        yield f"the class lacks {', '.join(lacking)}"
    if component.precision not in ("", "fp32"):
        yield f"expected the precision 'fp32' or none, got '{component.precision}'"
    asks = kind == "network" or (kind in ASKING and not isinstance(component.factory, type))
    for name in signature.given if not asks else ():
        if name not in GIVEN[kind]:
            offered = ", ".join(GIVEN[kind]) or "nothing"
            yield f"asks for '{name}', but the engine gives {offered}; {keyword_only(name, GIVEN[kind])}"
    if kind in ASKING and not asks and not component.asks():
        yield "needs a method for a player, such as 'generator' or 'discriminator'"
    if kind == "update" and isinstance(component.factory, type):
        yield from _problems_of_update(component.factory)


def _problems_of_update(factory: type) -> Iterator[str]:
    """Yield faults of methods that would never be called, or could not be."""
    methods = {name: getattr(factory, name) for name in UPDATING if hasattr(factory, name)}
    if not methods:
        own = _own(factory)
        hint = next((hint for name in own if (hint := nearest(name, UPDATING)).startswith("did")), "")
        got = f"got {', '.join(own)}" if own else "got none"
        yield f"needs a method before, after or shown, {got}" + (f"; {hint}" if hint else "")
    for name, method in methods.items():
        for argument in list(inspect.signature(method).parameters)[1:] if UPDATING[name] else ():
            if argument not in UPDATING[name] and not argument.startswith("_"):
                hint = nearest(argument, UPDATING[name])
                yield f"'{name}' takes {', '.join(UPDATING[name])}, not '{argument}'; {hint}"


def _own(factory: type) -> list[str]:
    """Return the names of a class's public methods, without those inherited from torch."""
    found: dict[str, Any] = {}
    for cls in reversed(factory.__mro__):
        if cls.__module__.partition(".")[0] not in ("torch", "builtins"):
            found |= vars(cls)
    return [name for name, value in found.items() if callable(value) and (name in GENERAL or not name.startswith("_"))]
