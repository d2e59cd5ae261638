"""Any method takes any network, adversarial loss and update whose values fit; what does not fit is said before a step."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ganforge import InputError
from ganforge.components.plugins import Plugins
from ganforge.errors import RecipeError
from ganforge.recipe import layers
from ganforge.recipe.resolve import resolve
from ganforge.runs.assemble import assemble, settle
from ganforge.training import build
from ganforge.training.check import check

CPU = torch.device("cpu")
PLUGINS = Plugins()
PLUGINS.load_installed()
METHODS = (
    *("discogan", "cyclegan", "pix2pix", "pix2pixhd", "cut", "fastcut", "dualgan", "gcgan", "distancegan", "munit"),
    *("stargan", "dcgan", "wgan_gp", "r3gan"),
)
OTHERS = {
    "generator": [component.name for component in PLUGINS.registry.of("generator")],
    "discriminator": [component.name for component in PLUGINS.registry.of("discriminator")],
    "losses.adversarial": ["gan", "least-squares", "hinge-gan", "wasserstein", "relativistic"],
    "updates.more": ["ema", "clip", "ada"],
}
REQUIRED = {"stargan": ["domains=3"]}

RECIPE = """
extends = "{base}"
[dataset]
use = "coats"
coats = ["plain", "striped", "spotted"]
paired = {paired}
size = 32
pictures = 8
test_pictures = 4
[losses]
{without}
[train]
steps = 1
batch = 4
[record]
sample_every = 0
observers = []
"""


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
    base = "base_64" if method == "discogan" else f"base_{method}"
    without = "perceptual = false" if method == "pix2pixhd" else ""
    recipe = tmp_path / "case.toml"
    recipe.write_text(RECIPE.format(base=base, paired=str(method.startswith("pix2pix")).lower(), without=without))
    networks = {role: layers.load(recipe, [], PLUGINS.recipes()).table.get(role) for role in OTHERS if role != table}
    own = [one for role, its in networks.items() if its for one in settings_of(role, its["use"])[1:]]
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
