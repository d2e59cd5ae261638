"""Evaluations of pictures against numbers worked out by hand or by scikit-image; constant, identity, perfect mapping."""

import importlib
import math
import sys
from types import SimpleNamespace

import pytest
import torch
from attrs import evolve
from PIL import Image
from torch import nn

from ganforge import Drawn, InputError
from tests.conftest import as_trained

paired_error, reconstruction, diversity, grid, pictures = (
    importlib.import_module(f"ganforge_evaluations.{name}")
    for name in ("paired_error", "reconstruction", "diversity", "grid", "pictures")
)


class Constant(nn.Module):
    """Makes the same of everything."""

    def forward(self, samples):
        return torch.full_like(samples, 0.5)


class Truth(nn.Module):
    """Knows what belongs to each sample."""

    def __init__(self, source, target):
        super().__init__()
        self.source, self.target = source, target

    def forward(self, samples):
        distances = torch.cdist(samples.flatten(1), self.source.flatten(1))
        return self.target[distances.argmin(1)]


@pytest.fixture
def make(understand, pairs, toy):
    """Make something trained out of any generators."""

    def call(forth, back, recipe="discogan_edges2shoes", coupling="discogan"):
        sets = [f"dataset.root={pairs}", "dataset.size=32"] if recipe != toy else []
        plan = understand(recipe, *sets, f"coupling.use={coupling}")
        plan = evolve(plan, train=evolve(plan.train, norm="running"))
        networks = {"G_AB": forth, "G_BA": back, "D_A": nn.Identity(), "D_B": nn.Identity()}
        networks = {name: network for name, network in networks.items() if name in plan.networks}
        return as_trained(plan, networks, 1)

    return call


def test_an_identity_has_no_cycle_error_and_the_error_of_the_input(make):
    found = make(nn.Identity(), nn.Identity())
    cycle = reconstruction.reconstruction(found).metrics
    assert cycle == {f"{name}_{domain}": 0.0 for domain in "AB" for name in ("cycle_l1", "cycle_rmse", "cycle_error")}
    metrics = paired_error.paired_error(found).metrics
    for name in ("l1", "psnr", "ssim"):
        assert metrics[f"{name}_AB"] == metrics[f"{name}_identity_AB"]
    assert diversity.diversity(found).metrics["diversity_AB"] > 0


def test_what_numbers_are_based_on_stands_beside_them(make):
    found = make(nn.Identity(), nn.Identity())
    both = {"pictures_AB": 4, "pictures_BA": 4}
    assert paired_error.paired_error(found, limit=9).about == both
    assert paired_error.paired_error(found, limit=3).about == {"pictures_AB": 3, "pictures_BA": 3}
    assert diversity.diversity(found).about == {**both, "real_AB": 4, "real_BA": 4}
    assert reconstruction.reconstruction(found, limit=2).about == {"pictures_A": 2, "pictures_B": 2}


def test_a_constant_is_collapsed_and_undone_no_better_than_by_the_mean(make):
    found = make(Constant(), Constant())
    assert diversity.diversity(found).metrics == {"diversity_AB": 0.0, "diversity_BA": 0.0}
    assert reconstruction.reconstruction(found).metrics["cycle_error_A"] >= 1
    assert paired_error.paired_error(found).metrics["ssim_AB"] < 0.9


def test_a_perfect_mapping_has_no_error_and_the_diversity_of_real_pictures(make):
    empty = make(nn.Identity(), nn.Identity())
    a, b = pictures.pairs(empty, 100, "A", "B")
    metrics = paired_error.paired_error(found := make(Truth(a, b), Truth(b, a))).metrics
    assert (metrics["l1_AB"], metrics["psnr_AB"], metrics["ssim_AB"]) == (0.0, 100.0, pytest.approx(1))
    assert metrics["l1_mean_AB"] > 0
    assert diversity.diversity(found).metrics["diversity_AB"] == pytest.approx(1)
    assert reconstruction.reconstruction(found).metrics["cycle_rmse_B"] == 0


def test_the_mean_picture_is_that_of_the_train_split(make):
    found = make(nn.Identity(), nn.Identity())
    _, truth = pictures.pairs(found, 100, "A", "B")
    train = pictures.stored(found, "train", "B")
    mean = (train.load(range(train.length)).float() / 255).mean(0)
    expected = float((mean - truth).abs().double().mean())
    assert paired_error.paired_error(found).metrics["l1_mean_AB"] == pytest.approx(expected, rel=1e-5)


def test_similarity_is_that_of_scikit_image():
    """skimage.metrics 0.26: gaussian_weights, sigma 1.5, use_sample_covariance=False, data_range 1."""
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    one = torch.stack([x / 15, y / 15, (x * y) % 7 / 6]).double()[None]
    other = torch.stack([(x / 15) ** 2, 1 - y / 15, (x + y) % 5 / 4]).double()[None]
    found = paired_error.measure(one, other)
    assert found["ssim"] == pytest.approx(0.06777438956308939, abs=1e-7)
    assert found["psnr"] == pytest.approx(6.5497657394640685, abs=1e-6)


def test_numbers_worked_out_by_hand():
    zeros = torch.zeros(2, 1, 16, 16)
    tenth = torch.cat([zeros[:1] + 0.1, zeros[:1] + 0.01])
    found = paired_error.measure(tenth, zeros)
    assert found["l1"] == pytest.approx(0.055)
    assert found["psnr"] == pytest.approx((20 + 40) / 2, abs=1e-4)
    points = torch.tensor([[0.0, 0.0], [2.0, 0.0]])  # the mean squared distance from the mean is 1/2 a number
    found = reconstruction.measure(points, points + torch.tensor([0.0, 1.0]))
    assert found == {"cycle_l1": 0.5, "cycle_rmse": pytest.approx(math.sqrt(0.5)), "cycle_error": pytest.approx(1)}
    real = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 8.0]])  # distances 5, 8, 5
    assert diversity.ratio(real / 4, real) == 0.25


def test_only_cycles_that_the_coupling_plays_are_measured(make, toy):
    one_way = make(nn.Identity(), nn.Identity(), coupling="gan-recon")
    assert set(reconstruction.reconstruction(one_way).metrics) == {"cycle_l1_A", "cycle_rmse_A", "cycle_error_A"}
    with pytest.raises(InputError, match="a coupling with a way back"):
        reconstruction.reconstruction(make(nn.Identity(), nn.Identity(), coupling="gan"))
    points = make(nn.Identity(), nn.Identity(), recipe=toy)
    assert reconstruction.reconstruction(points).metrics["cycle_rmse_A"] == 0


@pytest.mark.parametrize("evaluation", [paired_error.paired_error, grid.grid])
def test_points_are_no_pictures(evaluation, make, toy):
    with pytest.raises(InputError, match=r"needs pictures; samples of domain A have the shape \[2\]"):
        evaluation(make(nn.Identity(), nn.Identity(), recipe=toy))


def test_a_test_split_without_pairs_is_refused(make, understand, tmp_path):
    plan = understand("discogan_car2car_turntable", "dataset.size=16", "dataset.models=2", "dataset.test_models=1")
    networks = {"G_AB": nn.Identity(), "G_BA": nn.Identity()}
    found = as_trained(plan, networks, 1)
    with pytest.raises(InputError, match="belong together"):
        paired_error.paired_error(found)


def test_figures_are_drawn_of_any_number_of_channels(make, tmp_path):
    found = make(nn.Identity(), nn.Identity())
    for findings in (grid.grid(found, count=3), paired_error.paired_error(found)):
        for name, draw in findings.figures.items():
            draw().savefig(tmp_path / f"{name}.png")
    for channels in (1, 2, 5):
        pictures.rows_figure([("row", torch.rand(4, channels, 8, 8)), ("short", torch.rand(2, channels, 8, 8))])
    assert {path.name for path in tmp_path.glob("*.png")} == {"grid.png", "paired.png"}


@pytest.fixture
def few(understand, tmp_path):
    """Make identities that were trained on two folders, with any numbers of test pictures of A and B."""

    def call(a, b, colour=None, **trained):
        folders = {"a": 2, "b": 2, "test_a": a, "test_b": b}
        for name, count in folders.items():
            (tmp_path / name).mkdir()
            for number in range(count):
                Image.new("RGB", (8, 8), colour or (40 * number, 9, 9)).save(tmp_path / name / f"{number}.png")
        path = tmp_path / "few.toml"
        keys = "".join(f'{name} = "{tmp_path / name}"\n' for name in folders)
        path.write_text(f'extends = "base_64"\n[dataset]\nuse = "folders"\nsize = 8\n{keys}')
        found = as_trained(understand(path), {"G_AB": nn.Identity(), "G_BA": nn.Identity()}, 1)
        return evolve(found, **trained)

    return call


def test_a_single_sample_and_samples_that_are_alike_have_no_ratio(few):
    found = few(1, 2, "red")
    assert all(map(math.isnan, diversity.diversity(found).metrics.values()))
    metrics = reconstruction.reconstruction(found).metrics
    assert (metrics["cycle_l1_A"], metrics["cycle_rmse_B"]) == (0, 0)
    assert math.isnan(metrics["cycle_error_A"])
    assert math.isnan(metrics["cycle_error_B"])
    assert set(grid.grid(found).figures) == {"grid"}


def test_a_rehearsal_draws_a_few_samples_of_a_domain_that_is_drawn():
    counts = []
    drawn = Drawn(lambda count, random: counts.append(count) or torch.zeros(count, 2))
    for rehearsal in (0, 16, sys.maxsize):
        pictures.inputs(SimpleNamespace(drawn={"A": drawn}, rehearsal=rehearsal), "A", 4096)
    assert counts == [4096, 16, 16]
