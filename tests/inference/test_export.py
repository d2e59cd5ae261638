"""An exported file gives what `ganforge translate` gives, in programs that know nothing of ganforge."""

import errno
import json
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganforge.data.dataset import random_generator
from ganforge.errors import InputError
from ganforge.recipe.lock import lock_text
from ganforge.runs.load import Saved, find_saved
from ganforge.training import build
from ganforge.training.networks import make_networks
from ganforge_inference import export as exporting, output
from ganforge_inference.export import Exported, export
from ganforge_inference.translator import Translator
from tests.conftest import write_weights

PAIRS = ["dataset.use=edges2photo", "dataset.root=nowhere", "dataset.size=[32,48]"]
SMALL = [*PAIRS, "generator.width=2", "discriminator.width=2"]
DIRECTIONS = {
    "conv": ("discogan_edges2shoes", [*SMALL]),
    "conv with a bottleneck": ("discogan_edges2shoes", [*SMALL, "generator.layers=5"]),
    "by batch": ("discogan_edges2shoes", [*SMALL, "train.norm=batch"]),
    "resnet": ("base_cyclegan", [*SMALL, "generator.blocks=1"]),
    "resnet antialiased": ("base_cut", [*SMALL, "generator.blocks=1", "heads.width=2", "heads.layers=[0,4]"]),
    "resnet resized": ("base_cyclegan", [*SMALL, "generator.blocks=1", "generator.norm=group", "generator.up=resize"]),
    "unet": ("base_pix2pix", [*SMALL, "dataset.load=[32,48]", "generator.levels=4"]),
    "stargan": (
        "base_stargan",
        [*SMALL, "generator.blocks=1", "discriminator.halvings=3", 'coupling.domains=["A","B"]'],
    ),
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


@pytest.fixture
def script(tmp_path):
    """The program of docs/export.md."""
    document = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    (tmp_path / "script.py").write_text(re.search(r"```python\n(.*?)```", document, re.DOTALL)[1])
    return tmp_path / "script.py"


@pytest.fixture
def photo(tmp_path):
    """A picture of an odd size."""
    numbers = np.random.default_rng(0).integers(0, 256, (21, 35, 3), dtype=np.uint8)
    Image.fromarray(numbers).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def assert_translated(made, photo, weights, direction):
    """Assert that a file holds what a picture is translated into, but for numbers that lie between two levels."""
    expected = np.asarray(Translator.load(weights, direction, device="cpu")(photo), dtype=int)
    with Image.open(made) as picture:
        difference = np.abs(np.asarray(picture, dtype=int) - expected)
    assert expected.shape == (21, 35, 3)
    assert expected.std() > 1
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_the_documents_program_gives_what_translate_gives(shared_run, script, photo, ganforge, monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime")
    result = ganforge("export", shared_run, "--direction", "ba", "--to", "onnx", "--out", "new/edges.onnx")
    assert result.status == 0, result.err
    assert result.out.startswith("BA exported to new/edges.onnx: takes any number of pictures of any size, 3 channels;")
    assert result.err == ""
    monkeypatch.setattr("sys.argv", ["script.py", "new/edges.onnx", str(photo), "out.png"])
    runpy.run_path(str(script))
    assert_translated("out.png", photo, shared_run, "BA")


def test_a_program_for_torch_takes_any_size_holds_no_pickle_and_says_what_it_is(shared_run, ganforge, plugins):
    result = ganforge("export", shared_run / "checkpoints" / "latest", "--direction", "BA", "--to", "torch")
    assert result.status == 0, result.err
    extra = {"ganforge": ""}
    translate = torch.export.load("BA.pt2", extra_files=extra).module()
    for size in ((1, 1), (1, 40), (17, 16)):
        pictures = torch.rand(2, 3, *size)
        expected = Translator.load(shared_run, "BA", device="cpu")(pictures)
        assert (translate(pictures) - expected).abs().max() < 1e-6
    about = json.loads(extra["ganforge"])
    assert about["recipe"].startswith("# ")
    assert about["range"]["target"] == {"kind": "uint8", "low": 0.0, "high": 255.0}
    del about["recipe"], about["range"], about["version"], about["difference"]
    assert about == {
        "direction": "BA",
        "source": "B",
        "target": "A",
        "channels": [3, 3],
        "size": None,
        "multiple": 16,
        "norm": "recalibrated",
        "together": False,
        "least_batch": 1,
        "most_batch": None,
        "seed": 0,
        "mean": [],
        "step": 1,
    }
    with zipfile.ZipFile("BA.pt2") as archive:
        assert not any(
            archive.read(name)[:1] == b"\x80" or archive.read(name)[:2] == b"PK" for name in archive.namelist()
        )


@pytest.mark.slow
def test_a_file_that_differs_is_not_kept_nor_is_one_for_which_there_is_no_room(shared_run, ganforge, monkeypatch):
    words = ["export", shared_run, "--direction", "AB", "--to", "torch", "--out", "it.pt2"]
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "MOST", 0.0)
        result = ganforge(*words)
    assert result.status == 1
    assert result.err.startswith("error: the exported pixels differ from translate's by ")

    def refuse(path, content, *, lasting):
        raise OSError(errno.ENOSPC, "No space left on device")

    made = Exported(b"content", None)
    monkeypatch.setattr(exporting, "export", lambda *_: made)
    monkeypatch.setattr(output, "write_file", refuse)
    result = ganforge(*words)
    assert (result.status, result.err) == (1, "error: 'it.pt2' cannot be written: No space left on device\n")
    assert not Path("it.pt2").exists()


def test_what_cannot_be_exported_is_told_in_a_line(shared_run, saved, ganforge, tmp_path, monkeypatch):
    Path("there.pt2").touch()
    saved("base_dcgan", *PAIRS, "dataset.size=8", "generator.width=2", "discriminator.width=2")
    drawing = tmp_path / "G.safetensors"
    for words, message in [
        (
            [shared_run, "--to", "torch"],
            "this run translates in several directions: add --direction with one of AB, BA",
        ),
        ([shared_run, "--to", "torch", "--direction", "XY"], "has no generator for the direction XY"),
        ([shared_run, "--to", "torch", "--direction", "AB", "--out", "there.pt2"], "'there.pt2' exists already"),
        ([drawing, "--to", "torch"], "this run draws"),
        ([tmp_path / "absent", "--to", "torch"], "no run at "),
    ]:
        result = ganforge("export", *words)
        assert result.status == 2
        assert message in result.err
        assert result.err.count("\n") == 1
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == "onnxscript" else name)
    result = ganforge("export", shared_run, "--to", "onnx", "--direction", "AB")
    assert (result.status, result.err) == (2, "error: --to onnx needs onnxscript: pip install 'ganforge[export]'\n")


class Odd(torch.nn.Module):
    """A network of a single function."""

    multiple = 1

    def __init__(self, function):
        super().__init__()
        self.forward = function


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (torch.special.bessel_j0, r"the direction AB cannot be exported to onnx: .*bessel_j0"),
        (torch.bernoulli, r"the networks of direction AB draw random numbers while they translate"),
        (lambda pictures: pictures.new_ones(len(pictures), 3, 1, 1) * pictures, r"the direction AB cannot be exported"),
    ],
    ids=["operator", "random", "number of pictures"],
)
def test_networks_with_what_has_no_counterpart_are_told(function, message, shared_run, plugins, monkeypatch):
    pytest.importorskip("onnxruntime")
    load = Saved.load

    def load_odd(self, *words):
        trained = load(self, *words)
        trained.scheme.modules["G_AB"] = Odd(function)
        return trained

    monkeypatch.setattr(Saved, "load", load_odd)
    with pytest.raises(InputError, match=message) as caught:
        export(find_saved(shared_run, plugins), "AB", "onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "torch"])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_every_shipped_generator_can_be_exported(name, to, saved):
    pytest.importorskip("onnxruntime")
    recipe, sets = DIRECTIONS[name]
    about = export(saved(recipe, *sets), "AB", to, seed=3).about
    assert about.difference < 1e-5
    assert about.size == {"conv with a bottleneck": (32, 48), "stylegan2": (32, 32)}.get(name)
    assert about.mean == {"unet": ["dropout"], "stylegan2": ["noise"]}.get(name, [])
    assert about.together == (name in ("by batch", "unet"))
    assert about.most_batch == {"by batch": 200, "unet": 1}.get(name)


@pytest.mark.slow
def test_the_documents_program_runs_where_ganforge_is_not_installed(shared_run, script, photo, ganforge, tmp_path):
    pytest.importorskip("onnxruntime")
    assert ganforge("export", shared_run, "--direction", "BA", "--to", "onnx", "--out", "edges.onnx").status == 0
    bare = tmp_path / "bare"
    uv = shutil.which("uv")
    makes = [uv, "venv", "--python", sys.executable, bare] if uv else [sys.executable, "-m", "venv", bare]
    subprocess.run(makes, check=True, capture_output=True)
    python = bare / "bin" / "python"
    installs = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    if subprocess.run([*installs, "onnxruntime", "pillow"], check=False, capture_output=True).returncode:
        pytest.skip("packages cannot be had here")
    without = subprocess.run([python, "-c", "import torch"], check=False, capture_output=True, text=True)
    assert "No module named 'torch'" in without.stderr
    subprocess.run([python, "-I", script, "edges.onnx", photo, "out.png"], check=True, cwd=tmp_path)
    assert_translated(tmp_path / "out.png", photo, shared_run, "BA")
