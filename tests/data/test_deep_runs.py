"""Whole runs on pictures of 16 bits and floats: trained, resumed, evaluated, and told in the lock."""

import tomllib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ganforge import Depth, Plugins, find_saved
from ganforge.data.augment import Augment
from ganforge.data.batches import Batches
from ganforge.data.dataset import Stored, as_float

RECIPE = """\
extends = "base_64"
[dataset]
use = "folders"
a = "a"
b = "b"
size = 16
channels = 1
load = 20
[dataset.B]
channels = 3
[generator]
use = "conv"
width = 2
[discriminator]
use = "conv"
width = 2
[evaluations.diversity]
use = "diversity"
[evaluations.grid]
use = "grid"
[evaluations.reconstruction]
use = "reconstruction"
[train]
steps = 2
batch = 2
[train.augment]
flip = 0.5
brightness = 0.1
[record]
sample_every = 2
"""


@pytest.fixture
def recipe(tmp_path):
    """A recipe from CT-like pictures of int16 (A) to colours of 12 in 16 bits (B)."""
    random = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / name).mkdir()
    for number in range(8):
        scan = random.integers(-1000, 2000, (24, 20)).astype(np.int16)
        tifffile.imwrite(tmp_path / "a" / f"{number}.tif", scan)
        colours = random.integers(0, 4096, (20, 24, 3)).astype(np.uint16)
        tifffile.imwrite(tmp_path / "b" / f"{number}.tif", colours, photometric="rgb")
    tifffile.imwrite(tmp_path / "a" / "least.tif", np.array([[-1000, 1999]] * 2, np.int16))
    path = tmp_path / "deep.toml"
    path.write_text(RECIPE)
    return path


def test_a_run_on_deep_pictures_is_trained_resumed_and_told_in_its_lock_and_weights(recipe, ganforge, tmp_path):
    result = ganforge("run", recipe)
    assert result.status == 0, result.err
    said = " ".join((result.out + result.err).split())
    assert "A: signed 16 bits, -1000 to 1999 are black to white" in said
    assert "B: 16 bits, 0 to 4095 are black to white" in said
    assert said.count("black to white") == 2
    run = tmp_path / "runs" / "deep" / "0001"
    lock = tomllib.loads((run / "recipe.lock.toml").read_text())["dataset"]
    assert lock["range"] == "auto"
    assert lock["A"] == {"range": [-1000.0, 1999.0], "kind": "int16"}
    assert lock["B"] == {"channels": 3, "range": [0.0, 4095.0], "kind": "uint16"}

    tifffile.imwrite(tmp_path / "a" / "0.tif", np.full((24, 20), 9000, np.int16))  # decided once, and for good
    result = ganforge("resume", run, "--set", "train.steps=3")
    assert result.status == 0, result.err
    assert "numbers below -1000 or above 1999 are clipped" in " ".join((result.out + result.err).split())
    assert tomllib.loads((run / "recipe.lock.toml").read_text())["dataset"]["A"] == lock["A"]
    result = ganforge("resume", run, "--set", "dataset.A.range=[0,9]")
    assert result.status == 2
    assert "this would be another run" in result.err
    result = ganforge("evaluate", run)
    assert result.status == 0, result.err

    weights = next((run / "checkpoints").glob("*/G_AB.safetensors"))
    alone = tmp_path / "alone" / "G_AB.safetensors"
    alone.parent.mkdir()
    alone.write_bytes(weights.read_bytes())
    plugins = Plugins()
    plugins.load_installed()
    dataset = find_saved(alone, plugins).outline.dataset
    assert dataset.depths == {"A": Depth("int16", -1000, 1999), "B": Depth("uint16", 0, 4095)}
    assert dataset.shapes == {"A": (1, 16, 16), "B": (3, 16, 16)}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[dataset.A]\nrnge = [0, 1]", "dataset.A.rnge: unknown setting 'rnge'; did you mean 'range'?"),
        (
            "[dataset.A]\nrange = [1, 1]",
            'dataset.A.range: expected [low, high], the lower number first, or "auto", got [1, 1]',
        ),
        ("[dataset.A]\nrange = [0, inf]", "dataset.A.range: expected"),
        ('[dataset.A]\nrange = "automatic"', "dataset.A.range: expected"),
        ("[dataset.C]\nchannels = 1", "dataset.C: no domain 'C'"),
        ("[dataset.A]\nchannels = 0", "dataset.A.channels: expected x >= 1, x <= 64, got 0"),
    ],
)
def test_what_is_wrong_in_a_domains_table_is_located(line, message, recipe, ganforge):
    recipe.write_text(RECIPE.replace("[dataset.B]", f"{line}\n[dataset.B]"))
    result = ganforge("validate", recipe)
    assert result.status == 2
    assert f"deep.toml:{9 if 'C]' in line else 10}: " in result.err
    assert message.lower() in result.err.lower()


def test_a_domains_table_can_be_set(recipe, ganforge, tmp_path):
    words = ["run", recipe, "--set", "dataset.A.range=[-500,500]", "--set", "dataset.range=[0,9999]"]
    result = ganforge(*words, "--set", "train.steps=1")
    assert result.status == 0, result.err
    lock = tomllib.loads((tmp_path / "runs" / "deep" / "0001" / "recipe.lock.toml").read_text())["dataset"]
    assert (lock["A"]["range"], lock["B"]["range"]) == ([-500.0, 500.0], [0.0, 9999.0])


def test_the_paired_error_of_deep_pairs_is_measured(ganforge, tmp_path):
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        (tmp_path / "pairs" / split).mkdir(parents=True)
        for number in range(3):
            half = random.random((16, 16)).astype(np.float32) * 5 - 2
            tifffile.imwrite(tmp_path / "pairs" / split / f"{number}.tif", np.concatenate([half, half], 1))
    Image.effect_noise((32, 16), 90).save(tmp_path / "pairs" / "train" / "noise.png")
    text = RECIPE.replace('"folders"\na = "a"\nb = "b"', '"pairs"\nroot = "pairs"').replace("load = 20\n", "")
    text = text.replace("[dataset.B]\nchannels = 3\n", "").replace("reconstruction", "paired_error")
    (tmp_path / "deep.toml").write_text(text.replace('use = "paired_error"', 'use = "paired-error"'))
    result = ganforge("run", "deep.toml")
    assert result.status == 0, result.err
    assert "noise.png': it has 8 bits, unlike its domain (floats)" in " ".join((result.out + result.err).split())


@pytest.mark.parametrize("residency", ["device", "host", "disk"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_batches_of_all_types_are_floats_of_the_same_pixels(dtype, residency):
    largest = {torch.uint8: 255, torch.uint16: 65535, torch.float32: 1}[dtype]
    pixels = torch.linspace(0, 1, 6 * 8 * 8).reshape(6, 1, 8, 8)
    stored = pixels.mul(largest)
    stored = stored if dtype == torch.float32 else stored.round().to(dtype)
    whole = Stored(6, lambda rows: stored[list(rows)][..., 1:7, 1:7], whole=lambda rows: stored[list(rows)])
    settings = {"batch": 4, "seed": 1, "device": torch.device("cpu"), "residency": residency}
    plain = Batches({"A": Stored(6, lambda rows: stored[list(rows)])}, **settings)(0)["A"]
    assert plain.dtype == torch.float32
    assert float((plain - Batches({"A": Stored(6, lambda r: pixels[list(r)])}, **settings)(0)["A"]).abs().max()) < (
        0.003 if dtype == torch.uint8 else 1e-5
    )
    crops = Batches({"A": whole}, **settings, augment=Augment(flip=0.5, shift=0.2))(0)["A"]
    assert crops.shape == (4, 1, 6, 6)
    assert torch.isin(crops, as_float(stored)).all()


def test_what_needs_domains_of_the_same_channels_says_so(recipe, ganforge):
    words = ["base_cyclegan", "--set", "dataset.use=folders", "--set", "dataset.a=a", "--set", "dataset.b=b"]
    words += ["--set", "dataset.size=32", "--set", "dataset.A.channels=1", "--set", "train.batch=2"]
    result = ganforge("validate", *words)
    assert result.status == 2
    for direction in ("AB", "BA"):
        assert f"'identity' in the direction {direction} needs domains with equal channels, but A has 1" in result.err
    assert "losses.identity = false" in result.err
    assert ganforge("validate", *words, "--set", "losses.identity=false").status == 0
