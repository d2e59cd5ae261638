"""What plugins offer, as `list`, `show` and others print it: from the plugins themselves, or from the index."""

import inspect
import json
from contextlib import suppress
from typing import Any

from attrs import NOTHING, asdict, frozen

from ganforge.components.component import ASKING, KINDS, Component, Named, first_line
from ganforge.components.describe import describe, describe_value
from ganforge.components.index import OFFER
from ganforge.components.plugins import Plugins
from ganforge.components.registry import Registry
from ganforge.components.settings import Setting
from ganforge.components.structure import plain
from ganforge.system.disk import to_json


@frozen
class Described(Named):
    """The description of a component, without its factory.

    Attributes:
        summary: the first line of its docstring.
        doc: the whole docstring.
        settings: rows for `show`.
        asks: for each player the names of the values that a value or loss asks for.
    """

    summary: str
    doc: str
    settings: list[dict[str, Any]]
    asks: dict[str, list[str]]


@frozen
class About:
    """The description of a plugin; `heading` is the first line of its docstring: for a method, its paper."""

    name: str
    version: str
    origin: str
    hooks: list[str]
    error: str
    heading: str


@frozen
class Offer:
    """All plugins, loaded or not, and the components of the loaded ones."""

    plugins: list[About]
    registry: Registry[Component] | Registry[Described]


def kept_offer(plugins: Plugins) -> Offer | None:
    """Return what installed plugins offer according to the index; None if it does not know."""
    kept = plugins.index.find(OFFER)
    if kept is None:
        return None
    return Offer([About(**one) for one in kept["plugins"]], Registry(Described(**one) for one in kept["components"]))


def offer_of(plugins: Plugins) -> Offer:
    """Return what loaded plugins offer."""
    with plugins.index.watching():
        registry = plugins.registry
    rows = []
    for name, one in plugins.known.items():
        heading = "" if one.module is None else first_line(one.module)
        rows.append(About(name, one.version, one.origin, list(one.hooks), one.error, heading))
    return Offer(rows, registry)


def known_offer(plugins: Plugins) -> Offer:
    """Return what installed plugins offer, from the index; if it does not know, load them and store it there."""
    if kept := kept_offer(plugins):
        return kept
    plugins.load_installed()
    keep_offer(plugins)
    return offer_of(plugins)


def keep_offer(plugins: Plugins) -> None:
    """Store what installed plugins offer in the index, if all of them loaded without an error."""
    if not plugins.index.active:
        return
    offer = offer_of(plugins)
    if plugins.sound:  # after all have registered
        with suppress(Exception):  # raised by a plugin's own classes: `show` reports it
            components = [asdict(described(one)) for kind in KINDS for one in offer.registry.of(kind)]
            kept = {"plugins": [asdict(one) for one in offer.plugins], "components": components}
            plugins.index.keep(OFFER, json.loads(to_json(kept, default=str)))


def described(component: Component | Described) -> Described:
    """Describe a component: its docstring, its settings, and what a value or loss asks for."""
    if isinstance(component, Described):
        return component
    asks = component.asks() if component.kind in ASKING else {}
    return Described(
        component.kind,
        component.name,
        component.plugin,
        component.summary,
        inspect.getdoc(component.factory) or "",
        [described_setting(one) for one in component.signature.settings.values()],
        {player: list(names) for player, names in asks.items()},
    )


def described_setting(setting: Setting) -> dict[str, Any]:
    """Describe a setting; `shown` is its default as a recipe would write it."""
    required = setting.default is NOTHING
    default = None if required else plain(setting.default)
    return {
        "setting": setting.name,
        "type": describe(setting.type),
        "default": default,
        "required": required,
        "range": setting.ranges,
        "shown": "(required)" if required else "" if default is None else describe_value(default),
    }
