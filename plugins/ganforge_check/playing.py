"""Whole steps with one component: a small recipe in which stand-ins take all other parts."""

import copy
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w
import torch
from attrs import frozen
from torch import Tensor

from ganforge import (
    Batches,
    Component,
    Coupling,
    Dataset,
    Engine,
    Network,
    Plan,
    Registry,
    assemble,
    decide_and_read,
    parse,
    plain,
    random_state,
    resolve,
    set_random_state,
    settle,
)
from ganforge_check.checks import LeftOutError, narrow
from ganforge_check.stage import Stage, roles_of
from ganforge_check.standins import PLUGIN, with_standins

CPU = torch.device("cpu")
STANDIN, BATCH = f"{PLUGIN}/stand-in", 4
Table = dict[str, Any]


@frozen(eq=False)
class Play:
    """A training: its plan, and an engine with new networks."""

    plan: Plan
    dataset: Dataset
    engine: Engine
    batches: Batches

    def steps(self, first: int, last: int) -> None:
        """Run the steps from `first` up to, but not including, `last`."""
        for step in range(first, last):
            self.engine.step(step, self.batches(step))

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of every network's state."""
        return {
            f"{name}.{key}": value.detach().clone()
            for name, network in self.engine.networks.items()
            for key, value in network.state_dict().items()
        }

    def state(self) -> dict[str, Any]:
        """Return a copy of everything that a checkpoint keeps."""
        return copy.deepcopy(
            {
                "networks": {name: network.state_dict() for name, network in self.engine.networks.items()},
                "players": {name: player.state_dict() for name, player in self.engine.players.items()},
                "held": {label: held.state() for label, held in self.engine.held.items()},
                "random": random_state(),
            }
        )

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        for name, network in self.engine.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, player in self.engine.players.items():
            player.load_state_dict(state["players"][name])
        for label, held in self.engine.held.items():
            held.restore(state["held"].get(label, {}), CPU)
        set_random_state(state["random"])


def play_of(registry: Registry[Component], table: Mapping[str, Any], seed: int = 0) -> Play:
    """Make the training of a recipe's table; the seed is for parts that draw random numbers themselves.

    Raises:
        InputError: the table does not fit together.
    """
    torch.manual_seed(seed)
    plan = resolve(parse(tomli_w.dumps(table), "check", Path()), with_standins(registry))
    plan, dataset = settle(plan, CPU)
    plan, dataset, _, sources = decide_and_read(plan, dataset)
    engine, batches = assemble(plan, dataset, sources["train"], CPU)
    return Play(plan, dataset, engine, batches)


def recipe_for(registry: Registry[Component], component: Component, settings: Mapping[str, Any], **train: Any) -> Table:
    """Return a recipe's table for a coupling, in which every network has something to learn.

    Raises:
        LeftOutError: no component fits one of its roles.
    """
    coupling: Coupling = component.factory(**settings)
    roles = roles_of(registry, component.plugin, coupling)
    stages = [Stage(registry, component.plugin, coupling, view, roles) for view in coupling.views]
    names = {name for network in coupling.networks for name in network.domains}
    fields = {field for view in coupling.views for field in view.fields.values()}
    domains = sorted({name.partition(".")[0] for name in names | fields} - coupling.noise.keys())
    labels = sorted({name.partition(".")[2] for name in fields if "." in name})
    return {
        "dataset": {"use": STANDIN, "domains": domains, "labels": labels},
        "coupling": {"use": component.qualified, **_plain(settings)},
        **{network.role: _role(stages[0], network) for network in coupling.networks},
        "losses": dict(_losses(stages, coupling)),
        "optimizer": {"use": STANDIN},
        "train": {"steps": 8, "batch": BATCH, "norm": "running", **train},
        "compute": {"precision": "fp32", "compile": False, "channels_last": False},
        "record": {"sample_every": 0, "log_every": 1, "checkpoint_every": 2},
    }


def _plain(settings: Mapping[str, Any]) -> Table:
    return {name: plain(value) for name, value in settings.items() if value is not None}


def _role(stage: Stage, network: Network) -> Table:
    """Return the table of a network's role."""
    stage.network(network.name)  # says why none fits
    component, _ = stage.chosen(network)
    return {"use": STANDIN} if component is None else {"use": component.qualified, **_plain(narrow(component))}


def _losses(stages: list[Stage], coupling: Coupling) -> Iterator[tuple[str, Table]]:
    """Yield losses that train all networks of every player, as far as the views offer values for it."""
    if all(stage.offers(name, "discriminator") for stage in stages for name in ("real_score", "fake_score")):
        yield "scores", {"use": f"{PLUGIN}/scores"}
    for player in coupling.players:
        waiting = {name for stage in stages for name in stage.learns(player)}
        for stage in stages:
            for name in stage.values(player):
                if found := stage.through(name, player) & waiting:
                    waiting -= found
                    yield f"{player}_{name}", {"use": f"{PLUGIN}/touch", "player": player, "on": {"value": name}}
    if not coupling.players:
        raise LeftOutError("it has no players")


def first_difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor], near: float = 0.0) -> str:
    """Say where two states differ by more than `near` of their size; empty if they do not."""
    for name, mine in one.items():
        its = other[name]
        if not mine.is_floating_point():
            if not torch.equal(mine, its):
                return f"{name} is {mine.flatten()[0]}, not {its.flatten()[0]}"
            continue
        by = float((mine - its).abs().max()) if mine.numel() else 0.0
        if math.isnan(by) or by > near * max(float(mine.abs().max()), 1e-3):
            return f"{name} differs by up to {by:.3g}"
    return ""
