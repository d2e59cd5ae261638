"""Components under a kind and a name, and who brought them."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

from attrs import field, frozen

from ganforge.components.settings import Signature, read_signature
from ganforge.errors import InputError, PluginError, nearest

KINDS = ("generator", "discriminator", "loss", "coupling", "dataset", "optimizer", "evaluation")
PHASES = ("discriminator", "generator")

# What the engine offers to the positional parameters of each kind; a loss asks for tensors of the view instead.
GIVEN = {
    "generator": ("source_shape", "target_shape", "target_mean"),
    "discriminator": ("shape",),
    "coupling": (),
    "dataset": (),
    "optimizer": ("parameters",),
    "evaluation": ("trained",),
}
# Keys of a [losses.*] table that belong to the engine, so that no loss can have a setting of that name.
LOSS_KEYS = ("use", "weight", "on", "phase")


@frozen
class Component:
    """Something registered: `place` is the file and line of the registering call."""

    kind: str
    name: str
    plugin: str
    factory: Callable[..., Any] = field(repr=False)
    place: str = field(repr=False)
    signature: Signature = field(repr=False)

    @property
    def qualified(self) -> str:
        """`plugin/name`, unique in its kind."""
        return f"{self.plugin}/{self.name}"

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.factory.__doc__ or "").strip().partition("\n")[0]

    def asked(self, phase: str) -> tuple[str, ...] | None:
        """Names of the tensors that this loss asks for in a phase; None where it plays no part there."""
        if not isinstance(self.factory, type):
            return self.signature.given if phase == "generator" else None
        method = getattr(self.factory, phase, None)
        return None if method is None else read_signature(method).given[1:]


class Register:
    """What a plugin's `ganforge_register` is handed: one method for each kind of component."""

    def __init__(self, plugin: str) -> None:
        self.plugin = plugin
        self.components: dict[tuple[str, str], Component] = {}

    def generator(self, name: str, factory: Callable[..., Any]) -> None:
        """Register `(source_shape, target_shape, *, settings) -> nn.Module` with `forward(x) -> translated`."""
        self._add("generator", name, factory)

    def discriminator(self, name: str, factory: Callable[..., Any]) -> None:
        """Register `(shape, *, settings) -> nn.Module` with `forward(x) -> (score, features)`; score is a logit."""
        self._add("discriminator", name, factory)

    def loss(self, name: str, factory: Callable[..., Any]) -> None:
        """Register `(tensors..., *, settings) -> scalar`, or an attrs class with a method for each phase."""
        self._add("loss", name, factory)

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

    def _add(self, kind: str, name: str, factory: Callable[..., Any]) -> None:
        caller = sys._getframe(2)
        place = f"{caller.f_code.co_filename}:{caller.f_lineno}"
        if earlier := self.components.get((kind, name)):
            raise PluginError(f"{kind} '{name}' is registered twice: at {earlier.place} and at {place}")
        component = Component(kind, name, self.plugin, factory, place, read_signature(factory))
        _check(component)
        self.components[kind, name] = component


def _check(component: Component) -> None:
    """Refuse, at registration, what could only fail later and farther from its cause."""
    label = f"{component.kind} '{component.name}' ({component.place})"
    if "/" in component.name or not component.name:
        raise PluginError(f"{label}: a name is not empty and holds no '/'")
    if component.kind == "loss":
        taken = [key for key in LOSS_KEYS if key in component.signature.settings]
        if taken:
            raise PluginError(f"{label}: the setting '{taken[0]}' is a key that every loss has already; rename it")
        if all(component.asked(phase) is None for phase in PHASES):
            raise PluginError(f"{label}: an attrs loss needs a method 'generator' or 'discriminator'")
        return
    for name in component.signature.given:
        if name not in GIVEN[component.kind]:
            offered = ", ".join(GIVEN[component.kind]) or "nothing"
            raise PluginError(
                f"{label}: asks for '{name}', but the engine gives {offered}; make it keyword-only if it is a setting"
            )


class Registry:
    """All components of all plugins; short names work while they are unique."""

    def __init__(self) -> None:
        self._components: dict[tuple[str, str], Component] = {}

    def add(self, register: Register) -> None:
        """Take over all components of one plugin."""
        for component in register.components.values():
            self._components[component.kind, component.qualified] = component

    def of(self, kind: str) -> Iterator[Component]:
        """Components of one kind, by name."""
        found = [component for (other, _), component in self._components.items() if other == kind]
        return iter(sorted(found, key=lambda component: (component.name, component.plugin)))

    def find(self, kind: str, name: str) -> Component:
        """Return the component of a short or qualified name.

        Raises:
            InputError: no component has the name, or several plugins offer it.
        """
        if exact := self._components.get((kind, name)):
            return exact
        matches = [component for component in self.of(kind) if component.name == name]
        if len(matches) == 1:
            return matches[0]
        if matches:
            names = " or ".join(f"'{component.qualified}'" for component in matches)
            raise InputError(f"several plugins offer the {kind} '{name}': write {names}")
        known = [component.qualified if "/" in name else component.name for component in self.of(kind)]
        raise InputError(f"unknown {kind} '{name}'; {nearest(name, known) or f'no plugin offers a {kind}'}")
