"""The arguments of a value or loss in a check: tensors and networks, as a direction of a coupling offers them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from difflib import SequenceMatcher
from itertools import islice, product
from typing import Any

import torch
from attrs import NOTHING, define, evolve, field, frozen
from torch import Tensor, nn

from ganforge import (
    Component,
    Coupling,
    Network,
    Registry,
    View,
    brief,
    drawn_from,
)
from ganforge_check.checks import LeftOutError, Subject, defaults_of, narrow
from ganforge_check.standins import Discriminator, Generator
from ganforge_check.trial import Trial

SHAPE = (3, 16, 16)  # of a sample of each domain
COUNT = 4  # batch size
TRIES = 24  # combinations of networks, at most


@frozen(eq=False)
class Given:
    """One argument of a formula.

    Attributes:
        value: a tensor or nest of tensors, a network, or a constant.
        through: the networks that it came through, a network itself included.
    """

    value: Any
    through: frozenset[str] = frozenset()


def trials_of(subject: Subject) -> list[Trial]:
    """Return a trial of a value or loss for each player that it has a method for; they are made once.

    Raises:
        LeftOutError: no coupling offers what it asks for, or settings must be given first.
    """
    trials: list[Trial] = subject.keep("trials", lambda: _trials(subject))
    return trials


def _trials(subject: Subject) -> list[Trial]:
    component, settings = subject.component, subject.complete()
    found = []
    for player, asked in component.asks().items():
        if hasattr(nn.Module, player):  # an overridden method of nn.Module, such as `train`
            continue
        stage = _stage(subject, asked, player)
        with stage.fitting():
            made = {name: stage.value(name, player or "generator") for name in asked}
        learnt = tuple(name for name, one in made.items() if one.through & stage.learns(player or "generator"))
        given = {name: one.value for name, one in made.items()}
        method = component.method(player)
        trial = Trial(component, settings, player or "generator", given, learnt, method)
        with stage.fitting(), suppress(RuntimeError, ValueError, ArithmeticError):  # these are for the claims to report
            trial.again().call()
        if stage.lenient:
            _require_fit(trial, [name for name in asked if not stage.offers(name, player or "generator")])
        found.append(trial)
    return found


def _require_fit(trial: Trial, unknown: Sequence[str]) -> None:
    """Raise a LeftOutError if pictures cannot replace the values that no coupling offers."""
    try:
        trial.again().call()
    except Exception as error:
        names = ", ".join(unknown)
        raise LeftOutError(f"no installed coupling offers {names}, and pictures do not fit") from error


def _stage(subject: Subject, asked: Iterable[str], player: str) -> "Stage":
    """Return a stage that offers the names asked for; otherwise one that makes pictures for unknown names."""
    stages = stages_of(subject)
    offering = (stage for stage in stages if all(stage.offers(name, player or "generator") for name in asked))
    return next(offering, None) or evolve(stages[0], lenient=True)


def stages_of(subject: Subject) -> list["Stage"]:
    """Return a stage for each direction of each coupling, those of the component's own plugin first."""
    plugin = subject.component.plugin
    couplings = sorted(subject.registry.of("coupling"), key=lambda one: (one.plugin != plugin, one.name != "discogan"))
    stages = []
    for component in couplings:
        if NOTHING in defaults_of(component).values():
            continue
        try:
            coupling = component.factory(**defaults_of(component))
            roles = roles_of(subject.registry, plugin, coupling) if component.plugin == plugin else {}
            stages += [Stage(subject.registry, plugin, coupling, view, roles) for view in coupling.views]
        except Exception:  # reported by the coupling's own check
            continue
    if not stages:
        raise LeftOutError("no installed plugin offers a coupling")
    return stages


def roles_of(registry: Registry[Component], plugin: str, coupling: Coupling) -> Mapping[str, Component]:
    """Choose a component for each role for which a plugin has several, so that its values and losses can be computed.

    It is empty if no choice works, or if there is nothing to choose.
    """
    options: dict[str, list[Component]] = {}
    for network in coupling.networks:
        stage = Stage(registry, plugin, coupling, coupling.views[0])
        with suppress(LeftOutError):
            found = alike(registry, network.kind, network.role, stage.facts(network), plugin)
            options.setdefault(network.role, [one for one in found if one.plugin == plugin])
    options = {role: found for role, found in options.items() if len(found) > 1}
    for chosen in islice(product(*options.values()), TRIES if options else 0):
        roles = dict(zip(options, chosen, strict=True))
        if all(Stage(registry, plugin, coupling, view, roles).works() for view in coupling.views):
            return roles
    return {}


@define(eq=False)
class Stage:
    """A direction of a coupling, with small networks and a batch of random samples.

    Attributes:
        registry: the components that values are made from.
        plugin: the plugin whose values come before others of the same name.
        coupling: the coupling that names the networks.
        view: the direction.
        roles: components to try first, by role.
        lenient: whether pictures stand in for unknown names.
    """

    registry: Registry[Component]
    plugin: str
    coupling: Coupling
    view: View
    roles: Mapping[str, Component] = field(factory=dict)
    lenient: bool = False
    _networks: dict[str, nn.Module] = field(init=False, factory=dict)
    _foreign: set[str] = field(init=False, factory=set)  # the classes of networks that are not the plugin's own
    _values: dict[tuple[str, str], Given] = field(init=False, factory=dict)

    def works(self) -> bool:
        """Whether all values and losses of the plugin that this direction offers can be computed."""
        formulas = [one for kind in ("value", "loss") for one in self.registry.of(kind) if one.plugin == self.plugin]
        for component in formulas:
            for player, asked in component.asks().items():
                who = player or "generator"
                if NOTHING in defaults_of(component).values() or not all(self.offers(name, who) for name in asked):
                    continue
                try:
                    with self.fitting():
                        given = {name: self.value(name, who).value for name in asked}
                        Trial(component, defaults_of(component), who, given, (), component.method(player)).call()
                except LeftOutError:
                    continue
                except Exception:
                    return False
        return True

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """Raise a LeftOutError for an error that says that another plugin's network was used as it cannot be."""
        try:
            yield
        except (TypeError, AttributeError) as error:
            words = set(re.findall(r"\w+", str(error)))
            if words & self._foreign:
                raise LeftOutError(f"another plugin's network stands in and does not fit: {brief(error)}") from error
            raise

    def learns(self, player: str) -> set[str]:
        """Return the names of the networks that a player updates."""
        return {network.name for network in self.coupling.networks if network.player == player}

    def offers(self, name: str, player: str, above: tuple[str, ...] = ()) -> bool:
        """Whether it can make a value."""
        if name in self.view.networks or name in self.view.fields or name in self.view.constants:
            return True
        value = self._maker(name)
        asked = value.asked(player) if value and name not in above else None
        return asked is not None and all(self.offers(one, player, (*above, name)) for one in asked)

    def through(self, name: str, player: str) -> set[str]:
        """Return the networks that a value which is offered would come through."""
        if name in self.view.networks:
            return {self.view.networks[name]}
        value = None if name in self.view.fields or name in self.view.constants else self._maker(name)
        asked = (value.asked(player) if value else None) or ()
        return {network for one in asked for network in self.through(one, player)}

    def values(self, player: str) -> list[str]:
        """Name the values and networks that a player can get: the plugin's values first, then others, then networks."""
        known = sorted(self.registry.of("value"), key=lambda one: one.plugin != self.plugin)
        names = [one.name for one in known if one.name.isidentifier()]
        return [name for name in dict.fromkeys((*names, *self.view.networks)) if self.offers(name, player)]

    def value(self, name: str, player: str) -> Given:
        """Make a value; its tensors have no graph."""
        if (name, player) not in self._values:
            self._values[name, player] = self._value(name, player)
        return self._values[name, player]

    def _value(self, name: str, player: str) -> Given:
        view = self.view
        if name in view.networks:
            return Given(self.network(view.networks[name]), frozenset([view.networks[name]]))
        if name in view.fields:
            return Given(self._samples(view.fields[name]))
        if name in view.constants:
            return Given(view.constants[name])
        value = self._maker(name)
        if value is None or not self.offers(name, player):
            if self.lenient:
                # Who asks for it means something that the networks made.
                return Given(self._samples(name), frozenset(self.learns(player)))
            raise LeftOutError(f"no installed coupling offers '{name}'")
        given = {one: self.value(one, player) for one in value.asked(player) or ()}
        with drawn_from(0), torch.no_grad():
            made = Trial(
                value,
                defaults_of(value),
                player,
                {one: it.value for one, it in given.items()},
                (),
                value.method(player),
            ).call()
        return Given(made, frozenset().union(*(it.through for it in given.values())))

    def _maker(self, name: str) -> Component | None:
        """Return the value registered under a name, preferring that of the component's own plugin."""
        found = [one for one in self.registry.of("value") if one.name == name]
        own = [one for one in found if one.plugin == self.plugin]
        usable = [one for one in own or found if NOTHING not in defaults_of(one).values()]
        return usable[0] if usable else None

    def _samples(self, name: str) -> Tensor:
        """Draw samples of a field: labels, noise, or pictures in [0, 1]."""
        generator = torch.Generator().manual_seed(sum(map(ord, name)))
        if name in self.coupling.noise:
            return torch.randn(COUNT, *self.coupling.noise[name], generator=generator)
        if name.endswith("score"):
            return torch.randn(COUNT, 1, generator=generator)
        if "." in name or name.endswith("label"):
            return torch.randint(2, (COUNT,), generator=generator)
        return torch.rand(COUNT, *SHAPE, generator=generator)

    def network(self, name: str) -> nn.Module:
        """Make the small network of a name; raise a LeftOutError if no component fits."""
        if name not in self._networks:
            network = next(one for one in self.coupling.networks if one.name == name)
            with drawn_from(sum(map(ord, name))):
                component, self._networks[name] = self.chosen(network)
            if component is None or component.plugin != self.plugin:
                self._foreign.add(type(self._networks[name]).__name__)
        return self._networks[name]

    def facts(self, network: Network) -> dict[str, Any]:
        """Return what the component of a network may ask for."""
        shapes = [self.coupling.noise.get(domain, SHAPE) for domain in network.domains] or [SHAPE]
        stacked = (sum(shape[0] for shape in shapes), *shapes[0][1:])
        facts = {key: self.network(one.name) if isinstance(one, Network) else one for key, one in network.facts.items()}
        return {"shape": stacked, "source_shape": shapes[0], "target_shape": shapes[-1], "shapes": {}, **facts}

    def chosen(self, network: Network) -> tuple[Component | None, nn.Module]:
        """Choose the component of a network, and make it; without a component, it is one that stands in.

        Raises:
            LeftOutError: none fits its role.
        """
        given = self.facts(network)
        components = alike(self.registry, network.kind, network.role, given, self.plugin)
        if network.kind != "network":
            components = [one for one in components if one.plugin == self.plugin]
        for component in [*filter(None, [self.roles.get(network.role)]), *components]:
            try:
                arguments = [given[one] for one in component.signature.given]
                return component, component.factory(*arguments, **narrow(component))
            except Exception:  # it is made from other facts
                continue
        if network.kind == "generator":
            return None, Generator(given["source_shape"], given["target_shape"])
        if network.kind == "discriminator":
            return None, Discriminator(given["shape"])
        raise LeftOutError(f"no installed network fits the role '{network.role}'")


def alike(
    registry: Registry[Component], kind: str, role: str, given: Mapping[str, Any], plugin: str
) -> list[Component]:
    """Return the components of a kind that need no more than is given: the plugin's, then the most similar."""
    fitting = [
        one
        for one in registry.of(kind)
        if set(one.signature.given) <= given.keys() and NOTHING not in defaults_of(one).values()
    ]

    def likeness(component: Component) -> tuple[bool, float]:
        return component.plugin == plugin, SequenceMatcher(None, component.name.replace("-", "_"), role).ratio()

    return sorted(fitting, key=likeness, reverse=True)
