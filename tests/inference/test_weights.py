"""A weights file is what it says of itself, and costs no more than what it holds."""

import shutil
from pathlib import Path

import pytest
import torch

from ganforge.components.plugins import Plugins
from ganforge.runs import fit, load
from ganforge.runs.checkpoint import read_tensors
from tests.conftest import write_weights

PLUGIN = """
import torch
from attrs import frozen
from torch import nn
from ganforge import Coupling, Network, View, hookimpl

class Generator(nn.Module):
    def __init__(self, source_shape, target_shape, *, width: int = 2, extra: int = 1, stubborn: bool = False):
        super().__init__()
        self.layer = nn.Conv2d(source_shape[0], width, 1)
        self.back = nn.Conv2d(width, target_shape[0], 1)
        self.register_buffer("extra", torch.zeros(extra), persistent=False)
        if stubborn:
            self.back.weight.detach().cpu()  # nothing that has no memory can do so
    def forward(self, x):
        return self.back(self.layer(x)).sigmoid()

def eye(shape, *, width: int = 1):
    return nn.Linear(width, width)

@frozen
class Looking(Coupling):
    networks = (Network("G", "generator", ("A", "B")), Network("D", "discriminator", ("B",)), Network("E", "eye", ("A",)))
    views = (View("AB", ("A", "B"), {"source": "A", "real": "B"}, {"generator": "G", "discriminator": "D", "eye": "E"}),)

@hookimpl
def ganforge_register(register):
    register.generator("plain", Generator)
    register.network("eye", eye)
    register.coupling("looking", Looking)
"""


@pytest.fixture
def forged(folder):
    """Write weights of G_AB with another recipe, and a digest that fits."""

    def call(old="", new="", *, change=lambda tensors: None, **metadata):
        tensors, found = read_tensors(folder / "G_AB.safetensors")
        assert old in found["recipe"]
        change(tensors)
        recipe = {"recipe": found["recipe"].replace(old, new)} if old else {}
        path = folder.parent / "forged.safetensors"
        write_weights(path, tensors, {**found, **recipe, **metadata})
        return path

    return call


def test_a_copy_under_any_name_translates_in_its_own_direction(folder, zoo, ganforge, tmp_path):
    for name, network in (("day2night.safetensors", "G_AB"), ("mine.weights", "G_BA"), ("best", "G_BA")):
        (tmp_path / network).mkdir(exist_ok=True)
        shutil.copy(folder / f"{network}.safetensors", tmp_path / network / name)
        for words in (["translate", tmp_path / network / name], ["translate", folder, "--direction", network[2:]]):
            result = ganforge(*words, zoo / "grey.jpg", "--out", tmp_path / words[1].name / "out", "--overwrite")
            assert result.status == 0, result.err
        one, other = (tmp_path / place / "out" / "grey.png" for place in (name, "mine"))
        assert one.read_bytes() == other.read_bytes()


def test_what_lies_beside_a_named_file_is_taken_by_what_it_says_and_strangers_are_ignored(
    folder, zoo, ganforge, forged
):
    (folder / "G_AB.safetensors").rename(folder / "day2night.safetensors")
    (folder / "G_BA.safetensors").rename(folder / "a_way_back.safetensors")
    (folder / "A_first.safetensors").write_bytes(b"no weights")
    words = ["translate", folder / "day2night.safetensors", zoo / "grey.jpg"]
    assert ganforge(*words, "--out", "one").status == 0
    assert ganforge(*words, "--out", "two", "--direction", "ba").status == 0
    tensors, metadata = read_tensors(folder / "a_way_back.safetensors")
    write_weights(folder / "a_way_back.safetensors", tensors, {**metadata, "step": "7"})
    result = ganforge(*words, "--out", "three", "--direction", "BA")
    assert result.status == 2
    assert "the direction BA needs the network G_BA: " in result.err
    assert "a_way_back.safetensors' is from another training or step than" in result.err


def test_of_two_files_for_a_network_the_named_one_wins_then_the_usual_name(folder, zoo, ganforge, plugins):
    tensors, metadata = read_tensors(folder / "G_AB.safetensors")
    copy = folder / "A_copy.safetensors"
    write_weights(copy, {key: value + 1 for key, value in tensors.items()}, metadata)
    assert load.find_saved(copy, plugins).weights.files["G_AB"] == copy
    assert load.find_saved(folder, plugins).weights.files["G_AB"] == folder / "G_AB.safetensors"
    (folder / "G_AB.safetensors").rename(folder / "B_copy.safetensors")
    result = ganforge("translate", folder, zoo, "--direction", "AB", "--out", "out")
    assert result.status == 2
    assert "A_copy.safetensors' and '" in result.err
    assert "B_copy.safetensors' both contain the network G_AB: name one of them" in result.err
    assert ganforge("translate", folder / "B_copy.safetensors", zoo, "--out", "out").status == 0


def test_a_file_among_the_checkpoints_of_another_run_is_not_taken_for_that_runs(
    shared_run, folder, forged, tmp_path, plugins
):
    other = shutil.copytree(shared_run, tmp_path / "other")
    place = other / "checkpoints" / "step-00000001"
    assert load.find_saved(place / "G_AB.safetensors", plugins).outline.dataset.root.is_absolute()
    stranger = forged('use = "ganforge_networks/conv"\nwidth = 2', 'use = "ganforge_networks/conv"\nwidth = 3')
    path = Path(shutil.copy(stranger, place))
    found = load.find_saved(path, plugins).outline
    assert found.dataset.root.as_posix() == "pairs"
    assert found.directions == ("AB",)


def test_a_folder_of_two_trainings_is_refused(folder, zoo, ganforge):
    tensors, metadata = read_tensors(folder / "D_B.safetensors")
    write_weights(folder / "D_B.safetensors", tensors, {**metadata, "step": "7"})
    result = ganforge("translate", folder, zoo, "--direction", "AB", "--out", "out")
    assert result.status == 2
    assert "are not from the same training and step" in result.err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("D_B.safetensors", "no direction can be built from the network D_B"),
        ("training.safetensors", "was not written by ganforge"),
        ("state.json", "is not a weights file, or is damaged"),
    ],
)
def test_files_that_hold_no_direction_are_refused(name, message, folder, zoo, ganforge, tmp_path):
    (tmp_path / "alone").mkdir()
    file = shutil.copy(folder / name, tmp_path / "alone")
    result = ganforge("translate", file, zoo, "--out", "out")
    assert result.status == 2
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"step": "-1"}, "is damaged: its step is '-1'"),
        ({"network": "G_XY"}, "contains the network 'G_XY', which its recipe lacks"),
        ({"recipe": "x" * 200_000}, "its recipe is too long, 200,000 characters"),
        ({"recipe": "a" + ".a" * 20_000 + " = 1"}, "its recipe is too long"),
        ({"recipe": "a = " + "[" * 2_000}, "nested more than 32 deep"),
    ],
    ids=["step", "network", "long", "dotted", "nested"],
)
def test_metadata_that_ganforge_does_not_write_is_refused(metadata, message, forged, zoo, ganforge):
    result = ganforge("translate", forged(**metadata), zoo, "--out", "out")
    assert result.status == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def test_an_enormous_network_that_is_not_asked_for_is_not_made(forged, zoo, ganforge, monkeypatch):
    made, make = [], fit.make_networks
    monkeypatch.setattr(fit, "make_networks", lambda plan, *more: made.append([*plan.networks]) or make(plan, *more))
    words = '[discriminator]\nuse = "ganforge_networks/conv"\nwidth = '
    result = ganforge("translate", forged(words + "2", words + "4096"), zoo, "--out", "out")
    assert result.status == 0, result.err
    assert made == [["G_AB"], ["G_AB"]]


def test_numbers_that_are_not_finite_are_told(forged, zoo, ganforge):
    result = ganforge("translate", forged(change=lambda t: t["layers.0.weight"].fill_(torch.nan)), zoo, "--out", "out")
    assert result.status == 0, result.err
    assert "warning: the weights G_AB.layers.0.weight contain non-finite numbers" in result.err


@pytest.fixture
def looking(tmp_path):
    """Return a function that writes weights of the plugin's generator, with a change of the recipe, and opens them."""
    (tmp_path / "plug.py").write_text(PLUGIN)
    recipe = """
plugins = ["plugins/plug.py"]
[dataset]
use = "edges2photo"
root = "nowhere"
size = 8
[coupling]
use = "looking"
[generator]
use = "plain"
width = 2
extra = 1
stubborn = false
[discriminator]
use = "conv"
[eye]
use = "eye"
width = 1
[losses.adversarial]
use = "gan"
[optimizer]
use = "adam"
[train]
steps = 1
batch = 1
"""

    def call(*changes):
        plugins = Plugins()
        plugins.load_installed()
        plugins.load_file(tmp_path / "plug.py")
        text = recipe
        for old, new in changes:
            text = text.replace(old, new)
        layer, back = torch.nn.Conv2d(3, 2, 1), torch.nn.Conv2d(2, 3, 1)
        named = {"layer": layer, "back": back}
        tensors = {f"{n}.{key}": value for n, module in named.items() for key, value in module.state_dict().items()}
        metadata = {"ganforge": "2", "network": "G", "step": "1", "recipe": text}
        write_weights(tmp_path / "G.safetensors", tensors, metadata)
        return load.find_saved(tmp_path / "G.safetensors", plugins)

    return call


def test_a_network_without_meta_form_is_loaded(looking):
    loaded = looking(("stubborn = false", "stubborn = true")).load(torch.device("cpu"), "AB")
    assert loaded.networks.keys() == {"G"}
    assert loaded.networks["G"](torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("width = 2", "width = 1000000000")], "does not fit its recipe: back.weight is float32"),
        ([("extra = 1", "extra = 1000000000000")], "more than half of the free memory"),
        ([("false", "true"), ("width = 2", "width = 300000000")], "generator: too large: at least 3.4 GiB in 1 tensor"),
        ([("false", "true"), ("extra = 1", "extra = 1000000000000")], "generator: too large"),
        (
            [("extra = 1", "extra = 9007199254740990")],
            "the networks of its recipe cannot be made|more than half of the free memory",
        ),
    ],
    ids=["width", "buffer", "stubborn width", "stubborn buffer", "overflow"],
)
def test_enormous_networks_are_refused_before_they_fill_memory(changes, message, looking):
    with pytest.raises(load.InputError, match=message):
        looking(*changes).load(torch.device("cpu"), "AB")


def test_a_frozen_network_is_made_only_where_it_is_needed(looking):
    saved = looking(('[eye]\nuse = "eye"\nwidth = 1', '[eye]\nuse = "eye"\nwidth = 1000000'))
    assert saved.load(torch.device("cpu"), "AB").networks.keys() == {"G"}
    with pytest.raises(load.InputError, match="more than half of the free memory"):
        saved.load(torch.device("cpu"))
