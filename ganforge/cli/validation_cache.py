"""Remember in the index that a recipe is valid, so that `validate` only checks its data again, without torch.

The result depends on the recipe's text, the plugins, and what the data set declares. Recipes that are not known to be
valid are checked as if there were no index.
"""

import io
import os
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from ganforge.components.index import digest
from ganforge.components.offer import kept_offer
from ganforge.components.plugins import Plugins
from ganforge.components.structure import plain
from ganforge.data.dataset import Dataset
from ganforge.data.held_out import check_data
from ganforge.recipe.choose import Chooser
from ganforge.recipe.layers import Recipe, load
from ganforge.recipe.plan import Plan
from ganforge.recipe.tables import DataTable


def is_known(plugins: Plugins, name: str, sets: Sequence[str]) -> bool:
    """Return whether a recipe is known to be valid and its data still are; problems are not reported here."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said), warnings.catch_warnings():
        try:
            return _holds(plugins, name, sets) and not said.getvalue()
        except Exception:  # the full check reports it
            return False


def _holds(plugins: Plugins, name: str, sets: Sequence[str]) -> bool:
    offer = kept_offer(plugins)
    if offer is None:
        return False
    few = Plugins(allowed=plugins.allowed)
    few.load_installed([one.name for one in offer.plugins if "recipes" in one.hooks])
    recipe = load(name, sets, few.recipes())
    if any(recipe.plugin_files()):
        return False
    few = Plugins(allowed=plugins.allowed)
    few.load_installed([offer.registry.find("dataset", recipe.table["dataset"]["use"]).plugin])
    parts = Chooser(recipe, few.registry).parted("dataset", ("dataset",), DataTable)
    dataset = parts[0].make() if parts else None
    if not isinstance(dataset, Dataset) or (kept := plugins.index.find(_name(recipe, dataset))) is None:
        return False
    validation, batch = kept
    check_data(dataset, Path(validation) if isinstance(validation, str) and validation != "own" else validation, batch)
    return True


def keep(plugins: Plugins, plan: Plan, dataset: Dataset) -> None:
    """Store in the index that a plan is valid, unless it depends on a file that a setting names."""
    made = [plan.coupling_choice, *(choice for _, choice in plan.networks.values())]
    made += [value.choice for value in plan.values.values()]
    files = [value for choice in made for value in choice.settings.values() if isinstance(value, Path)]
    if plugins.sound and plan.train.start is None and not files:
        validation = plain(plan.data).get("validation")
        plugins.index.keep(_name(plan.recipe, dataset), [validation, plan.train.batch])


def _name(recipe: Recipe, dataset: Dataset) -> str:
    """Return the answer's name: a hash of what it depends on besides plugins; paths may be relative to this folder."""
    said = dict(dataset.shapes), [list(group) for group in dataset.groups]
    return f"sound {digest(repr((recipe.table, os.getcwd(), *said)))}"
