"""The registry: components by kind and name, and the plugins that registered them."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from ganforge.components.api import renamed
from ganforge.components.community import hint
from ganforge.components.component import Component, Named, place_of, problems
from ganforge.components.settings import read_signature
from ganforge.errors import InputError, PluginError, nearest


class Register:
    """The argument of `ganforge_register`: one method for each kind, which takes a name and a factory."""

    def __init__(self, plugin: str) -> None:
        self.plugin = plugin
        self.components: dict[tuple[str, str], Component] = {}

    def __getattr__(self, name: str) -> Any:
        if new := renamed("register", name):
            return getattr(self, new)
        raise AttributeError(f"'Register' object has no attribute '{name}'", name=name, obj=self)

    def generator(self, name: str, factory: Callable[..., Any]) -> None:
        """Register `(source_shape, target_shape, *, settings) -> nn.Module` with `forward(x) -> translated`."""
        self._add("generator", name, factory)

    def discriminator(self, name: str, factory: Callable[..., Any]) -> None:
        """Register `(shape, *, settings) -> nn.Module` with `forward(x) -> (score, features)`; score is a logit."""
        self._add("discriminator", name, factory)

    def network(self, name: str, factory: Callable[..., Any]) -> None:
        """Register `(facts..., *, settings) -> nn.Module` for any other role of a coupling: heads, encoders."""
        self._add("network", name, factory)

    def value(
        self, name: str, factory: Callable[..., Any], *, precision: str = "", lasts: bool = False, whole: bool = False
    ) -> None:
        """Register `(values..., *, settings) -> value`, or a class with a method for each player, or one for all.

        `precision` is `fp32` if it must not be computed in half precision. With `lasts` it is kept for the whole step,
        whatever is updated in between. With `whole` it sees the whole batch of all devices: set it if it keeps state.
        """
        self._add("value", name, factory, precision, lasts, whole)

    def loss(self, name: str, factory: Callable[..., Any], *, precision: str = "", whole: bool = False) -> None:
        """Register `(values..., *, settings) -> scalar`, or a class with a method for each player.

        `precision` is `fp32` if it must not be computed in half precision, like penalties with a double backward.
        With `whole` it sees the whole batch of all devices: set it if the loss is not a mean over samples.
        """
        self._add("loss", name, factory, precision, whole=whole)

    def update(self, name: str, factory: Callable[..., Any]) -> None:
        """Register a class with any of the methods `before`, `after` and `shown`."""
        self._add("update", name, factory)

    def coupling(self, name: str, factory: Callable[..., Any]) -> None:
        """Register an attrs class derived from `ganforge.Coupling`."""
        self._add("coupling", name, factory)

    def dataset(self, name: str, factory: Callable[..., Any]) -> None:
        """Register `(*, settings) -> ganforge.Dataset`."""
        self._add("dataset", name, factory)

    def optimizer(self, name: str, factory: Callable[..., Any]) -> None:
        """Register `(parameters, *, settings) -> torch.optim.Optimizer`."""
        self._add("optimizer", name, factory)

    def evaluation(self, name: str, factory: Callable[..., Any]) -> None:
        """Register `(trained, *, settings) -> ganforge.Findings`."""
        self._add("evaluation", name, factory)

    def observer(self, name: str, factory: Callable[..., Any]) -> None:
        """Register `(run, *, settings) -> object` whose methods implement the hooks of observers."""
        self._add("observer", name, factory)

    def recorder(self, name: str, factory: Callable[..., Any]) -> None:
        """Register `(modules, formulas, players, compute) -> object` that plays steps, as `ganforge.Steps` does."""
        self._add("recorder", name, factory)

    def cache(self, name: str, factory: Callable[..., Any]) -> None:
        """Register `(samples, shape, what, report) -> Stored`, which makes `Prepared` samples ready to load."""
        self._add("cache", name, factory)

    def _add(
        self,
        kind: str,
        name: str,
        factory: Callable[..., Any],
        precision: str = "",
        lasts: bool = False,
        whole: bool = False,
    ) -> None:
        caller = sys._getframe(2)
        place = f"{caller.f_code.co_filename}:{caller.f_lineno}"
        if not isinstance(name, str) or not callable(factory):
            got = f"{type(name).__name__} and {type(factory).__name__}"
            raise PluginError(f"register.{kind} ({place}) takes a name and a function or class, got {got}")
        if earlier := self.components.get((kind, name)):
            raise PluginError(f"{kind} '{name}' is registered twice, at {earlier.place} and {place}")
        said = getattr(factory, "precision", "")
        precision = precision or (said if isinstance(said, str) else "")  # a setting may have this name, too
        lasts = lasts or getattr(factory, "lasts", False) is True
        whole = whole or getattr(factory, "whole", False) is True
        try:
            signature = read_signature(factory)
            component = Component(kind, name, self.plugin, factory, place, signature, precision, lasts, whole)
            problem = next(problems(component), "")
        except PluginError as error:
            problem = str(error)
        if problem:
            raise PluginError(f"{kind} '{name}' ({place_of(factory) or place}): {problem}")
        self.components[kind, name] = component


Item = TypeVar("Item", bound=Named)


class Registry(Generic[Item]):
    """All components of all plugins, or their descriptions; short names work while they are unique."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._items: dict[tuple[str, str], Item] = {}
        self.add(items)

    def add(self, items: Iterable[Item]) -> None:
        """Add all components of one plugin."""
        for item in items:
            self._items[item.kind, item.qualified] = item

    def of(self, kind: str) -> Iterator[Item]:
        """Yield the components of one kind, sorted by name."""
        found = [item for (other, _), item in self._items.items() if other == kind]
        return iter(sorted(found, key=lambda item: (item.name, item.plugin)))

    def find(self, kind: str, name: str) -> Item:
        """Return the component with a short or qualified name.

        Raises:
            InputError: no component has the name, or several plugins offer it.
        """
        if exact := self._items.get((kind, name)):
            return exact
        matches = [item for item in self.of(kind) if item.name == name]
        if len(matches) > 1:
            names = " or ".join(f"'{item.qualified}'" for item in matches)
            raise InputError(f"several plugins offer the {kind} '{name}': write {names}")
        if matches:
            return matches[0]
        known = [item.qualified if "/" in name else item.name for item in self.of(kind)]
        advice = hint(kind, name) or nearest(name, known) or "no plugin offers one"
        raise InputError(f"unknown {kind} '{name}'; {advice}")
