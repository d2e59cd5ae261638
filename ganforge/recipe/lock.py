"""The locked recipe: merged, every default filled in, and what it ran on. It is a recipe that repeats the run."""

import platform
from collections.abc import Mapping
from typing import Any

import tomli_w
import torch

from ganforge.components.settings import plain
from ganforge.recipe.plan import Choice, Plan


def lock_text(plan: Plan, plugin_versions: Mapping[str, str], device: str, skipped: Mapping[str, int]) -> str:
    """Return the locked recipe as TOML.

    Args:
        plan: the recipe, understood.
        plugin_versions: of every plugin that it uses.
        device: where it is trained.
        skipped: how many broken samples were left out, by split and domain.
    """
    tables: dict[str, Any] = {}
    if plan.plugin_files:
        tables["plugins"] = [f"plugins/{path.name}" for path in plan.plugin_files]
    tables["dataset"] = _choice(plan.dataset)
    tables["coupling"] = _choice(plan.coupling_choice)
    for role in dict.fromkeys(network.role for network, _ in plan.networks.values()):
        mine = [(network, _choice(choice)) for network, choice in plan.networks.values() if network.role == role]
        labels = [network.label for network, _ in mine]
        members = {n.label if labels.count(n.label) == 1 else n.name: choice for n, choice in mine}
        tables[role] = _shared(members)
    values = {name: value for name, value in plan.values.items() if value.of_recipe}
    if values:
        tables["values"] = {name: {**_choice(value.choice), **plain(value.table)} for name, value in values.items()}
    tables["losses"] = {loss.role: {**_choice(loss.choice), **plain(loss.table)} for loss in plan.losses}
    if plan.updates:
        tables["updates"] = {role: _choice(choice) for role, choice in plan.updates.items()}
    tables["optimizer"] = _shared({player: _choice(choice) for player, choice in plan.optimizers.items()})
    if plan.evaluations:
        tables["evaluations"] = {role: _choice(choice) for role, choice in plan.evaluations.items()}
    tables["train"] = plain(plan.train)
    tables["compute"] = plain(plan.compute)
    tables["record"] = plain(plan.record)
    if plan.observers:
        tables["record"]["observers"] = {role: _choice(choice) for role, choice in plan.observers.items()}
    tables["lock"] = {
        "name": plan.name,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "device": device,
        "plugins": dict(plugin_versions),
        **({"skipped": dict(skipped)} if skipped else {}),
    }
    comment = "".join(f"# {line}\n" for line in filter(None, [plan.recipe.summary]))
    return comment + tomli_w.dumps(tables)


def _choice(choice: Choice) -> dict[str, Any]:
    settings = {name: plain(value) for name, value in choice.settings.items() if value is not None}
    return {"use": choice.component.qualified, **settings}


def _shared(members: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Write the first member's settings as the table, and those members that differ as tables inside of it."""
    first, *others = members
    return {**members[first], **{label: members[label] for label in others if members[label] != members[first]}}
