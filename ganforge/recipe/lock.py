"""The locked recipe: merged, with all defaults and the versions in use. Running it repeats the run."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
import torch

from ganforge.components.plugin_folders import copied_as
from ganforge.components.structure import plain
from ganforge.errors import InputError
from ganforge.recipe.nested import Table
from ganforge.recipe.plan import Choice, Plan
from ganforge.recipe.tables import DataTable


def lock_text(plan: Plan, notes: Mapping[str, Any], *, passed_on: bool = False) -> str:
    """Return the locked recipe as TOML, with notes in `[lock]`: versions, the device, what was left out.

    If it is passed on to others, it names files without their folders and omits observers, which are this user's own
    business. Raise an InputError for a name that is not UTF-8.
    """
    train = plain(plan.train)
    if passed_on and os.path.isabs(train.get("start", "")):
        train["start"] = os.path.basename(train["start"])
    made_with = {"name": plan.name, "python": platform.python_version(), "torch": str(torch.__version__)}
    tables: Table = {
        "plugins": [copied_as(path) for path in plan.plugin_files],
        "dataset": {**_choice(plan.dataset, passed_on), **_validation(plan, passed_on)},
        "coupling": _choice(plan.coupling_choice),
        **{network.role: _networks(plan, network.role) for network, _ in plan.networks.values()},
        "values": {n: {**_choice(v.choice), **plain(v.table)} for n, v in plan.values.items() if v.of_recipe},
        "losses": {loss.role: {**_choice(loss.choice), **plain(loss.table)} for loss in plan.losses},
        "updates": _choices(plan.updates),
        "optimizer": _shared(_choices(plan.optimizers)),
        "evaluations": _choices(plan.evaluations, passed_on),
        "observers": {} if passed_on else _choices(plan.observers),
        "train": train,
        "compute": plain(plan.compute),
        "record": plain(plan.record),
        "lock": _filled({**made_with, **notes}),
    }
    comment = f"# {plan.recipe.summary}\n" if plan.recipe.summary else ""
    return _require_utf8(comment + tomli_w.dumps(_filled(tables)))


def _require_utf8(text: str) -> str:
    """Return the text if it is UTF-8, which file names need not be."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text[: error.end].rpartition("\n")[2] + text[error.end :].partition("\n")[0]
        message = f"the locked recipe cannot contain a name that is not UTF-8: {line}; rename the file or folder"
        raise InputError(message) from error
    return text


def _choice(choice: Choice, passed_on: bool = False) -> Table:
    given = {name: value for name, value in choice.settings.items() if value is not None}
    settings = {name: plain(_without_folders(value) if passed_on else value) for name, value in given.items()}
    for name, setting in choice.component.signature.settings.items():
        if setting.tables:
            settings |= settings.pop(name)
    return {"use": choice.component.qualified, **settings}


def _validation(plan: Plan, passed_on: bool) -> Table:
    value = plan.data.validation
    return plain(DataTable(_without_folders(value) if passed_on else value))  # type: ignore[no-any-return]


def _without_folders(value: Any) -> Any:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, Mapping):
        return {key: _without_folders(item) for key, item in value.items()}
    return [_without_folders(item) for item in value] if isinstance(value, list | tuple) else value


def _choices(choices: Mapping[str, Choice], passed_on: bool = False) -> Table:
    return {role: _choice(choice, passed_on) for role, choice in choices.items()}


def _networks(plan: Plan, role: str) -> Table:
    """Return the tables of a role's networks, each under its label, or under its name if the label is ambiguous."""
    mine = [(network, choice) for network, choice in plan.networks.values() if network.role == role]
    labels = [network.label for network, _ in mine]
    return _shared(_choices({n.label if labels.count(n.label) == 1 else n.name: choice for n, choice in mine}))


def _shared(members: Table) -> Table:
    """Return the first member's settings as the table, with tables inside it for the members that differ."""
    first, *others = members
    return {**members[first], **{label: members[label] for label in others if members[label] != members[first]}}


def _filled(table: Table) -> Table:
    return {key: value for key, value in table.items() if value not in ({}, [])}
