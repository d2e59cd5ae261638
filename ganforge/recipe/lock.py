"""The locked recipe: merged, every default filled in, and what it ran on. It is a recipe that repeats the run."""

import platform
from collections.abc import Mapping
from typing import Any

import tomli_w
import torch

from ganforge.components.neighbours import copied_as
from ganforge.components.settings import plain
from ganforge.recipe.plan import Choice, Plan

Table = dict[str, Any]


def lock_text(plan: Plan, plugin_versions: Mapping[str, str], device: str, skipped: Mapping[str, int]) -> str:
    """Return the locked recipe as TOML, with the version of every plugin that it uses and the device it is trained on.

    `skipped` says how many broken samples were left out, by split and domain.
    """
    made_with = {"name": plan.name, "python": platform.python_version(), "torch": str(torch.__version__)}
    tables: Table = {
        "plugins": [copied_as(path) for path in plan.plugin_files],
        "dataset": _choice(plan.dataset),
        "coupling": _choice(plan.coupling_choice),
        **{network.role: _networks(plan, network.role) for network, _ in plan.networks.values()},
        "values": {n: {**_choice(v.choice), **plain(v.table)} for n, v in plan.values.items() if v.of_recipe},
        "losses": {loss.role: {**_choice(loss.choice), **plain(loss.table)} for loss in plan.losses},
        "updates": _choices(plan.updates),
        "optimizer": _shared(_choices(plan.optimizers)),
        "evaluations": _choices(plan.evaluations),
        "train": plain(plan.train),
        "compute": plain(plan.compute),
        "record": _filled({**plain(plan.record), "observers": _choices(plan.observers)}),
        "lock": _filled({**made_with, "device": device, "plugins": dict(plugin_versions), "skipped": dict(skipped)}),
    }
    comment = f"# {plan.recipe.summary}\n" if plan.recipe.summary else ""
    return comment + tomli_w.dumps(_filled(tables))


def _choice(choice: Choice) -> Table:
    settings = {name: plain(value) for name, value in choice.settings.items() if value is not None}
    return {"use": choice.component.qualified, **settings}


def _choices(choices: Mapping[str, Choice]) -> Table:
    return {role: _choice(choice) for role, choice in choices.items()}


def _networks(plan: Plan, role: str) -> Table:
    """Write the networks of a role, each under its label, or under its name where several have that label."""
    mine = [(network, choice) for network, choice in plan.networks.values() if network.role == role]
    labels = [network.label for network, _ in mine]
    return _shared(_choices({n.label if labels.count(n.label) == 1 else n.name: choice for n, choice in mine}))


def _shared(members: Table) -> Table:
    """Write the first member's settings as the table, and those members that differ as tables inside of it."""
    first, *others = members
    return {**members[first], **{label: members[label] for label in others if members[label] != members[first]}}


def _filled(table: Table) -> Table:
    return {key: value for key, value in table.items() if value not in ({}, [])}
