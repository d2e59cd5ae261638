"""Drawn animals: which coats are where, who is in which split, and that a scene is the same in any coat and size."""

import json

import pytest
import torch
from torch.nn.functional import avg_pool2d

from ganforge.errors import RecipeError
from ganforge.training.build import make_dataset
from tests.conftest import read


@pytest.fixture
def coats(tmp_path, understand):
    """The data set `coats` with settings; a few small pictures by default."""

    def call(**settings):
        path = tmp_path / "coats.toml"
        table = {"size": 32, "pictures": 6, "test_pictures": 3, **settings}
        path.write_text(
            'extends = "base_64.toml"\n[dataset]\nuse = "coats"\n'
            + "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
        )
        return make_dataset(understand(path))

    return call


def all_of(samples):
    return samples.load(range(samples.length)).float() / 255


ALL = ["plain", "striped", "spotted"]


def test_domains_are_the_coats_and_labels_say_which(coats):
    assert coats().shapes == {"A": (3, 32, 32), "B": (3, 32, 32)}
    opened = coats(coats=ALL).open("train")
    assert list(opened) == ["A", "B", "C"]
    assert opened["B"].labels["coat"] == ["striped"] * 6
    assert opened["B"].labels["striped"] == [True] * 6
    assert opened["B"].labels["spotted"] == [False] * 6
    assert set(opened["A"].labels["left"]) == {False, True}


def test_no_animal_is_in_two_domains_or_in_train_and_test(coats):
    dataset = coats(coats=ALL)
    members = [item[:2] for split in ("train", "test") for item in dataset.open(split)["A"].items]
    members += [item[:2] for domain in "BC" for item in dataset.open("train")[domain].items]
    assert len(set(members)) == len(members) == 6 + 3 + 2 * 6
    assert dataset.groups == [["A"], ["B"], ["C"]]


def test_the_test_split_shows_the_same_animals_before_the_same_ground(coats):
    dataset = coats(coats=ALL, size=64)
    test = {domain: all_of(samples) for domain, samples in read(dataset, "test").items()}
    for domain in "BC":
        changed = (test["A"] - test[domain]).abs().amax(1) > 0.02  # [N, H, W]
        assert (changed.float().mean((1, 2)) > 0.08).all()
        assert (changed.float().mean((1, 2)) < 0.4).all()
        assert not changed[:, :, [0, -1]].any()
    labels = [read(dataset, "test")[domain].labels for domain in "ABC"]
    assert labels[0]["animal"] == labels[1]["animal"] == labels[2]["animal"]
    assert labels[0]["left"] == labels[1]["left"]


def test_paired_training_pictures_belong_together(coats):
    dataset = coats(paired=True, coats=ALL)
    opened = dataset.open("train")
    assert dataset.groups == [("A", "B", "C")]
    assert opened["A"].labels["animal"] == opened["C"].labels["animal"] == list(range(6))


def test_test_pictures_do_not_depend_on_how_many_are_trained_on(coats):
    few, many = (coats(pictures=count).open("test")["A"] for count in (2, 90))
    assert torch.equal(few.make(few.items[2]), many.make(many.items[2]))


def test_a_striped_coat_is_black_and_white_and_a_spotted_one_is_golden(coats):
    test = {domain: all_of(samples) for domain, samples in read(coats(coats=ALL, size=64), "test").items()}
    animal = (test["A"] - test["B"]).abs().amax(1) > 0.1
    for number in range(3):
        plain, striped, spotted = (test[domain][number][:, animal[number]] for domain in "ABC")
        assert striped.std() > 1.5 * plain.std()
        assert (striped.amax(0) - striped.amin(0)).mean() < 0.15  # nearly grey
        assert (spotted[0] - spotted[2]).quantile(0.9) > (plain[0] - plain[2]).quantile(0.9) > 0.2


def test_a_scene_is_the_same_at_any_size(coats):
    small, large = (all_of(read(coats(size=size, coats=ALL), "test")["C"]) for size in (64, 192))
    assert (small - avg_pool2d(large, 3)).abs().mean() < 0.02
    wide = all_of(read(coats(size=[64, 96]), "test")["A"])
    square = all_of(read(coats(size=64), "test")["A"])
    assert (wide[..., 16:-16] - square).abs().mean() < 0.01


def test_the_label_left_says_where_the_head_is(coats):
    test = read(coats(size=64, test_pictures=12), "test")
    animals = (all_of(test["A"]) - all_of(test["B"])).abs().amax(1) > 0.2  # [N, H, W]
    for animal, left in zip(animals, test["A"].labels["left"], strict=True):
        rows, columns = animal.nonzero().T
        ears = columns[rows < rows.min() + 4].float().mean()
        assert bool(ears < columns.float().mean()) == left


def test_pictures_depend_on_the_seed_and_nothing_else(coats):
    first, again, other = (coats(seed=seed).open("train")["A"] for seed in (1, 1, 2))
    assert torch.equal(first.make(first.items[4]), again.make(again.items[4]))
    assert not torch.equal(first.make(first.items[4]), other.make(other.items[4]))
    assert first.settings != other.settings


def test_grey_and_larger_pictures_to_be_cropped(coats):
    train = read(coats(channels=1, load=40), "train")["A"]
    assert train.load([0]).shape == (1, 1, 32, 32)
    assert train.whole([0]).shape == (1, 1, 40, 40)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coats": ["plain"]}, "dataset.coats: expected Two or three different coats"),
        ({"coats": ["plain", "plain"]}, "dataset.coats: expected Two or three different coats"),
        ({"coats": ["plain", "checked"]}, "dataset.coats: expected list of"),
        ({"channels": 4}, "dataset.channels: expected 1 or 3"),
        ({"pictures": 1}, "dataset.pictures: expected x >= 2"),
    ],
)
def test_settings_that_cannot_serve_are_refused(settings, message, coats):
    with pytest.raises(RecipeError, match=message):
        coats(**settings)
