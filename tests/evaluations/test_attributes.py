"""What changed and what was kept: numbers worked out by hand, and translators that are known."""

import importlib

import numpy as np
import pytest
import torch
from attrs import evolve
from PIL import Image
from torch import nn

from ganforge import InputError
from tests.conftest import as_trained

attributes = importlib.import_module("ganforge_evaluations.attributes")

# Whether it is taken for B's, glasses, hat.
BEFORE = torch.tensor([[0, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]]).bool()
AFTER = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0]]).bool()


def test_changed_and_kept_by_hand():
    found = attributes.measure(BEFORE, AFTER, torch.tensor([False, True, True]), wanted=True)
    assert found == {
        "changed": 0.75,
        "changed_identity": 0.25,
        "attributes_judged": 2,
        "kept": (3 / 4 + 2 / 4) / 2,
        # Glasses: one of two kept, no glasses two of two. Hat: none of one, no hat two of three.
        "kept_balanced": pytest.approx(((1 / 2 + 1) / 2 + (0 + 2 / 3) / 2) / 2),
    }


def test_back_to_a_the_other_side_is_wanted():
    found = attributes.measure(BEFORE, AFTER, torch.tensor([False, True, False]), wanted=False)
    assert (found["changed"], found["changed_identity"], found["attributes_judged"]) == (0.25, 0.75, 1)
    assert found["kept"] == 0.75


def test_without_an_attribute_to_judge_nothing_is_said_of_keeping():
    found = attributes.measure(BEFORE, AFTER, torch.zeros(3).bool(), wanted=True)
    assert found == {"changed": 0.75, "changed_identity": 0.25, "attributes_judged": 0}


def test_one_picture_in_place_of_all_keeps_the_common_value_but_not_both():
    before = torch.tensor([[0, 1]] * 2 + [[0, 0]] * 8).bool()
    found = attributes.measure(before, torch.zeros(10, 2).bool(), torch.tensor([False, True]), wanted=True)
    assert (found["kept"], found["kept_balanced"]) == (pytest.approx(0.8), 0.5)


def test_of_inputs_that_are_alike_only_their_value_counts():
    before, after = torch.zeros(4, 2).bool(), torch.tensor([[0, 0], [0, 1], [0, 1], [0, 1]]).bool()
    assert attributes.measure(before, after, torch.tensor([False, True]), wanted=True)["kept_balanced"] == 0.25


def test_balanced_accuracy_by_hand():
    true = torch.tensor([[1, 1], [1, 1], [1, 1], [0, 1]]).bool()
    found = torch.tensor([[1, 1], [1, 1], [0, 1], [1, 1]]).bool()
    first, second = attributes.balanced(true, found).tolist()
    assert first == pytest.approx((2 / 3 + 0) / 2)
    assert np.isnan(second)


def test_what_tells_the_domains_apart_is_on_all_of_one_and_none_of_the_other():
    blond = {
        "Blond": torch.tensor([True, True]),
        "Black": torch.tensor([False, False]),
        "Hat": torch.tensor([True, True]),
    }
    black = {"Blond": torch.tensor([False]), "Black": torch.tensor([True]), "Hat": torch.tensor([True])}
    telling = attributes.tell_apart(blond, black)
    assert telling == {"Blond": False, "Black": True}
    assert (attributes.name_side(telling, "A"), attributes.name_side(telling, "B")) == ("Blond", "Black")
    assert attributes.name_side({"Male": False}, "B") == "no Male"


NAMES = ("Red", "Bar", "Beard", "Luck", "Never")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """CelebA's layout: red or blue pictures, half of them with a bright bar; half of the red ones with a dark chin."""
    root = tmp_path_factory.mktemp("attributes") / "celeba"
    (root / "img_align_celeba").mkdir(parents=True)
    random = np.random.default_rng(0)
    rows, parts = [], []
    for number in range(120):
        red, bar, luck = number % 2 == 0, number % 4 < 2, bool(random.integers(2))
        beard = red and number % 8 < 4
        values = random.integers(90, 120, (16, 16, 3))
        values[..., 0 if red else 2] += 80
        values[2:6] += 50 * bar
        values[12:] -= 80 * beard
        Image.fromarray(values.astype(np.uint8)).save(root / "img_align_celeba" / f"{number}.png")
        rows.append(f"{number}.png " + " ".join("1" if flag else "-1" for flag in (red, bar, beard, luck, False)))
        parts.append(f"{number}.png {0 if number < 80 else 2}")
    (root / "list_attr_celeba.txt").write_text("\n".join(["120", " ".join(NAMES), *rows]))
    (root / "list_eval_partition.txt").write_text("\n".join(parts))
    return root


@pytest.fixture
def translator(tmp_path, root, understand):
    """Known networks as if they had been trained on these pictures."""

    def call(networks, a="Red"):
        path = tmp_path / "attributes.toml"
        path.write_text(f'extends = "base_64.toml"\n[dataset]\nuse = "celeba"\nroot = "{root}"\nsize = 16\na = "{a}"')
        plan = understand(path)
        return as_trained(plan, networks, 7)

    return call


class Swap(nn.Module):
    """Turn red into blue, and the other way round."""

    def forward(self, pictures):
        return pictures.flip(1)


class Constant(nn.Module):
    """One blue picture for every input."""

    def forward(self, pictures):
        return torch.tensor([0.4, 0.4, 0.7])[:, None, None].expand_as(pictures)


def evaluate(trained, **settings):
    with trained.evaluating():
        found = attributes.attributes(trained, **{"width": 4, "steps": 60, **settings})
        return found.metrics, {name: draw() for name, draw in found.figures.items()}


def test_known_translators_get_what_they_deserve(translator):
    metrics, figures = evaluate(translator({"G_AB": Swap(), "G_BA": nn.Identity()}))
    assert metrics["classifier_accuracy"] == 1
    assert (metrics["changed_AB"], metrics["changed_identity_AB"]) == (1, 0)
    assert (metrics["changed_BA"], metrics["changed_identity_BA"]) == (0, 0)
    assert metrics["kept_AB"] > 0.9
    assert (metrics["kept_BA"], metrics["kept_balanced_BA"]) == (1, 1)
    # No blue picture has a beard, so that the way to B cannot keep it. Luck cannot be seen.
    assert (metrics["attributes_judged_AB"], metrics["attributes_judged_BA"]) == (1, 2)
    panels = figures["attributes"].axes
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["no Red", "Bar", "Beard", "Luck"]
    assert panels[1].get_yticklabels()[0].get_text() == "Red"


def test_what_numbers_are_based_on_stands_beside_them(translator):
    with (trained := translator({"G_AB": nn.Identity()})).evaluating():
        found = attributes.attributes(trained, width=4, steps=1, probes=7)
    assert found.about == {"pictures_AB": 7, "learnt_from_A": 40, "learnt_from_B": 40}


def test_a_rehearsal_names_every_metric_that_there_may_be(translator):
    metrics, _ = evaluate(evolve(translator({"G_AB": Swap()}), rehearsal=2))
    known, _ = evaluate(translator({"G_AB": Swap()}))
    assert metrics.keys() == known.keys()


def test_one_picture_in_place_of_all_changes_everything_and_keeps_nothing(translator):
    metrics, _ = evaluate(translator({"G_AB": Constant()}))
    assert (metrics["changed_AB"], metrics["kept_balanced_AB"]) == (1, 0.5)
    assert "changed_BA" not in metrics


def test_an_attribute_is_judged_if_the_classifier_is_good_enough(translator):
    metrics, _ = evaluate(translator({"G_AB": nn.Identity()}), accurate=0.5, probes=20)
    assert metrics["attributes_judged_AB"] >= 1
    metrics, _ = evaluate(translator({"G_AB": nn.Identity()}), steps=1, accurate=1)
    assert metrics["attributes_judged_AB"] == 0
    assert "kept_AB" not in metrics


def test_data_without_attributes_are_refused(toy, pairs, tmp_path, understand):
    other = tmp_path / "other.toml"
    other.write_text(f'extends = "discogan_edges2shoes"\n[dataset]\nroot = "{pairs}"\nsize = 16')
    for path in (toy, other):
        plan = understand(path)
        trained = as_trained(plan, {"G_AB": nn.Identity()}, 0)
        with pytest.raises(InputError, match="labels that are true or false, as in the data set 'celeba'"):
            evaluate(trained)


def test_domains_that_no_attribute_tells_apart_are_refused(translator, monkeypatch):
    monkeypatch.setattr(attributes, "tell_apart", lambda of_a, of_b: {})
    with pytest.raises(InputError, match="no attribute belongs to all training pictures of one domain and to none of"):
        evaluate(translator({"G_AB": nn.Identity()}))


def test_a_rehearsal_knows_all_labels_and_learns_for_one_step(translator, monkeypatch):
    steps = []
    learn = attributes.learn
    monkeypatch.setattr(
        attributes, "learn", lambda *given, **settings: steps.append(settings["steps"]) or learn(*given, **settings)
    )
    told = []
    tell = attributes.tell_apart
    monkeypatch.setattr(attributes, "tell_apart", lambda a, b: told.append(len(a["Bar"])) or tell(a, b))
    evaluate(evolve(translator({"G_AB": nn.Identity()}), rehearsal=4))
    assert (steps, told) == ([1], [40])


class Broken(nn.Module):
    """No number for any input."""

    def forward(self, pictures):
        return pictures * torch.nan


def test_of_translations_that_are_no_numbers_nothing_is_known(translator):
    metrics, _ = evaluate(translator({"G_AB": Broken()}), steps=1)
    assert all(np.isnan(value) for name, value in metrics.items() if name.endswith("_AB"))
