"""Rendered cars, chairs and heads: which side is where, who is in which split, and that their angle can be learnt."""

import json

import pytest
import torch
from torch import nn

from ganforge.recipe import layers as recipe
from ganforge.training.build import make_dataset
from tests.conftest import read


@pytest.fixture
def turntable(tmp_path, understand):
    """The data set `turntable` with settings; a few small pictures by default."""

    def call(**settings):
        path = tmp_path / "turntable.toml"
        table = {"size": 32, "models": 3, "test_models": 2, **settings}
        path.write_text(
            'extends = "base_64.toml"\n[dataset]\nuse = "turntable"\n'
            + "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
        )
        return make_dataset(understand(path))

    return call


@pytest.fixture
def views(turntable):
    """Pictures of some models of a shape from one azimuth, [N, 3, H, W]."""

    def call(shape, azimuth, **settings):
        dataset = turntable(a=shape, b=shape, angles=[azimuth, azimuth], **{"models": 6, **settings})
        samples = read(dataset, "train")["A"]
        return samples.load(range(samples.length))

    return call


def silhouette(pictures):
    """Tell where the thing is and not the ground, [N, H, W]."""
    return pictures.amin(1) < 250


def columns(mask):
    """Columns of the hits, in -1 (left) to 1 (right)."""
    return (mask.nonzero()[:, -1] + 0.5) / mask.shape[-1] * 2 - 1


def overlap(first, second):
    """Intersection over union of silhouettes, [N]."""
    return (first & second).sum((1, 2)) / (first | second).sum((1, 2))


def yellow_lamps(pictures):
    red, green, blue = (pictures.float() + 1).unbind(1)
    return (red > 130) & (green > 0.88 * red) & (blue > 0.6 * red) & (blue < 0.86 * red)


def red_lamps(pictures):
    red, green, blue = (pictures.float() + 1).unbind(1)
    return (red > 80) & (torch.maximum(green, blue) < 0.25 * red)


@pytest.mark.parametrize(("azimuth", "side"), [(90.0, -1), (-90.0, 1)])
def test_a_car_at_90_degrees_has_its_lamps_on_the_left_and_at_minus_90_on_the_right(azimuth, side, views):
    for car in views("car", azimuth, size=96, models=3):
        lamps = columns(yellow_lamps(car[None]))
        assert len(lamps) > 2
        assert (lamps * side).median() > 0.6  # a pixel between a rear lamp and the ground may look yellow, too


@pytest.mark.parametrize(("azimuth", "side"), [(90.0, -1), (-90.0, 1)])
def test_a_head_at_90_degrees_has_its_nose_on_the_left_and_at_minus_90_on_the_right(azimuth, side, views):
    for head in silhouette(views("head", azimuth, size=64)):
        reach = columns(head[32:36]) * side  # of the rows where the nose is
        assert reach.max() > 0.5
        assert reach.max() > 0.02 - reach.min()


def test_white_lamps_are_seen_from_before_and_red_lamps_from_behind(views):
    front, rear = views("car", 0.0, size=64), views("car", 180.0, size=64)
    assert yellow_lamps(front).sum((1, 2)).min() > 20 > 0 == yellow_lamps(rear).sum()
    assert red_lamps(rear).sum((1, 2)).min() > 20 > 0 == red_lamps(front).sum()


@pytest.mark.parametrize("shape", ["car", "chair", "head"])
def test_outlines_are_symmetric_from_before_and_behind_and_mirrored_from_the_sides(shape, views):
    front, left, rear, right = (
        silhouette(views(shape, azimuth, size=64, models=3)) for azimuth in (0.0, 90.0, 180.0, -90.0)
    )
    assert overlap(front, front.flip(-1)).min() > 0.97
    assert overlap(rear, rear.flip(-1)).min() > 0.97
    assert overlap(left, right.flip(-1)).min() > 0.97
    assert overlap(left, left.flip(-1)).max() < 0.9


@pytest.mark.parametrize("shape", ["car", "chair", "head"])
def test_a_higher_camera_sees_more_of_the_top(shape, views):
    level, above = (silhouette(views(shape, 0.0, elevations=[elevation])) for elevation in (0.0, 40.0))
    assert overlap(level, above).max() < 0.95


@pytest.mark.parametrize("shape", ["car", "chair", "head"])
def test_the_ground_is_white(shape, views):
    pictures = views(shape, 30.0, models=2)
    assert pictures[:, :, 0].min() == 255  # the uppermost row
    assert pictures[:, :, :16, [0, -1]].min() == 255
    assert 0.1 < silhouette(pictures).float().mean() < 0.6


def test_pictures_depend_on_the_seed_and_nothing_else(turntable):
    first, again, other = (turntable(seed=seed).open("train")["A"] for seed in (1, 1, 2))
    assert torch.equal(first.make(first.items[4]), again.make(again.items[4]))
    assert first.items == other.items
    assert not torch.equal(first.make(first.items[4]), other.make(other.items[4]))
    pictures = [read(turntable(seed=seed, angles=[0.0, 0.0]), "train")["A"].load([0]) for seed in (1, 2)]
    assert not torch.equal(*pictures)  # the cache tells them apart


@pytest.mark.parametrize(("a", "b"), [("car", "car"), ("car", "head")])
def test_no_model_is_in_two_domains_or_in_train_and_test(a, b, turntable):
    dataset = turntable(a=a, b=b, angles=[0.0, 0.0])
    sources = [samples for split in ("train", "test") for samples in read(dataset, split).values()]
    members = [set(zip(samples.labels["shape"], samples.labels["model"], strict=True)) for samples in sources]
    assert [len(part) for part in members] == [3, 3, 2, 2]
    assert len(set.union(*members)) == 10
    pictures = torch.cat([samples.load(range(samples.length)) for samples in sources])
    assert len(pictures.flatten(1).unique(dim=0)) == 10


def test_every_model_is_seen_from_every_angle_and_labelled_with_it(turntable):
    labels = (
        turntable(b="chair", models=2, angles=[-30.0, 30.0], step=30.0, elevations=[0.0, 20.0])
        .open("train")["B"]
        .labels
    )
    assert labels == {
        "shape": ["chair"] * 12,
        "model": [0] * 6 + [1] * 6,
        "azimuth": [-30.0, 0.0, 30.0] * 4,
        "elevation": [0.0, 0.0, 0.0, 20.0, 20.0, 20.0] * 2,
    }


def test_the_defaults_are_eleven_views_from_one_side_to_the_other(turntable):
    samples = turntable(models=60).open("train")["A"]
    assert samples.length == 660
    assert samples.labels["azimuth"][:11] == [-75, -60, -45, -30, -15, 0, 15, 30, 45, 60, 75]


def test_grey_and_oblong_pictures(turntable):
    dataset = turntable(size=[24, 40], channels=1, models=1, angles=[0.0, 0.0])
    pictures = read(dataset, "train")["A"].load([0])
    assert pictures.shape == (1, 1, 24, 40)
    assert pictures[..., :8].min() == pictures[..., -8:].min() == 255  # the shorter side sees the whole thing
    assert pictures.min() < 80


@pytest.mark.parametrize(
    ("settings", "key", "message"),
    [
        ({"angles": [75.0, -75.0]}, "angles", r"expected \[smallest, largest\]"),
        ({"elevations": []}, "elevations", "expected at least one angle"),
        ({"channels": 4}, "channels", "expected 1 or 3"),
        ({"step": 0.0}, "step", "expected x > 0, x <= 360, got 0.0"),
        ({"models": 0}, "models", "expected x >= 1, got 0"),
        ({"a": "boat"}, "a", 'expected "car" or "chair" or "head", got "boat"'),
    ],
)
def test_settings_that_cannot_serve_are_refused_with_their_key(settings, key, message, turntable):
    with pytest.raises(recipe.RecipeError, match=message) as caught:
        turntable(**settings)
    assert [problem.key for problem in caught.value.problems] == [f"dataset.{key}"]


def regress(pictures, azimuths, steps):
    """Train a small convolutional network to tell the azimuth of a picture."""
    layers = [
        nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU())
        for before, after in ((3, 16), (16, 32), (32, 64), (64, 64))
    ]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 1), nn.Flatten(0))
    optimizer = torch.optim.Adam(network.parameters())
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
    for _ in range(steps):
        chosen = torch.randint(len(pictures), (64,))
        loss = (network(pictures[chosen]) - azimuths[chosen] / 75).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["car", "chair", "head"])
def test_the_azimuth_of_unseen_models_can_be_learnt(shape, turntable):
    torch.set_num_threads(1)
    dataset = turntable(a=shape, b=shape, size=64, models=60, test_models=12)
    seen = {}
    for split in ("train", "test"):
        domains = read(dataset, split).values()
        pictures = torch.cat([samples.load(range(samples.length)) for samples in domains]).float() / 127.5 - 1
        seen[split] = pictures, torch.tensor([angle for samples in domains for angle in samples.labels["azimuth"]])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = regress(*seen["train"], steps=300)
    pictures, azimuths = seen["test"]
    with torch.no_grad():
        error = (75 * network(pictures) - azimuths).square().mean().sqrt()
    assert float(error) <= 10, f"{shape}: RMSE {error:.2f} degrees"


def test_paired_views_of_a_and_b_are_from_the_same_place(turntable):
    paired, apart = (turntable(b="head", elevations=[0.0, 20.0], paired=paired) for paired in (True, False))
    assert (paired.groups, apart.groups) == ([["A", "B"]], [["A"], ["B"]])
    for split in ("train", "test"):
        a, b = (paired.open(split)[domain].labels for domain in "AB")
        assert (a["azimuth"], a["elevation"]) == (b["azimuth"], b["elevation"])
