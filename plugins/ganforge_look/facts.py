"""Facts about components: their place in the code, their tensors, and which couplings and recipes fit or use them."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import NOTHING

from ganforge import (
    KINDS,
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
# Kinds of a recipe's tables; all other tables name networks.
KINDS_OF = {
    **{kind: kind for kind in ("dataset", "coupling", "generator", "discriminator", "optimizer")},
    "losses": "loss",
    "values": "value",
    "updates": "update",
    "evaluations": "evaluation",
    "observers": "observer",
}


def facts_of(plugins: Plugins) -> dict[str, Any]:
    """Return for each component, as `kind plugin/name`, its place, the docstrings of its methods, and its uses."""
    registry = plugins.registry
    couplings, users = list(_couplings(registry)), list(_users(plugins))
    return {
        f"{kind} {component.qualified}": _facts(component, registry, couplings, users)
        for kind in KINDS
        for component in registry.of(kind)
    }


def _facts(
    component: Component,
    registry: Registry[Component],
    couplings: Sequence[tuple[str, Coupling, list[Wiring]]],
    users: Sequence[tuple[str, str, str]],
) -> dict[str, Any]:
    asks = component.asks() if component.kind in ASKING else {}
    offering = [(name, made) for name, made, wirings in couplings if any(_offers(asks, made, one) for one in wirings)]
    shown = offering or [(name, made) for name, made, _ in couplings]
    names = dict.fromkeys(name for asked in asks.values() for name in asked)
    mine = (component.name, component.qualified)
    recipes = (recipe for recipe, kind, use in users if kind == component.kind and use in mine)
    return {
        "module": inspect.cleandoc(getattr(inspect.getmodule(component.factory), "__doc__", None) or ""),
        "methods": _methods(component),
        "tensors": [{"tensor": name, "meaning": _meaning(name, registry, shown)} for name in names],
        "couplings": [name for name, _ in offering] if asks else [],
        "recipes": list(dict.fromkeys(recipes)),
        "place": _place(component),
    }


def _couplings(registry: Registry[Component]) -> Iterator[tuple[str, Coupling, list[Wiring]]]:
    """Yield the name, the coupling and the directions of each coupling that needs no setting."""
    for component in registry.of("coupling"):
        with suppress(Exception):  # a plugin's own errors are reported when it is trained with
            made = Choice(component, _defaults(component)).make()
            values = _values(registry, component.plugin)
            yield component.name, made, [Wiring(view, values) for view in made.views]


def _values(registry: Registry[Component], plugin: str) -> dict[str, ValuePlan]:
    """Return the value of each name; if several plugins register it, that of the coupling's own plugin."""
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
    """Whether a player of the coupling can get all requested values in one direction."""
    return any(
        all(wiring.offers(name, one) for name in asked)
        for player, asked in asks.items()
        for one in coupling.players
        if player in ("", one)
    )


def _meaning(name: str, registry: Registry[Component], couplings: list[tuple[str, Coupling]]) -> str:
    """Describe a name: by the value's docstring, or by what a direction wires to it."""
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
    return {name: inspect.cleandoc(vars(component.factory)[name].__doc__ or "") for name in own}


def _users(plugins: Plugins) -> Iterator[tuple[str, str, str]]:
    """Yield (recipe, kind, name) for each component that a shipped recipe names, directly or through `extends`."""
    for recipe in plugins.recipes():
        if recipe.startswith("base_"):
            continue
        with suppress(InputError):  # unreadable recipes are skipped
            for key, table in read_recipe(plugins, recipe).table.items():
                kind = KINDS_OF.get(key, "network")  # the table of a network has the name of its role
                listed = table.get("observers", []) if key == "record" else []
                yield from ((recipe, kind, str(use)) for use in _uses(table))
                yield from ((recipe, "observer", str(use)) for use in listed)


def _uses(table: Any) -> Iterator[Any]:
    """Yield every `use` in a table and its subtables."""
    if isinstance(table, dict):
        yield table.get("use")
        for inner in table.values():
            yield from _uses(inner)


def _place(component: Component) -> str:
    """Return file and line of a component's code, or of its registration if Python does not know them."""
    with suppress(OSError, TypeError):
        made = inspect.unwrap(component.factory)
        return f"{inspect.getsourcefile(made)}:{inspect.getsourcelines(made)[1]}"
    return component.place
