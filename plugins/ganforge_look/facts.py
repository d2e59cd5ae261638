"""What is known of a component beside its own docstring: where it stands, its tensors, who offers and who uses it."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from attrs import NOTHING

from ganforge import (
    Choice,
    Component,
    Coupling,
    InputError,
    Plugins,
    Registry,
    ValuePlan,
    ValueTable,
    Wiring,
    read_recipe,
)

ASKING = ("loss", "value")
# The table of a recipe that names components of a kind, where it is not called as the kind itself.
TABLES = {
    "loss": "losses",
    "value": "values",
    "update": "updates",
    "evaluation": "evaluations",
    "observer": "observers",
}


def facts_of(component: Component, plugins: Plugins) -> dict[str, Any]:
    """Return where a component stands, what its methods and its module say, and how it is used."""
    asks = component.asks() if component.kind in ASKING else {}
    couplings = list(_couplings(plugins.registry))
    offering = [(name, made) for name, made, wirings in couplings if any(_offers(asks, made, one) for one in wirings)]
    shown = offering or [(name, made) for name, made, _ in couplings]
    names = dict.fromkeys(name for asked in asks.values() for name in asked)
    return {
        "module": inspect.getdoc(inspect.getmodule(component.factory)) or "",
        "methods": _methods(component),
        "tensors": [{"tensor": name, "meaning": _meaning(name, plugins.registry, shown)} for name in names],
        "couplings": [name for name, _ in offering] if asks else [],
        "recipes": list(_users(component, plugins)),
        "place": _place(component),
    }


def _couplings(registry: Registry[Component]) -> Iterator[tuple[str, Coupling, list[Wiring]]]:
    """Yield each coupling that needs no setting, by its name, with its directions."""
    for component in registry.of("coupling"):
        with suppress(Exception):  # whatever a plugin's own raises: whoever trains with it is told
            made = Choice(component, _defaults(component)).make()
            values = _values(registry, component.plugin)
            yield component.name, made, [Wiring(view, values) for view in made.views]


def _values(registry: Registry[Component], plugin: str) -> dict[str, ValuePlan]:
    """Return what stands behind each name that several plugins may register: the coupling's own plugin goes first."""
    found: dict[str, Component] = {}
    for component in registry.of("value"):
        if component.name not in found or component.plugin == plugin:
            found[component.name] = component
    made = {name: (one, _defaults(one)) for name, one in found.items()}
    return {
        name: ValuePlan(name, Choice(one, settings), ValueTable())
        for name, (one, settings) in made.items()
        if NOTHING not in settings.values()
    }


def _defaults(component: Component) -> dict[str, Any]:
    return {name: setting.default for name, setting in component.signature.settings.items()}


def _offers(asks: Mapping[str, tuple[str, ...]], coupling: Coupling, wiring: Wiring) -> bool:
    """Whether a player of the coupling can have all that is asked for in one direction."""
    return any(
        all(wiring.offers(name, one) for name in asked)
        for player, asked in asks.items()
        for one in coupling.players
        if player in ("", one)
    )


def _meaning(name: str, registry: Registry[Component], couplings: list[tuple[str, Coupling]]) -> str:
    """Say what stands behind a name: what the value's docstring says, or what a direction wires to it."""
    said = dict.fromkeys(component.summary for component in registry.of("value") if component.name == name)
    if said:
        return " Or: ".join(said)
    for coupling, made in couplings:
        for view in made.views:
            where = f"in the direction {view.name} of {coupling}"
            if name in view.networks:
                return f"the network {view.networks[name]} {where}"
            if name in view.constants:
                return f"a constant {where}"
            if field := view.fields.get(name):
                what = "drawn noise" if field in made.noise else "a label" if "." in field else "samples"
                shape = "[N]" if "." in field else "[N, *shape]"
                return f"{what}, {shape}: the field {field} {where}"
    return ""


def _methods(component: Component) -> dict[str, str]:
    """Return the docstrings of a class's own public methods."""
    if not isinstance(component.factory, type):
        return {}
    own = [name for name, one in vars(component.factory).items() if inspect.isfunction(one) and name[0] != "_"]
    return {name: inspect.getdoc(vars(component.factory)[name]) or "" for name in own}


def _users(component: Component, plugins: Plugins) -> Iterator[str]:
    """Yield the shipped recipes that name a component, in what they say themselves or extend."""
    for name in plugins.recipes():
        with suppress(InputError):  # one that cannot be read
            table = read_recipe(plugins, name).table
            if name.startswith("base_"):
                continue
            kind = component.kind  # a network's table has the name of its role
            keys = list(table) if kind == "network" else [TABLES.get(kind, kind)]
            listed = table.get("record", {}).get("observers", []) if kind == "observer" else []
            wanted = (component.name, component.qualified)
            if any(one in wanted for one in (*listed, *(use for key in keys for use in _uses(table.get(key))))):
                yield name


def _uses(table: Any) -> Iterator[Any]:
    """Yield every `use` in a table and in the tables inside of it."""
    if isinstance(table, dict):
        yield table.get("use")
        for inner in table.values():
            yield from _uses(inner)


def _place(component: Component) -> str:
    """Return file and line of a component's code; of its registration where Python does not know more."""
    with suppress(OSError, TypeError):
        made = inspect.unwrap(component.factory)
        return f"{inspect.getsourcefile(made)}:{inspect.getsourcelines(made)[1]}"
    return component.place
