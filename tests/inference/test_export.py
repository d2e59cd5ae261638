"""An exported file gives what `ganforge translate` gives, in programs that know nothing of ganforge."""

import errno
import io
import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganforge.data.dataset import random_generator
from ganforge.recipe.lock import lock_text
from ganforge.runs.load import find_saved
from ganforge.training import build
from ganforge.training.networks import make_networks
from ganforge_inference import export as exporting, export_command
from ganforge_inference.export import export
from tests.conftest import write_weights

PAIRS = ["dataset.use=edges2photo", "dataset.root=nowhere", "dataset.size=[32,48]"]
SMALL = [*PAIRS, "generator.width=2", "discriminator.width=2"]
RESNET = ["coupling.use=discogan", *SMALL, "generator.use=resnet", "generator.blocks=1"]
DIRECTIONS = {
    "conv": ("discogan_edges2shoes", [*SMALL]),
    "conv with a bottleneck": ("discogan_edges2shoes", [*SMALL, "generator.layers=5"]),
    "by batch": ("discogan_edges2shoes", [*SMALL, "train.norm=batch"]),
    "resnet": ("base_cyclegan", [*SMALL, "generator.blocks=1"]),
    "resnet antialiased": ("base_cut", [*SMALL, "generator.blocks=1", "heads.width=2", "heads.layers=[0,4]"]),
    "resnet resized": ("base_cyclegan", [*SMALL, "generator.blocks=1", "generator.norm=group", "generator.up=resize"]),
    "unet": ("base_pix2pix", [*SMALL, "dataset.load=[32,48]", "generator.levels=4"]),
    "stargan": ("base_stargan", [*SMALL, "generator.blocks=1", "discriminator.halvings=3", 'coupling.domains=["A","B"]']),
    "munit": (
        "base_munit",
        [
            *(*PAIRS, "content_encoder.width=2", "content_encoder.blocks=1", "style_encoder.width=2"),
            *("decoder.blocks=1", "decoder.hidden=4", "discriminator.layers=2", "discriminator.scales=1"),
        ],
    ),
    "local-enhancer": (
        "base_pix2pixhd",
        [
            *(*SMALL, "dataset.load=[32,48]", "generator.use=local-enhancer", "generator.halvings=2"),
            *("generator.blocks=1", "losses.perceptual=false"),
        ],
    ),
    "stylegan2": ("base_sincut", [*PAIRS, "dataset.size=32", "generator.width=1", "discriminator.width=1"]),
}


@pytest.fixture
def saved(understand, plugins, tmp_path):
    """Return a function that makes the networks of a recipe, saves them as weights, and finds these."""

    def call(recipe, *sets):
        plan = understand(recipe, *sets)
        shapes = build.shapes_of(plan, build.make_dataset(plan))
        networks = make_networks(plan, shapes, torch.device("cpu"), lambda domain: torch.zeros(shapes[domain]))
        text = lock_text(plan, {}, passed_on=True)
        for name, network in networks.items():
            for parameter in network.parameters():  # a new network's biases and strengths are 0
                parameter.data.add_(torch.randn(parameter.shape, generator=random_generator(0, name)) * 0.05)
            metadata = {"ganforge": "2", "network": name, "step": "1", "recipe": text}
            write_weights(tmp_path / f"{name}.safetensors", network.state_dict(), metadata)
        return find_saved(tmp_path, plugins)

    return call


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "torch"])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_every_shipped_generator_can_be_exported(name, to, saved):
    recipe, sets = DIRECTIONS[name]
    found = saved(recipe, *sets)
    made = export(found, "AB", to, seed=3)
    print(name, to, made.about.difference, made.about.mean, made.about.least_batch)
    assert made.about.difference < 1e-5
