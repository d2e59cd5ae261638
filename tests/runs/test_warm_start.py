"""A training that starts from the weights of another one."""

import json
import shutil
import tomllib

import pytest
import torch

from ganforge.runs.checkpoint import load_training, read_tensors
from tests.conftest import TOY, run_command

NAMES = ("D_A", "D_B", "G_AB", "G_BA")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run of eight steps of the toy."""
    place = tmp_path_factory.mktemp("first")
    (place / "toy.toml").write_text(TOY)
    assert run_command("run", place / "toy.toml", "--out", place / "runs") == 0
    return place / "runs" / "toy" / "0001"


@pytest.fixture
def start(first, tmp_path):
    """A copy of its newest checkpoint beside a recipe that starts from it, and sees nothing of it in a step."""
    (tmp_path / "next.toml").write_text(
        TOY.replace("[train]\n", '[train]\nstart = "weights"\n').replace("steps = 8", "steps = 2")
    )
    return shutil.copytree(first / "checkpoints" / "step-00000008", tmp_path / "weights")


def weights(folder):
    return {name: read_tensors(folder / f"{name}.safetensors")[0] for name in NAMES}


def same(one, other):
    return all(torch.equal(one[name][key], other[name][key]) for name in one for key in one[name])


FREEZE = [word for player in ("generator", "discriminator") for word in ("--set", f"optimizer.{player}.lr=0.0")]


def test_a_run_begins_with_the_weights_of_its_start_and_fresh_optimizers(start, ganforge, tmp_path):
    result = ganforge("run", "next.toml", *FREEZE)
    assert result.status == 0, result.err
    run = tmp_path / "runs" / "next" / "0001"
    newest = run / "checkpoints" / "step-00000002"
    assert same(weights(newest), weights(start))
    steps = load_training(newest)["players"]["generator"]["optimizer"]["state"]
    assert {int(state["step"]) for state in steps.values()} == {2}
    lock = tomllib.loads((run / "recipe.lock.toml").read_text())
    digests = json.loads((start / "state.json").read_text())["files"]
    assert lock["lock"]["start"] == {name: digests[f"{name}.safetensors"] for name in NAMES}
    assert lock["train"]["start"] == str(start)
    passed_on = tomllib.loads(read_passed_on(newest))
    assert passed_on["train"]["start"] == "weights"


def read_passed_on(folder):
    return read_tensors(folder / "G_AB.safetensors")[1]["recipe"]


@pytest.mark.parametrize("what", ["run", "pointer", "checkpoint", "file"])
def test_a_start_may_be_a_run_a_checkpoint_or_a_file_of_it(what, first, start, ganforge, tmp_path):
    places = {
        "run": first,
        "pointer": first / "checkpoints" / "latest",
        "checkpoint": first / "checkpoints" / "step-00000008",
        "file": start / "G_BA.safetensors",
    }
    result = ganforge("run", "next.toml", "--set", f"train.start={places[what]}", *FREEZE)
    assert result.status == 0, result.err
    assert same(weights(tmp_path / "runs" / "next" / "0001" / "checkpoints" / "step-00000002"), weights(start))


def test_the_path_is_relative_to_the_file_that_names_it(start, ganforge, tmp_path, monkeypatch):
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "child.toml").write_text('extends = "../next.toml"\n')
    assert ganforge("validate", "deeper/child.toml").status == 0
    monkeypatch.chdir(tmp_path / "deeper")
    assert ganforge("validate", "child.toml").status == 0
    override = ganforge("validate", "child.toml", "--set", "train.start=weights")
    assert override.status == 2
    assert f"train.start: no run at '{tmp_path}/deeper/weights'" in override.err.replace("\n", "")
    assert ganforge("validate", "child.toml", "--set", "train.start=").status == 0  # an inherited one left out


def test_resume_does_not_need_the_start_and_goes_on_bit_for_bit(start, ganforge, tmp_path):
    assert ganforge("run", "next.toml", "--set", "train.steps=4", "--out", "whole").status == 0
    assert ganforge("run", "next.toml", "--out", "parted").status == 0
    shutil.rmtree(start)
    result = ganforge("resume", "parted/next/0001", "--set", "train.steps=4")
    assert result.status == 0, result.err
    assert "warning" not in result.err
    one, other = (tmp_path / out / "next" / "0001" for out in ("whole", "parted"))
    assert same(*(weights(run / "checkpoints" / "step-00000004") for run in (one, other)))
    locks = [tomllib.loads((run / "recipe.lock.toml").read_text())["lock"]["start"] for run in (one, other)]
    assert locks[0] == locks[1]
    assert sorted(locks[0]) == sorted(NAMES)


def test_what_does_not_fit_is_named_tensor_by_tensor_where_the_start_is_named(start, ganforge, tmp_path):
    result = ganforge("run", "next.toml", "--set", "generator.hidden=4", "--set", "discriminator.hidden=4")
    assert result.status == 2
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 13
    assert lines[0].startswith("error: next.toml:")
    assert "train.start: G_AB.layers.0.0.bias is float32 [8] there, and float32 [4] here" in lines[0]
    assert lines[-1].endswith("more tensors that do not fit; set train.start_lenient = true to start without")
    assert not (tmp_path / "runs").exists()


def test_networks_that_the_start_lacks_are_an_error_or_begin_anew(start, ganforge, tmp_path):
    (start / "D_A.safetensors").unlink()
    for command in ("validate", "run"):
        refused = ganforge(command, "next.toml")
        assert refused.status == 2
        assert "does not contain D_A; set train.start_lenient = true to start without" in refused.err
    lenient = ["--set", "train.start_lenient=true", "--set", "generator.BA={hidden=4}"]
    result = ganforge("run", "next.toml", *lenient, *FREEZE)
    assert result.status == 0, result.err
    assert "train.start: missing, so trained from scratch: D_A" in result.out
    assert "left out: G_BA.layers.0.0.bias is float32 [8] there, and float32 [4] here" in result.out
    found = weights(tmp_path / "runs" / "next" / "0001" / "checkpoints" / "step-00000002")
    before = read_tensors(start / "D_B.safetensors")[0]
    assert all(torch.equal(found["D_B"][key], before[key]) for key in before)
    lock = tomllib.loads((tmp_path / "runs" / "next" / "0001" / "recipe.lock.toml").read_text())
    assert sorted(lock["lock"]["start"]) == ["D_B", "G_AB", "G_BA"]


def test_a_network_of_another_training_is_named(start, ganforge, tmp_path):
    other = ganforge("run", "next.toml", "--set", "train.seed=3", "--out", "other")
    assert other.status == 0, other.err
    newest = tmp_path / "other" / "next" / "0001" / "checkpoints" / "step-00000002"
    shutil.copy(newest / "D_A.safetensors", start / "D_A.safetensors")
    refused = ganforge("run", "next.toml", "--set", "train.start=weights/G_AB.safetensors")
    assert refused.status == 2
    assert "D_A.safetensors' is from another training or step than" in refused.err
    (start / "state.json").unlink()
    missing = ganforge("run", "next.toml", "--set", "train.start=weights/G_AB.safetensors")
    assert "state.json is damaged: the file is missing" in missing.out + missing.err


def test_a_locked_recipe_whose_start_changed_says_that_it_repeats_nothing(start, ganforge, tmp_path):
    assert ganforge("run", "next.toml").status == 0
    lock = "runs/next/0001/recipe.lock.toml"
    again = ganforge("run", lock)
    assert again.status == 0
    assert "does not repeat" not in again.out + again.err
    other = ganforge("run", "next.toml", "--set", "train.seed=3", "--out", "other")
    assert other.status == 0
    shutil.rmtree(start)
    shutil.copytree(tmp_path / "other" / "next" / "0001" / "checkpoints" / "step-00000002", start)
    changed = ganforge("run", lock)
    assert changed.status == 0
    assert "this does not repeat the locked run: G_AB has changed since the run began: it was " in changed.out


def test_a_start_of_which_nothing_fits_or_that_is_damaged_is_refused_even_leniently(start, ganforge):
    words = ("run", "next.toml", "--set", "train.start_lenient=true")
    (start / "G_AB.safetensors").unlink()
    (start / "D_B.safetensors").unlink()
    refused = ganforge(*words, "--set", "coupling.use=gan", "--set", "losses.reconstruction=false")
    assert refused.status == 2
    assert f"train.start: nothing in '{start}' fits the networks of the recipe" in refused.err.replace("\n", "")
    for name in ("G_BA", "D_A"):
        (start / f"{name}.safetensors").write_bytes(b"damaged")
    refused = ganforge(*words)
    assert refused.status == 2
    assert ".safetensors is not a weights file, or is damaged" in refused.err


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("nowhere", "no run at"),
        ("12", "expected text, got 12"),
        ("strange:thing", "no run at 'strange:thing'"),
        (".", "is neither a run nor a checkpoint"),
    ],
)
def test_a_start_that_is_none_is_a_located_error(value, problem, start, ganforge, tmp_path):
    for command in ("validate", "run") if value != "strange:thing" else ("run",):
        result = ganforge(command, "next.toml", "--set", f"train.start={value}")
        assert result.status == 2
        assert "train.start: " in result.err
        assert problem in result.err.replace("\n", "")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_comparison_of_recipes_that_start_goes_on_where_it_was(start, ganforge, tmp_path):
    words = ("compare", "next.toml", "--seeds", "1", "--set", "compute.threads=1", "--jobs", "1")
    result = ganforge(*words)
    assert result.status == 2
    assert result.err == "error: next.toml: no evaluations, so nothing to compare; add a table [evaluations.NAME]\n"
    words += ("--set", "evaluations.modes.use=mode-coverage")
    result = ganforge(*words)
    assert result.status == 0, result.err
    lock = tmp_path / "comparison" / "seed-0" / "next" / "0001" / "recipe.lock.toml"
    assert sorted(tomllib.loads(lock.read_text())["lock"]["start"]) == sorted(NAMES)
    before = lock.stat().st_mtime_ns
    assert ganforge(*words).status == 0
    assert lock.stat().st_mtime_ns == before
    other = ganforge(*words, "--set", "train.start=")
    assert other.status == 2
    assert "train.start" in other.err


PLUGIN = """
import torch
from attrs import frozen
from torch import nn
from ganforge import Dataset, Depth, Picture, PictureDataset, Stored, hookimpl

class Learnt(nn.Module):
    def __init__(self, *, size: int = 2):
        super().__init__()
        self.point = nn.Parameter(torch.ones(size))
        self.register_buffer("seen", torch.zeros(1))
    def generator(self, fake):
        self.seen.add_(1)
        return (fake.mean() - self.point).square().sum()

@frozen
class Grey(PictureDataset):
    high: float = 255.0
    @property
    def shapes(self):
        return {"A": (1, 16, 16), "B": (1, 16, 16)}
    @property
    def depths(self):
        return {"A": Depth(), "B": Depth("uint16", 0, self.high)}
    def read(self, domain, path):
        raise NotImplementedError
    def open(self, split):
        return {name: Stored(8, torch.zeros(8, 1, 16, 16, dtype=torch.uint8).__getitem__) for name in "AB"}

@hookimpl
def ganforge_register(register):
    register.loss("learnt", Learnt)
    register.dataset("grey", Grey)
"""


@pytest.fixture
def pictures(tmp_path, ganforge):
    """A recipe for pictures whose loss learns something, and a run of it."""
    (tmp_path / "own.py").write_text(PLUGIN)
    text = TOY.replace('use = "mixture"', 'use = "grey"').replace("hidden = 8", "width = 2").replace('"mlp"', '"conv"')
    text = text.replace("batch = 16", "batch = 4").replace("steps = 8", "steps = 2")
    (tmp_path / "grey.toml").write_text(f'plugins = ["own.py"]\n{text}[losses.learnt]\nuse = "learnt"\n')
    assert ganforge("run", "grey.toml").status == 0
    return tmp_path / "runs" / "grey" / "0001"


def test_what_losses_hold_is_taken_over_where_it_fits(pictures, ganforge):
    before = load_training(pictures / "checkpoints" / "step-00000002")["held"]["losses.learnt.AB"]
    assert before["seen"] == 2
    words = ("run", "grey.toml", "--set", f"train.start={pictures}", *FREEZE)
    result = ganforge(*words)
    assert result.status == 0, result.err
    after = load_training(pictures.parent / "0002" / "checkpoints" / "step-00000002")["held"]["losses.learnt.AB"]
    assert after["seen"] == 4
    assert torch.equal(after["point"], before["point"])
    other = ganforge(*words, "--set", "losses.learnt.size=3")
    assert other.status == 0, other.err
    assert "train.start: the state of losses.learnt.AB has another form there, so it starts from scratch" in other.out
    anew = load_training(pictures.parent / "0003" / "checkpoints" / "step-00000002")["held"]["losses.learnt.AB"]
    assert torch.equal(anew["point"], torch.ones(3))


def test_another_range_of_values_is_warned_of(pictures, ganforge):
    result = ganforge("run", "grey.toml", "--set", f"train.start={pictures}", "--set", "dataset.high=4095")
    assert result.status == 0, result.err
    there, here = "1 channel of uint16 from 0 to 255", "1 channel of uint16 from 0 to 4095"
    assert f"train.start: the pictures of domain B there have {there}, those of B here {here}" in result.out
    assert "pictures of domain A" not in result.out
