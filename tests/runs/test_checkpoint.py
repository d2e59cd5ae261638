"""Checkpoints: whole or absent, exact, and refused by name where damaged."""

import json

import pytest
import torch
from torch import nn

from ganforge.errors import InputError, PluginError
from ganforge.runs import checkpoint
from ganforge.system.folder import Folder
from ganforge.training.state import random_state, set_random_state


def save(parent, step, networks, training):
    """Write a checkpoint into a folder."""
    with Folder(parent) as folder:
        weights = {name: network.state_dict() for name, network in networks.items()}
        return checkpoint.save(folder, step, weights, training, "# recipe")


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of one network and its optimizer after a step."""
    network = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(network.parameters(), betas=(0.5, 0.9))
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    training = {"optimizer": optimizer.state_dict(), "random": random_state()}
    return save(tmp_path, 7, {"G": network}, training), network, optimizer


def test_optimizer_and_random_state_come_back_exactly(saved):
    folder, network, optimizer = saved
    training = checkpoint.load_training(folder)
    assert checkpoint.read_step(folder) == 7
    fresh = torch.optim.Adam(network.parameters())
    fresh.load_state_dict(training["optimizer"])
    expected, found = optimizer.state_dict(), fresh.state_dict()
    assert found["param_groups"] == expected["param_groups"]
    assert found["param_groups"][0]["betas"] == (0.5, 0.9)
    for index, state in expected["state"].items():
        assert all(torch.equal(found["state"][index][key], value) for key, value in state.items())
    expected = torch.rand(3)
    set_random_state(training["random"])
    assert torch.equal(torch.rand(3), expected)


def test_a_failed_write_leaves_the_older_checkpoint_and_no_half_one(saved, monkeypatch):
    folder, network, _ = saved

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint.safetensors.torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save(folder.parent, 8, {"G": network}, {})
    assert checkpoint.pointed(folder.parent, "latest") == folder
    assert [path.name for path in folder.parent.glob("step-*")] == ["step-00000007"]


def test_pruning_never_takes_the_checkpoint_just_written(saved):
    folder, network, _ = saved
    for step in (8, 9, 5):
        newest = save(folder.parent, step, {"G": network}, {})
        with Folder(folder.parent) as parent:
            checkpoint.prune(parent, newest.name, keep=2)
    assert checkpoint.pointed(folder.parent, "latest").name == "step-00000005"
    assert checkpoint.pointed(folder.parent, "latest").is_dir()


@pytest.mark.parametrize(
    "damage", ["{", "[]", "{}", '{"format": "99", "step": 1, "training": {}}', "[" * 100_000, None]
)
def test_a_damaged_state_is_named(saved, damage):
    folder, _, _ = saved
    (folder / "state.json").unlink()
    if damage is not None:
        (folder / "state.json").write_text(damage)
    with pytest.raises(InputError, match=r"state\.json is damaged"):
        checkpoint.load_training(folder)


def test_damaged_tensors_are_named(saved):
    folder, _, _ = saved
    path = folder / "training.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=f"{path} cannot be read"):
        checkpoint.load_training(folder)


def test_a_flipped_bit_anywhere_is_found_or_harmless(saved):
    """Every 7th byte of every file, one bit each: it is refused, or what is loaded is what was saved."""
    folder, network, _ = saved
    expected = {key: value.clone() for key, value in network.state_dict().items()}
    training = checkpoint.pack(checkpoint.load_training(folder), first := {})
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for place in range(0, len(whole), 7):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << (place % 8)
            path.write_bytes(damaged)
            try:
                checkpoint.verify(folder)
                checkpoint.load_weights(folder / "G.safetensors", network)
                again = checkpoint.pack(checkpoint.load_training(folder), second := {})
            except InputError as error:
                assert path.name in str(error)  # noqa: PT017
                continue
            assert again == training
            assert all(torch.equal(value, second[key]) for key, value in first.items())
            assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())
        path.write_bytes(whole)
    checkpoint.verify(folder)


def test_a_file_of_another_checkpoint_is_refused(saved):
    folder, network, _ = saved
    with torch.no_grad():
        network.weight.add_(1)
    other = save(folder.parent, 8, {"G": network}, {})
    (other / "G.safetensors").rename(folder / "G.safetensors")
    with pytest.raises(InputError, match=r"G\.safetensors belongs to another checkpoint"):
        checkpoint.verify(folder)


def test_the_newest_sound_checkpoint_is_found_and_the_damaged_ones_are_named(saved):
    folder, network, _ = saved
    for step in (8, 9):
        newest = save(folder.parent, step, {"G": network}, {})
        (newest / "G.safetensors").write_bytes(b"")
    said = []
    assert checkpoint.newest_sound(folder.parent, said.append) == folder
    assert ["step-00000009" in line or "step-00000008" in line for line in said] == [True, True]
    (folder / "state.json").unlink()
    with pytest.raises(InputError, match="step-00000007"):
        checkpoint.newest_sound(folder.parent, said.append)


def test_the_recipe_is_in_the_weights(saved):
    folder, _, _ = saved
    assert checkpoint.read_recipe(folder / "G.safetensors") == "# recipe"
    assert json.loads((folder / "state.json").read_text())["step"] == 7


def test_what_a_checkpoint_cannot_hold_is_named():
    with pytest.raises(PluginError, match="a checkpoint cannot hold a set; keep tensors, numbers, text"):
        checkpoint.pack({"seen": [1, {2, 3}]}, {})
