"""Any method takes any network, adversarial loss and update whose values fit; what does not fit is said before a step."""

from pathlib import Path
from typing import Any

import pytest

from ganforge import InputError
from ganforge.errors import RecipeError
from ganforge.recipe import layers
from ganforge.recipe.resolve import resolve
from ganforge.runs.assemble import assemble, settle
from ganforge.training import build
from ganforge.training.check import check
from tests.coats import CPU, METHODS, PLUGINS, recipe_of

OTHERS = {
    "generator": [component.name for component in PLUGINS.registry.of("generator")],
    "discriminator": [component.name for component in PLUGINS.registry.of("discriminator")],
    "losses.adversarial": ["gan", "least-squares", "hinge-gan", "wasserstein", "relativistic"],
    "updates.more": ["ema", "clip", "ada"],
}
REQUIRED = {"stargan": ["domains=3"]}


def settings_of(table: str, name: str) -> list[str]:
    """Small networks, and what has no default."""
    kind = {"losses.adversarial": "loss", "updates.more": "update"}.get(table, table)
    known = PLUGINS.registry.find(kind, name).signature.settings
    small = {"width": 4, "blocks": 1, "layers": 4 if name == "conv" else 1, "levels": 5, "halvings": 2, "hidden": 8}
    wanted = [f"{key}={value}" for key, value in small.items() if key in known]
    return [f"{table}.use={name}", *(f"{table}.{text}" for text in [*wanted, *REQUIRED.get(name, [])])]


@pytest.mark.slow
@pytest.mark.parametrize("table", OTHERS)
@pytest.mark.parametrize("method", METHODS)
def test_it_trains_or_says_why_not(method: str, table: str, tmp_path: Path) -> None:
    recipe = recipe_of(method, tmp_path)
    networks = {role: layers.load(recipe, [], PLUGINS.recipes()).table.get(role) for role in OTHERS if role != table}
    own = [one for role, its in networks.items() if its for one in settings_of(role, its["use"])[1:]]
    own += ["heads.layers=[0, 2]"] if method == "sincut" and table != "generator" else []  # which the small one has
    fitting = 0
    for name in OTHERS[table]:
        try:
            engine, batches = make(recipe, [*own, *settings_of(table, name)])
        except (RecipeError, InputError):
            continue  # it says why, in lines of the recipe
        losses = engine.step(0, batches(0))
        assert losses
        fitting += 1
    assert fitting


def make(recipe: Path, sets: list[str]) -> Any:
    """Check everything as `validate` does, and make the engine."""
    loaded = layers.load(recipe, sets, PLUGINS.recipes())
    plan, dataset = settle(resolve(loaded, PLUGINS.registry), CPU)
    check(plan, dataset)
    return assemble(plan, dataset, build.read_data(plan, dataset)["train"], CPU)
