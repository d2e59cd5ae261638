"""Every method's base recipe with small networks on drawn animals: what tests of the engine play."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganforge import Engine
from ganforge.components.plugins import Plugins
from ganforge.data.batches import Batches
from ganforge.recipe import layers
from ganforge.recipe.plan import Plan
from ganforge.recipe.resolve import resolve
from ganforge.runs.assemble import assemble, settle
from ganforge.training import build

PLUGINS = Plugins()
PLUGINS.load_installed()
CPU = torch.device("cpu")
METHODS = (
    *("discogan", "cyclegan", "pix2pix", "pix2pixhd", "cut", "fastcut", "sincut", "dualgan", "gcgan", "distancegan"),
    *("munit", "stargan", "dcgan", "wgan", "wgan_gp", "r3gan"),
)
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
[compute]
precision = "fp32"
compile = false
channels_last = false
[record]
sample_every = 0
observers = []
"""
SMALL = {"width": 4, "blocks": 1, "layers": 1, "levels": 5, "halvings": 2, "hidden": 8, "patches": 16, "scales": 1}
NETWORKS = {"generator", "discriminator", "content_encoder", "style_encoder", "decoder"}


def recipe_of(method: str, folder: Path) -> Path:
    """Write the recipe of a method."""
    recipe = folder / "case.toml"
    base = "base_64" if method == "discogan" else f"base_{method}"
    without = "perceptual = false" if method == "pix2pixhd" else ""  # which needs weights
    recipe.write_text(RECIPE.format(base=base, paired=str(method.startswith("pix2pix")).lower(), without=without))
    return recipe


def small(method: str, recipe: Path) -> list[str]:
    """Return what makes its networks small."""
    table = layers.load(recipe, [], PLUGINS.recipes()).table
    sets = ["heads.layers=[0, 2]"] if method == "sincut" else []
    for role in NETWORKS & table.keys():
        use = table[role]["use"]
        kind = role if role in ("generator", "discriminator") else "network"
        known = PLUGINS.registry.find(kind, use).signature.settings
        wanted = {**SMALL, "layers": 4} if use == "conv" else SMALL
        sets += [f"{role}.{key}={value}" for key, value in wanted.items() if key in known]
    return sets


def plan_of(method: str, folder: Path, sets: Sequence[str] = ()) -> Plan:
    """Understand the recipe of a method with small networks."""
    recipe = recipe_of(method, folder)
    return resolve(layers.load(recipe, [*small(method, recipe), *sets], PLUGINS.recipes()), PLUGINS.registry)


def engine_of(method: str, folder: Path, sets: Sequence[str] = (), *, double: bool = True) -> tuple[Engine, Batches]:
    """Make the engine of a method, and its batches."""
    plan, dataset = settle(plan_of(method, folder, sets), CPU)
    engine, batches = assemble(plan, dataset, build.read_data(plan, dataset)["train"], CPU)
    for module in engine.modules.values() if double else ():
        module.double()
    return engine, batches


def losses_of(engine: Engine, batches: Batches, steps: int) -> list[dict[str, Tensor]]:
    """Play steps in float64, and return their losses."""
    torch.manual_seed(1)
    return [engine.step(step, doubled(batches(step), step, batches)) for step in range(steps)]


def doubled(batch: dict[str, Tensor], step: int, batches: Batches) -> dict[str, Tensor]:
    """Return a batch as float64, with noise: even areas become 0 when they are normalised, where gradients jump."""
    found = {name: one.double() if one.is_floating_point() else one for name, one in batch.items()}
    for place, one in enumerate(found.values()):
        if one.ndim == 4:
            random = torch.Generator().manual_seed(1000 * step + place)
            noise = torch.randn((batches.batch, *one.shape[1:]), dtype=one.dtype, generator=random)
            one += 0.1 * (noise if batches.part is None else noise[batches.part])
    return found
