"""The toy's metrics against cases worked out by hand."""

import importlib
import math

import pytest
import torch
from torch import nn

from ganforge import InputError, Stored
from tests.conftest import as_trained

mode_coverage = importlib.import_module("ganforge_evaluations.mode_coverage")

MODES = torch.tensor([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [30.0, 0.0]])
LABELS = torch.arange(2).repeat_interleave(1000)  # two modes of A, 1000 probes each


def around(*centres):
    """1000 points for each share of a list of (mode, share) lists, with deviation 1."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for shares in centres:
        for mode, count in shares:
            parts.append(MODES[mode] + 0.5 * torch.randn(count, 2, generator=generator))
    return torch.cat(parts)


def measure(*centres):
    return mode_coverage.measure(around(*centres), LABELS, MODES, sigma=0.5)


def test_a_perfect_mapping_covers_everything_cleanly():
    found = measure([(0, 500), (1, 500)], [(2, 500), (3, 500)])
    assert (found["coverage"], found["clean"], found["collisions"]) == (4, 4, 0)
    assert found["quality"] > 0.98
    assert found["spread"] == pytest.approx(1, abs=0.1)


def test_collapse_onto_one_mode_is_a_collision_and_not_clean():
    found = measure([(0, 1000)], [(0, 1000)])
    assert (found["coverage"], found["clean"], found["collisions"]) == (1, 0, 1)


def test_small_shares_neither_cover_nor_collide():
    # 30 of 2000 probes are 1.5 %: below 2 %. 40 of 1000 are 4 %: below 5 %.
    found = measure([(0, 970), (1, 30)], [(2, 1000)])
    assert found["coverage"] == 2
    found = measure([(0, 1000)], [(0, 40), (2, 960)])
    assert (found["coverage"], found["clean"], found["collisions"]) == (2, 2, 0)
    found = measure([(0, 1000)], [(0, 200), (2, 800)])
    assert (found["clean"], found["collisions"]) == (1, 1)


def test_a_curve_has_no_spread_and_a_constant_far_away_no_quality():
    line = torch.stack([torch.linspace(-1, 1, 2000), torch.zeros(2000)], dim=1)
    assert mode_coverage.measure(line, LABELS, MODES, sigma=0.5)["spread"] == pytest.approx(0, abs=1e-6)
    nowhere = mode_coverage.measure(torch.full((2000, 2), 99.0), LABELS, MODES, sigma=0.5)
    assert nowhere == {"coverage": 0, "clean": 0, "collisions": 0, "quality": 0, "spread": 0}


def test_cycle_error_is_zero_for_identity_and_one_for_the_mean():
    points = torch.randn(500, 2) * 3 + 7
    assert mode_coverage.cycle_error(points, points) == 0
    assert mode_coverage.cycle_error(points, points.mean(0).expand(500, 2)) == pytest.approx(1, abs=1e-5)


def test_points_that_are_alike_have_no_cycle_error_and_a_single_image_no_spread():
    assert math.isnan(mode_coverage.cycle_error(torch.ones(3, 2), torch.ones(3, 2)))
    found = mode_coverage.measure(MODES[:2], torch.tensor([0, 1]), MODES, sigma=0.5)
    assert (found["coverage"], found["spread"]) == (2, 0)


@pytest.mark.parametrize("labels", [{}, {"mode": ["one"]}, {"mode": [-1]}])
def test_probes_without_their_mode_are_refused(labels):
    with pytest.raises(InputError, match="with the label 'mode', a whole number from 0 on"):
        mode_coverage.modes_of(Stored(1, lambda indices: MODES[:1], labels))


class Judge(nn.Module):
    """A discriminator that is never sure."""

    def forward(self, points):
        return torch.zeros(len(points), 1), ()


def test_what_numbers_are_based_on_stands_beside_them(toy, understand):
    trained = as_trained(
        understand(toy), {"G_AB": nn.Identity(), "G_BA": nn.Identity(), "D_A": Judge(), "D_B": Judge()}, 1
    )
    with trained.evaluating():
        found = mode_coverage.mode_coverage(trained)
    assert found.about == {"probes_AB": trained.samples("test")["A"].length, "within": 3.0}


def test_it_refuses_pictures(ganforge, pairs, toy):
    text = 'extends = "discogan_edges2shoes"\n[evaluations.modes]\nuse = "mode-coverage"\n[train]\nsteps = 1\nbatch = 2\n[record]\nsample_every = 0'
    toy.write_text(text)
    result = ganforge(
        "run",
        toy,
        "--set",
        f"dataset.root={pairs}",
        "--set",
        "dataset.size=16",
        "--set",
        "generator.width=2",
        "--set",
        "discriminator.width=2",
    )
    assert result.status == 2
    assert "evaluations.modes: mode-coverage needs a data set of modes in the plane" in result.err
