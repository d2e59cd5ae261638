"""How translations turn: numbers worked out by hand, and what the regressor finds in translators that are known."""

import importlib
import json
import math
from functools import partial
from math import sqrt

import pytest
import torch
from attrs import evolve
from torch import nn

from ganforge import InputError
from tests.conftest import as_trained

azimuth = importlib.import_module("ganforge_evaluations.azimuth")
learnt = importlib.import_module("ganforge_evaluations.learnt")

ELEVEN = torch.arange(-75, 76, 15).repeat(12).double()  # twelve models from eleven angles
TURN = torch.arange(0, 360, 15).repeat(4).double()


def test_a_translation_that_turns_with_its_input_is_on_the_line():
    assert azimuth.measure(ELEVEN, ELEVEN) == {
        "rmse": 0,
        "mirrored": 0,
        "correlation": pytest.approx(1),
        "angle_spread": pytest.approx(1),
        "clusters": 11,
    }


def test_a_translation_that_turns_against_its_input_is_on_the_mirrored_line():
    found = azimuth.measure(ELEVEN, 5 - ELEVEN)
    assert found["rmse"] == pytest.approx(5)
    assert (found["mirrored"], found["correlation"]) == (1, pytest.approx(-1))
    assert (found["angle_spread"], found["clusters"]) == (pytest.approx(1), 11)


def test_three_angles_by_hand():
    # Errors 10, 0, 10. Deviations -30, 0, 30 and -80/3, -20/3, 100/3: squares sum to 1800 and 16800/9, products to 1800.
    found = azimuth.measure(torch.tensor([-30.0, 0.0, 30.0]), torch.tensor([-20.0, 0.0, 40.0]))
    assert found["rmse"] == pytest.approx(sqrt(200 / 3))
    assert found["correlation"] == pytest.approx(1800 / sqrt(1800 * 16800 / 9))
    assert found["angle_spread"] == pytest.approx(sqrt(16800 / 9 / 1800))


@pytest.mark.parametrize("angle", [0.0, 40.0, -180.0])
def test_a_constant_has_neither_correlation_nor_spread_and_reaches_one_angle(angle):
    found = azimuth.measure(ELEVEN, torch.full_like(ELEVEN, angle))
    assert (found["correlation"], found["angle_spread"], found["clusters"]) == (0, 0, 1)
    if angle == 0:
        assert found["rmse"] == pytest.approx(sqrt(2250))  # 15² x (1 + 4 + 9 + 16 + 25) x 2 / 11


def test_a_collapse_onto_two_angles_reaches_two():
    found = azimuth.measure(ELEVEN, torch.where(ELEVEN < 0, -41.0, 42.0))
    assert found["clusters"] == 2
    assert found["correlation"] > 0.8  # why correlation alone does not tell


def test_an_angle_is_reached_by_half_of_its_fair_share():
    true = torch.tensor([0.0] * 10 + [30.0] * 10)
    for count, reached in ((5, 2), (4, 1)):
        predicted = torch.tensor([1.0] * (20 - count) + [29.0] * count)
        assert azimuth.measure(true, predicted)["clusters"] == reached


@pytest.mark.parametrize("offset", [0.0, 7.0, -9.0])
def test_a_full_turn_is_compared_around_the_circle(offset):
    found = azimuth.measure(TURN, TURN + offset + 360)
    assert found["rmse"] == pytest.approx(abs(offset))
    assert (found["mirrored"], found["correlation"]) == (0, pytest.approx(1))
    assert (found["angle_spread"], found["clusters"]) == (pytest.approx(1, abs=0.01), pytest.approx(24))
    found = azimuth.measure(TURN, offset - TURN)
    assert found["rmse"] == pytest.approx(abs(offset))
    assert (found["mirrored"], found["correlation"]) == (1, pytest.approx(-1))


def test_a_constant_or_chance_has_no_correlation_with_a_full_turn():
    found = azimuth.measure(TURN, torch.full_like(TURN, 179.0))
    assert (found["correlation"], found["angle_spread"], found["clusters"]) == (0, 0, 1)
    true = torch.arange(0, 360, 15).repeat(100).double()
    chance = 360 * torch.rand(2400, generator=torch.Generator().manual_seed(0))
    assert abs(azimuth.measure(true, chance)["correlation"]) < 0.05


def test_inputs_from_one_angle_give_no_correlation_and_nothing_that_is_not_a_number():
    found = azimuth.measure(torch.full((4,), 30.0), torch.tensor([10.0, 20.0, 30.0, 40.0]))
    assert (found["correlation"], found["angle_spread"]) == (0, 0)


def test_a_prediction_that_is_no_number_leaves_nothing_to_measure():
    found = azimuth.measure(torch.tensor([0.0, 30.0]), torch.tensor([0.0, math.nan]))
    assert len(found) == 5
    assert all(map(math.isnan, found.values()))


@pytest.mark.parametrize("label", [None, "left", math.inf])
def test_an_azimuth_that_is_no_number_is_named(label):
    with pytest.raises(InputError, match="the label 'azimuth' of domain A is not a number"):
        azimuth._degrees(label, "A")


def test_angles_survive_as_sine_and_cosine():
    angles = torch.tensor([-179.0, -90.0, 0.0, 15.0, 179.0])
    assert azimuth.to_degrees(3 * azimuth.to_units(angles)).tolist() == pytest.approx(angles.tolist())


class Flip(nn.Module):
    """Mirror a picture, which turns a symmetric thing to the opposite angle."""

    def forward(self, pictures):
        return pictures.flip(-1)


class Constant(nn.Module):
    """The same picture for every input."""

    def forward(self, pictures):
        return pictures[:1].expand_as(pictures) * 0 + torch.linspace(0, 1, pictures.shape[-1])


@pytest.fixture
def translator(tmp_path, understand):
    """Known networks as if they had been trained on a few small turntable cars."""

    def call(networks, **settings):
        path = tmp_path / "turning.toml"
        table = {"use": "turntable", "size": 32, "models": 6, "test_models": 3, "step": 30.0, **settings}
        path.write_text(
            'extends = "base_64.toml"\n[dataset]\n' + "\n".join(f"{key} = {json.dumps(v)}" for key, v in table.items())
        )
        plan = understand(path)
        return as_trained(plan, networks, 7)

    return call


def evaluate(trained, **settings):
    with trained.evaluating():
        found = azimuth.azimuth(trained, **{"width": 8, "steps": 80, **settings})
        return found.metrics, {name: draw() for name, draw in found.figures.items()}


def test_an_identity_is_as_good_as_the_regressor_and_a_mirror_image_is_mirrored(translator):
    metrics, figures = evaluate(translator({"G_AB": nn.Identity(), "G_BA": Flip()}))
    assert metrics["rmse_AB"] == metrics["rmse"] == pytest.approx(metrics["regressor_rmse_A"], abs=1e-3)
    assert metrics["regressor_rmse_A"] < 25  # chance has 51
    assert (metrics["mirrored_AB"], metrics["mirrored_BA"]) == (0, 1)
    assert metrics["rmse_BA"] < 30
    assert metrics["correlation_AB"] == metrics["correlation"] > 0.9
    assert metrics["correlation_BA"] < -0.9
    assert set(metrics) == {
        *(
            f"{name}_{way}"
            for name in ("rmse", "mirrored", "correlation", "angle_spread", "clusters", "model_share")
            for way in ("AB", "BA")
        ),
        *("rmse", "correlation", "regressor_rmse_A", "regressor_rmse_B", "model_share_A", "model_share_B"),
    }
    assert metrics["model_share_AB"] == pytest.approx(metrics["model_share_A"])  # the inputs themselves
    assert 0.1 < metrics["model_share_A"] < 0.6
    assert [len(figures["azimuth"].axes), len(figures["turning"].axes)] == [2, 4]
    assert [label.get_text() for label in figures["turning"].axes[0].get_yticklabels()] == ["A", "to B", "and back"]


def test_a_rehearsal_learns_for_one_step(translator, monkeypatch):
    steps = []
    monkeypatch.setattr(azimuth, "learn", lambda *given, **settings: steps.append(settings["steps"]) or ZERO)
    trained = evolve(translator({"G_AB": nn.Identity()}, models=2, test_models=1, step=75.0), rehearsal=16)
    with trained.evaluating():
        azimuth.azimuth(trained)
    assert steps == [1]


def test_what_numbers_are_based_on_stands_beside_them(translator, monkeypatch):
    monkeypatch.setattr(azimuth, "learn", lambda *_, **__: ZERO)
    with (trained := translator({"G_AB": nn.Identity()}, models=4, test_models=1, step=75.0)).evaluating():
        found = azimuth.azimuth(trained, probes=2)
    assert found.about == {"pictures_AB": 2, "learnt_from_A": 12, "learnt_from_B": 12}


def test_a_collapse_onto_one_picture_shows(translator):
    metrics, figures = evaluate(translator({"G_AB": Constant()}))
    assert (metrics["correlation"], metrics["angle_spread_AB"], metrics["clusters_AB"]) == (0, 0, 1)
    assert "rmse_BA" not in metrics
    assert [label.get_text() for label in figures["turning"].axes[0].get_yticklabels()] == ["A", "to B"]


def test_one_regressor_learns_from_both_domains_where_they_show_the_same_kind_of_thing(translator, monkeypatch):
    learnt_from = []
    monkeypatch.setattr(azimuth, "learn", lambda pictures, *rest, **settings: learnt_from.append(len(pictures)) or ZERO)
    small = {"models": 2, "test_models": 1, "step": 75.0}
    for settings, expected in (({}, [12]), ({"b": "head"}, [6, 6])):
        learnt_from.clear()
        evaluate(translator({"G_AB": nn.Identity()}, **small, **settings))
        assert learnt_from == expected
    learnt_from.clear()
    evaluate(translator({"G_AB": nn.Identity()}, **small), shared=False)
    assert learnt_from == [6, 6]


class Zero(nn.Module):
    def forward(self, pictures):
        return torch.tensor([[0.0, 1.0]]).expand(len(pictures), 2)


ZERO = Zero()


def test_fewer_probes_and_grey_pictures_of_a_full_turn(translator):
    trained = translator({"G_AB": nn.Identity()}, channels=1, angles=[-180.0, 150.0], models=2)
    metrics, figures = evaluate(trained, probes=9, steps=1)
    assert metrics["clusters_AB"] <= 9
    assert len(figures["turning"].axes) >= 1


def test_points_and_pictures_without_azimuth_are_refused(toy, pairs, tmp_path, understand):
    other = tmp_path / "other.toml"
    other.write_text(f'extends = "discogan_edges2shoes"\n[dataset]\nroot = "{pairs}"\nsize = 16')
    for path in (toy, other):
        plan = understand(path)
        trained = as_trained(plan, {"G_AB": nn.Identity()}, 0)
        with pytest.raises(InputError, match=r"label 'azimuth', as in the data sets 'azimuth' and 'turntable'"):
            evaluate(trained)


def some_pictures():
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (20, 3, 12, 20), generator=random).byte(), torch.rand(20, 2, generator=random)


def test_the_same_data_give_the_same_network_and_random_numbers_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "one"))
    pictures, targets = some_pictures()
    learn = partial(learnt.learn, pictures, targets, nn.functional.mse_loss, width=4)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.no_grad():
        first = learn(steps=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert learn(steps=3) is first
    assert learn(steps=4) is not first
    learnt._kept.clear()
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "another"))
    with torch.random.fork_rng():
        torch.manual_seed(99)
        again = learn(steps=3)
    assert again is not first
    assert torch.equal(learnt.read(again, pictures), learnt.read(first, pictures))
    assert not torch.equal(learnt.read(first, pictures)[0], learnt.read(first, pictures)[1])


def test_another_process_finds_the_network_in_the_cache_and_a_damaged_one_is_learnt_again(tmp_path, monkeypatch):
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path))
    pictures, targets = some_pictures()
    trainings, train = [], learnt._train
    monkeypatch.setattr(learnt, "_train", lambda *given: trainings.append(1) or train(*given))

    def read(of=pictures):
        learnt._kept.clear()  # as another process has it
        network = learnt.learn(of, targets, nn.functional.mse_loss, width=4, steps=3)
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
        return learnt.read(network, pictures)

    first = read()
    assert torch.equal(read(), first)
    assert trainings == [1]
    (file,) = tmp_path.glob("learnt/*.safetensors")
    file.write_bytes(file.read_bytes()[:-1] + b"\x55")
    assert torch.equal(read(), first)
    assert trainings == [1, 1]
    assert not torch.equal(read(255 - pictures), first)
    assert trainings == [1, 1, 1]


def test_a_cache_that_cannot_be_written_is_none(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "file"))
    pictures, targets = some_pictures()
    learnt._kept.clear()
    network = learnt.learn(pictures, targets, nn.functional.mse_loss, width=4, steps=3)
    assert learnt.read(network, pictures).shape == (20, 2)


def test_a_few_networks_are_kept_and_the_oldest_one_goes():
    pictures, targets = some_pictures()
    for width in range(1, learnt.KEPT + 2):
        learnt.learn(pictures, targets, nn.functional.mse_loss, width=width, steps=1)
    assert len(learnt._kept) == learnt.KEPT


def test_it_reads_bytes_and_floats_alike_in_any_number():
    pictures, targets = some_pictures()
    network = learnt.learn(pictures, targets, nn.functional.mse_loss, width=4, steps=3)
    many = pictures.repeat(20, 1, 1, 1)
    assert learnt.read(network, many).shape == (400, 2)
    assert torch.allclose(learnt.read(network, many), learnt.read(network, many.float() / 255), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["car", "head", "chair"])
def test_the_default_regressor_reads_unseen_models_within_six_degrees(shape, translator):
    trained = translator({"G_AB": nn.Identity()}, a=shape, b=shape, size=64, models=60, test_models=12, step=15.0)
    with trained.evaluating():
        metrics = azimuth.azimuth(trained).metrics
    assert metrics["regressor_rmse_A"] <= 6
    assert metrics["regressor_rmse_B"] <= 6
    assert metrics["correlation"] >= 0.99
    assert metrics["clusters_AB"] == 11
