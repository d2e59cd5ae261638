"""The toy mixtures, settings P and Q."""

import pytest
import torch

from ganforge.data.dataset import random_generator
from ganforge.training.build import make_dataset


@pytest.fixture
def mixture(understand):
    return lambda name, *sets: make_dataset(understand(name, *sets))


def test_the_modes_of_the_toy_lie_where_the_recipe_says(mixture):
    toy = mixture("discogan_toy")
    a, b = toy.modes["A"], toy.modes["B"]
    assert (len(a), len(b)) == (5, 10)
    torch.testing.assert_close((a - 1.5).norm(dim=1), torch.ones(5))
    torch.testing.assert_close((b - 0.25).norm(dim=1), torch.full((10,), 4.0))
    torch.testing.assert_close(b[0], torch.tensor([0.25 + 3.98478, 0.25 + 0.348623]))
    assert (a > 0).all()
    assert (b > 0).all()


def test_the_wide_toy_lies_around_zero_with_its_modes_far_apart(mixture):
    b = mixture("discogan_toy_wide").modes["B"]
    torch.testing.assert_close(b.norm(dim=1), torch.full((10,), 2.0))
    gaps = torch.pdist(b)
    assert float(gaps.min()) > 10 * 0.1


def test_samples_have_the_deviation_that_is_set_about_every_mode(mixture):
    toy = mixture("discogan_toy", "dataset.sigma=0.05")
    points = toy.open("train")["B"].draw(20_000, random_generator(0))
    distances, nearest = torch.cdist(points, toy.modes["B"]).min(1)
    assert torch.bincount(nearest, minlength=10).min() > 1700
    assert float(distances.square().mean().sqrt()) == pytest.approx(0.05 * 2**0.5, rel=0.03)


def test_probes_are_fixed_and_labelled_with_their_mode(mixture):
    toy = mixture("discogan_toy")
    probes = toy.open("test")["A"]
    points, labels = probes.load(range(probes.length)), torch.tensor(probes.labels["mode"])
    assert torch.bincount(labels).tolist() == [1000] * 5
    assert torch.equal(points, toy.open("test")["A"].load(range(5000)))
    assert float((points - toy.modes["A"][labels]).norm(dim=1).max()) < 0.6


def test_one_mode_more_is_one_override(mixture):
    assert len(mixture("discogan_toy", "dataset.b.modes=11").modes["B"]) == 11
