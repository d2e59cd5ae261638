"""Checks of couplings and updates, in whole steps of a small recipe."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from attrs import NOTHING
from torch import Tensor

from ganforge import Coupling, Network, PluginError, misfits
from ganforge_check.checks import Finding, LeftOutError, Subject, claims, defaults_of
from ganforge_check.playing import Play, Table, first_difference, play_of, recipe_for


@claims("coupling")
def wired(subject: Subject) -> Iterator[Finding]:
    """It is derived from ganforge.Coupling, and its networks, players and views fit together."""
    coupling = subject.component.factory(**subject.complete())
    if not isinstance(coupling, Coupling):
        yield Finding(f"it is a {type(coupling).__name__}", "derive it from ganforge.Coupling")
        return
    for problem in misfits(coupling):
        yield Finding(problem, "correct the name, or add what it names")


@claims("coupling")
def all_used(subject: Subject) -> Iterator[Finding]:
    """Every network is used by a view, or is a part of one that is."""
    coupling = _coupling(subject)
    used = {name for view in coupling.views for name in view.networks.values()}
    used |= {fact.name for one in coupling.networks for fact in one.facts.values() if isinstance(fact, Network)}
    for network in coupling.networks:
        if network.name not in used:
            fix = "name it in a View's networks, or remove it"
            yield Finding(f"no view uses the network {network.name}", fix)


@claims("coupling")
def updated(subject: Subject) -> Iterator[Finding]:
    """A step changes every network that has a player, each in its player's turn alone, and no frozen one."""
    coupling = _coupling(subject)
    owners = {network.name: network.player for network in coupling.networks}
    try:
        play = _played(subject)
    except PluginError as error:  # two players update the same parameters
        yield Finding(str(error), "give each network its own modules")
        return
    moved: set[str] = set()
    for step in range(2):
        before = _by_network(play.weights())
        for player, _, gradients in play.engine.turns(step, play.batches(step)):
            play.engine.players[player].update(step, gradients)
            after = _by_network(play.weights())
            changed = {
                name for name in after if any(not torch.equal(before[name][k], v) for k, v in after[name].items())
            }
            for name in sorted(changed):
                if owners[name] != player:
                    told = f"though it is {owners[name]}'s" if owners[name] else "though it is frozen"
                    yield Finding(
                        f"{name} is changed in the turn of the {player}, {told}", "give each network its own modules"
                    )
            moved, before = moved | changed, after
    for name, owner in owners.items():
        if owner is not None and name not in moved:
            fix = "have a view offer a value that comes through it"
            yield Finding(f"no step changes {name}, which the {owner} updates", fix)


@claims("coupling", "update")
def goes_on(subject: Subject) -> Iterator[Finding]:
    """An interrupted run continues bit for bit: everything that changes is in the checkpoint."""
    whole = _played(subject)
    whole.steps(0, 4)
    expected = whole.weights()
    first = _played(subject)
    first.steps(0, 2)
    state = first.state()
    second = _played(subject, seed=7)
    second.load(state)
    second.steps(2, 4)
    if difference := first_difference(expected, second.weights()):
        fix = "keep what changes in buffers and parameters of modules, and draw with torch alone"
        yield Finding(f"after a checkpoint it continues differently: {difference}", fix)


@claims("coupling")
def parts(subject: Subject) -> Iterator[Finding]:
    """A step in two parts (train.accumulate = 2) is the same as one with the whole batch."""
    changes = []
    for count in (1, 2):
        play = _played(subject, rate=0.5, accumulate=count)
        before = play.weights()
        torch.manual_seed(0)
        play.steps(0, 1)
        changes.append({name: value - before[name] for name, value in play.weights().items()})
    if difference := first_difference(changes[0], changes[1], near=2e-3):
        fix = "make values means over samples, or register what sees the whole batch with whole=True"
        yield Finding(f"in two parts a step differs: {difference}", fix)


@claims("update")
def hooked(subject: Subject) -> Iterator[Finding]:
    """It has before, after or shown; weights stay finite, and what is shown has the weights' shapes."""
    made = subject.component.factory(**subject.complete())
    if not any(hasattr(made, name) for name in ("before", "after", "shown")):
        yield Finding("it has none of the methods before, after and shown", "add one: see CONTRIBUTING.md")
        return
    play = _played(subject)
    play.steps(0, 3)
    for update in play.engine.updates:
        for name, network in play.engine.networks.items():
            state = network.state_dict()
            for key, value in update.shown(name).items():
                if key not in state or value.shape != state[key].shape:
                    yield Finding(
                        f"it shows '{key}', which {name} does not have in that shape",
                        "return tensors by the weights' names",
                    )
                elif not value.isfinite().all():
                    yield Finding(
                        f"what it shows of {name}.{key} is not finite", "start averages at the weights themselves"
                    )
    if difference := _not_finite(play.weights()):
        yield Finding(f"after three steps {difference}", "look at what it does to gradients or weights")


def _not_finite(weights: Mapping[str, Tensor]) -> str:
    return next((f"{name} is not finite" for name, one in weights.items() if not one.isfinite().all()), "")


def _coupling(subject: Subject) -> Coupling:
    coupling = subject.component.factory(**subject.complete())
    if not isinstance(coupling, Coupling) or list(misfits(coupling)):
        raise LeftOutError("its networks and views do not fit together")
    return coupling


def _played(subject: Subject, seed: int = 0, rate: float = 0.05, **train: Any) -> Play:
    """Return a training of a recipe with this coupling or update."""
    table = subject.keep("recipe", lambda: _table(subject))
    changed = {"train": {**table["train"], **train}, "optimizer": {**table["optimizer"], "lr": rate}}
    return play_of(subject.registry, {**table, **changed}, seed)


def _table(subject: Subject) -> Table:
    if subject.component.kind == "coupling":
        return recipe_for(subject.registry, subject.component, subject.complete())
    table = recipe_for(subject.registry, usual_coupling(subject), defaults_of(usual_coupling(subject)))
    settings = {name: value for name, value in subject.complete().items() if value is not None}
    return {**table, "updates": {"checked": {"use": subject.component.qualified, **settings}}}


def usual_coupling(subject: Subject) -> Any:
    """Return a coupling with a way back, in which other components are tried."""
    found = [one for one in subject.registry.of("coupling") if NOTHING not in defaults_of(one).values()]
    if not found:
        raise LeftOutError("no installed plugin offers a coupling")
    return next((one for one in found if one.name == "discogan"), found[0])


def _by_network(weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}
    for name, value in weights.items():
        network, _, key = name.partition(".")
        found.setdefault(network, {})[key] = value
    return found
