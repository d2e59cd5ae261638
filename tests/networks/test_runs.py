"""Spectral norm and dropout in whole runs: recorded, averaged, saved, resumed, translated; and one line where a norm cannot be."""

import pytest
import torch
from safetensors.torch import load_file

from tests.proof.harness import Case, assert_half, assert_recorded, assert_resumes, train
from tests.proof.small import draw_folders, settings

NETWORKS = {
    "spectral": """
[generator]
use = "resnet"
width = 4
blocks = 1
up = "antialiased"
down = "antialiased"
[discriminator]
use = "patch"
width = 4
layers = 1
spectral = true
scales = 2
padding = 2
[updates.ema]
use = "ema"
players = ["generator", "discriminator"]
""",
    "dropout": """
[generator]
use = "unet"
width = 4
levels = 3
[discriminator]
use = "dcgan"
width = 4
spectral = true
norm = "none"
""",
}


ONE_OF_THEM = pytest.mark.parametrize(
    "case", [pytest.param("spectral", marks=pytest.mark.slow), "dropout"], indirect=True
)


@pytest.fixture(params=NETWORKS)
def case(request, tmp_path):
    recipe = settings("gan", draw_folders(tmp_path / "data")) + NETWORKS[request.param]
    return Case(recipe + '[losses.adversarial]\nuse = "gan"\n', tmp_path)


@ONE_OF_THEM
def test_recorded_steps_are_the_same(case):
    assert assert_recorded(case) == ""


@ONE_OF_THEM
def test_in_half_precision(case):
    assert_half(case)


def test_weights_under_spectral_norm_are_averaged(case):
    engine, _ = train(case, steps=3)
    weights = dict(engine.networks["D_B"].named_parameters())
    for update in engine.updates:
        averages = update.shown("D_B")
        assert averages.keys() == weights.keys()
        assert not any(torch.equal(averages[key], weights[key]) for key in weights)


@ONE_OF_THEM
def test_resumes_and_translates(case, ganforge, tmp_path):
    weights = assert_resumes(case, ganforge, tmp_path)
    saved = load_file(weights / "D_B.safetensors")
    assert any(key.endswith("parametrizations.weight.original") for key in saved)
    assert any(key.endswith("parametrizations.weight.0._u") for key in saved)
    picture = next((tmp_path / "data" / "trainA").iterdir())
    result = ganforge("translate", weights, picture, "--direction", "AB", "--out", tmp_path / "out")
    assert result.status == 0, result.err
    assert (tmp_path / "out" / picture.name).is_file()


@pytest.mark.parametrize(
    ("generator", "discriminator", "size", "message"),
    [
        ("resnet", "patch/layers = 1", 8, ""),
        ("resnet", "patch/layers = 1/norm = 'batch'/down = 'antialiased'", 6, ""),
        ("resnet", "patch/layers = 0", 5, ""),
        ("resnet", "patch/layers = 2", 8, "discriminator: 'patch' with 2 layers and scales = 1 needs pictures of 12x12 or more; got 8x8"),
        ("resnet", "patch/layers = 1", 5, "needs pictures of 6x6 or more; got 5x5"),
        ("unet", "patch/layers = 1", 8, "generator: 'unet' halves pictures 8 times, but 8x8 can be halved 3 times; set levels to 3 or less"),
        ("unet/levels = 3/norm = 'instance'", "patch/layers = 1", 8, ""),
        ("dcgan", "dcgan", 8, "'dcgan' needs noise"),
        ("resnet/norm = 'none'", "patch/layers = 0", 1, "needs pictures of 5x5 or more; got 1x1"),
        ("conv/layers = 4", "conv", 16, ""),
        ("conv/layers = 5", "patch/layers = 0", "[1, 1]", "must be multiples of 16"),
    ],
)  # fmt: skip
def test_validate_says_in_a_line_what_does_not_fit(generator, discriminator, size, message, ganforge, tmp_path):
    recipe = settings("gan", draw_folders(tmp_path / "data")).replace("size = 8", f"size = {size}")
    for role, text in (("generator", generator), ("discriminator", discriminator)):
        use, *more = text.split("/")
        recipe += "\n".join([f'[{role}]\nuse = "{use}"\nwidth = 4', *more, ""])
    (tmp_path / "case.toml").write_text(recipe + '[losses.adversarial]\nuse = "gan"\n')
    result = ganforge("validate", tmp_path / "case.toml")
    assert result.status == (2 if message else 0), result.err
    assert message in result.err
    assert "Traceback" not in result.err


def test_a_norm_over_a_single_value_is_a_line(ganforge, tmp_path):
    recipe = settings("gan").replace("[coupling]", '[dataset]\nuse = "dots"\n[coupling]')
    recipe += (
        '[generator]\nuse = "dot"\n[discriminator]\nuse = "patch"\nlayers = 0\n[losses.adversarial]\nuse = "gan"\n'
    )
    (tmp_path / "dots.py").write_text(
        "import torch\nfrom ganforge import Dataset, Stored, hookimpl\n"
        "class Dots(Dataset):\n"
        "    'Single pixels.'\n"
        "    shapes = dict.fromkeys('AB', (3, 1, 1))\n"
        "    def open(self, split): return {name: Stored(4, torch.rand(4, 3, 1, 1).__getitem__) for name in 'AB'}\n"
        "def dot(source_shape, target_shape): return torch.nn.Conv2d(3, 3, 1)\n"
        "@hookimpl\n"
        "def ganforge_register(register):\n"
        "    register.dataset('dots', Dots)\n"
        "    register.generator('dot', dot)\n"
    )
    (tmp_path / "case.toml").write_text('plugins = ["dots.py"]\n' + recipe)
    result = ganforge("validate", tmp_path / "case.toml")
    assert result.status == 2
    assert "the discriminator normalises over a single value per channel of a sample" in result.err
