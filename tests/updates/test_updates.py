"""Averaged weights, clipped gradients and weights, and batches larger than the memory."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.func import functional_call

from ganforge.runs.opening import create
from ganforge_updates.updates import EMA, Accumulate, Clip
from tests.conftest import TOY
from tests.proof.harness import CPU, Case, assert_recorded, assert_resumes

LEARNED = Path(__file__).parents[1] / "proof" / "methods" / "learned.py"
HEAD = '[losses.contrast]\nuse = "projected"\ninputs = 2\n'


def averages(ema: EMA, weights: list[float]) -> list[float]:
    """Let the weight of a network take values, one in each step, and return its average after each of them."""
    network, found = nn.Linear(1, 1, bias=False), []
    for weight in weights:
        with torch.no_grad():
            network.weight.fill_(weight)
            ema.after("generator", {"G": network})
        found.append(float(ema.shown("G")["weight"]))
    return found


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"decay": 0.5, "warm_up": 0.0}, [1, 1.5, 2.75]),
        ({"half_life": 1.0, "warm_up": 0.0}, [1, 1.5, 2.75]),
        ({"half_life": 2.0, "warm_up": 0.0}, [1, 2 - 0.5**0.5, 4 - 2**0.5 - 0.5]),
        ({"decay": 0.9, "warm_up": 10.0}, [1, 20 / 11, 1 / 4 * 20 / 11 + 3 / 4 * 4]),  # at most 2/11, 3/12
        ({"decay": 0.2, "warm_up": 10.0}, [1, 20 / 11, 0.2 * 20 / 11 + 0.8 * 4]),
        ({"decay": 0.0}, [1, 2, 4]),
    ],
    ids=str,
)
def test_an_average_moves_as_worked_out_by_hand(settings, expected):
    assert averages(EMA(**settings), [1.0, 2.0, 4.0]) == pytest.approx(expected, rel=1e-6)


def test_averages_are_shown_while_training_goes_on_with_the_weights(understand, plugins, make_engine, toy, tmp_path):
    sets = ("compute.precision=fp32", "train.steps=4", "record.sample_every=2")
    run = create(
        understand(toy, *sets, "updates.ema={use='ema', decay=0.5, warm_up=0}"), plugins, tmp_path / "out", CPU
    )
    run.build()
    run.train()
    plain, batches = make_engine(toy, *sets, "compute.compile=false")
    average = {}
    for step in range(4):
        plain.step(step, batches(step))
        for name in ("G_AB", "D_B"):
            now = copy.deepcopy(plain.networks[name].state_dict())
            if name == "G_AB" and step:
                now = {key: (average[name][key] + value) / 2 for key, value in now.items()}
            average[name] = now

    saved = {name: load_file(next(run.folder.glob(f"checkpoints/step-00000004/{name}.*"))) for name in average}
    for name, weights in average.items():
        for key, value in weights.items():
            torch.testing.assert_close(saved[name][key], value)
        for key, value in plain.networks[name].state_dict().items():
            assert torch.equal(run.engine.networks[name].state_dict()[key], value)  # looked at, and not moved
    with run.sample() as (ab, _):
        torch.testing.assert_close(ab["fake"], functional_call(plain.networks["G_AB"], average["G_AB"], ab["source"]))
    run.close()


@pytest.mark.parametrize(
    "more",
    [
        pytest.param('[updates.ema]\nuse = "ema"\nhalf_life = 3.0\n', marks=pytest.mark.slow),
        pytest.param('[updates.clip]\nuse = "clip"\nnorm = 0.1\nweights = 0.5\n', marks=pytest.mark.slow),
        '[updates.turns]\nuse = "accumulate"\nturns = 2\n',  # stopped between the turns
        '[updates.turns]\nuse = "accumulate"\nturns = 3\nplayers = ["generator"]\n[updates.ema]\nuse = "ema"\n',
    ],
    ids=["ema", "clip", "accumulate", "both"],
)
def test_a_run_that_is_stopped_ends_with_the_same_bits(more, ganforge, tmp_path):
    case = Case(TOY + HEAD + more, tmp_path, LEARNED)
    assert_resumes(case, ganforge, tmp_path)


def test_steps_with_updates_are_recorded_all_the_same(tmp_path):
    more = '[updates.clip]\nuse = "clip"\nnorm = 0.1\n[updates.turns]\nuse = "accumulate"\nturns = 2\n'
    case = Case(TOY + HEAD + more + '[updates.ema]\nuse = "ema"\n', tmp_path, LEARNED)
    assert assert_recorded(case) == ""


def test_gradients_are_clipped_by_norm_and_by_value():
    parameters = [nn.Parameter(torch.zeros(())) for _ in range(3)]
    for limit, expected in (({"norm": 1.0}, [0.6, -0.8]), ({"value": 3.5}, [3.0, -3.5]), ({"norm": 9.0}, [3.0, -4.0])):
        parameters[0].grad, parameters[1].grad = torch.tensor(3.0), torch.tensor(-4.0)
        assert Clip(**limit).before(parameters)
        assert [float(p.grad) for p in parameters[:2]] == pytest.approx(expected, rel=1e-5)


def test_the_clipped_gradient_is_the_one_that_is_used(toy, make_engine):
    clip = "updates.clip={use='clip', norm=0.01, players=['discriminator']}"
    engine, batches = make_engine(toy, clip, "optimizer.use=sgd", "optimizer.lr=1.0")
    before = {name: copy.deepcopy(network.state_dict()) for name, network in engine.networks.items()}
    engine.step(0, batches(0))
    moved = {
        letter: sum(
            float((value - before[name][key]).square().sum())
            for name, network in engine.networks.items()
            if name.startswith(letter)
            for key, value in network.state_dict().items()
        )
        ** 0.5
        for letter in "DG"
    }
    assert moved["D"] == pytest.approx(0.01, rel=1e-3)
    assert moved["G"] > 0.1


def test_weights_are_clipped_for_the_players_that_are_named(toy, make_engine):
    engine, batches = make_engine(toy, "updates.clip={use='clip', weights=0.01, players=['discriminator']}")
    engine.step(0, batches(0))
    largest = {
        name: max(float(p.detach().abs().max()) for p in net.parameters()) for name, net in engine.networks.items()
    }
    assert largest["D_A"] == largest["D_B"] == pytest.approx(0.01)
    assert largest["G_AB"] > 0.01 < largest["G_BA"]


@pytest.mark.parametrize("clip", [False, True], ids=["alone", "clipped"])
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_two_turns_of_four_are_one_of_eight(player, clip, toy, make_engine):
    other = {"discriminator": "generator", "generator": "discriminator"}[player]
    sets = [f"train.every.{other}=1000", "optimizer.use=sgd", "optimizer.lr=0.1"]
    more = ["updates.clip={use='clip', norm=0.1}"] if clip else []
    whole, batches = make_engine(toy, *sets, *more, "train.batch=8")
    parted, _ = make_engine(toy, *sets, "updates.turns={use='accumulate', turns=2}", *more, "train.batch=4")
    for step in range(1, 4):
        batch = batches(step)
        whole.step(step, batch)
        before = copy.deepcopy(parted.networks["D_A"].state_dict())
        parted.step(2 * step - 1, {name: samples[:4] for name, samples in batch.items()})
        assert all(torch.equal(value, before[key]) for key, value in parted.networks["D_A"].state_dict().items())
        parted.step(2 * step, {name: samples[4:] for name, samples in batch.items()})
    for name, network in whole.networks.items():
        for key, value in network.state_dict().items():
            torch.testing.assert_close(parted.networks[name].state_dict()[key], value, rtol=1e-5, atol=1e-6)


def test_accumulating_goes_with_scaled_gradients(toy, make_engine):
    sets = ["updates.turns={use='accumulate', turns=2}", "optimizer.use=sgd", "optimizer.lr=0.1"]
    half, batches = make_engine(toy, *sets, "compute.precision=fp16")
    full, _ = make_engine(toy, *sets, "compute.precision=fp32")
    first = copy.deepcopy(half.networks["G_AB"].state_dict())
    for player in half.players.values():
        player.scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    for step in range(4):
        half.step(step, batches(step))
        full.step(step, batches(step))
        moved = any(not torch.equal(first[key], value) for key, value in half.networks["G_AB"].state_dict().items())
        assert moved == (step > 0)
    for key, value in full.networks["G_AB"].state_dict().items():
        torch.testing.assert_close(half.networks["G_AB"].state_dict()[key], value, rtol=0.02, atol=0.02)


def test_an_overflow_in_a_turn_leaves_nothing_behind(toy, make_engine):
    engine, batches = make_engine(toy, "updates.turns={use='accumulate', turns=2}", "compute.precision=fp16")
    for player in engine.players.values():
        player.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120)
    engine.step(0, {name: 1e3 * samples for name, samples in batches(0).items()})
    assert all(player.pending is None for player in engine.players.values())
    assert all(player.scaler.get_scale() < 2.0**120 for player in engine.players.values())
    for step in range(1, 200):
        engine.step(step, batches(step))
    assert all(torch.isfinite(p).all() for network in engine.networks.values() for p in network.parameters())
    assert engine.networks["D_A"].judge.weight.grad is not None


def test_a_count_that_is_restored_goes_on():
    turns = Accumulate(turns=3)
    parameters = [nn.Parameter(torch.zeros(()))]
    assert not turns.before("generator", parameters)
    other = Accumulate(turns=3)
    other.register_buffer("generator", turns.get_buffer("generator").clone())
    assert [other.before("generator", parameters) for _ in range(5)] == [False, True, False, False, True]
