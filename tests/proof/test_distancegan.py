"""DistanceGAN against a plain loop (Benaim & Wolf 2017), and its loss against numbers worked out by hand."""

from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch import tensor

from ganforge import load_trained
from ganforge_distancegan.distance import Distance
from tests.proof.harness import CPU, Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes
from tests.proof.plain import with_weights
from tests.proof.small import draw_folders

RECIPE = """
extends = "base_distancegan"
[dataset]
use = "folders"
root = "{root}"
load = 16
size = 16
[generator]
width = 4
blocks = 1
norm = "group"  # before an instance norm the gradient of a bias is 0 but for rounding, which Adam makes a step of
[discriminator]
width = 4
layers = 1
norm = "group"
[losses.distance]
known = 8
[optimizer]
lr = 2e-4
[train]
steps = 6
batch = 3
augment = {{ flip = 0.0 }}
[record]
sample_every = 0
checkpoint_every = 4
observers = []
[evaluations]
grid = false
"""


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(RECIPE.format(root=draw_folders(tmp_path / "data", side=16)), tmp_path)


def of_pairs(x):
    return torch.stack([(one - other).abs().mean() for one, other in combinations(x, 2)])


def of_sides(x):
    return torch.stack([(one[:, :, :8] - one[:, :, 8:]).abs().mean() for one in x])


def plain(distances, directions, normalised=True):
    """Statistics are those of all distances seen so far; in both directions generators go first, in one they do not."""

    def start(nets, held):
        generators = [nets[f"G_{a}{b}"] for a, b in directions]
        critics = [nets[f"D_{b}"] for _, b in directions]
        of_G = torch.optim.Adam([p for one in generators for p in one.parameters()], 2e-4, (0.5, 0.999))
        of_D = torch.optim.Adam([p for one in critics for p in one.parameters()], 2e-4, (0.5, 0.999))
        seen = {domain: torch.zeros(0, dtype=torch.float64) for domain in "AB"}

        def normal(found, domain):
            return (found - seen[domain].mean()) / seen[domain].std(unbiased=False)

        def of_generators(batch, fakes):
            loss = 0
            for (a, b), fake, D in zip(directions, fakes, critics, strict=True):
                before, after = distances(batch[a]), distances(fake)
                loss = loss + ((D(fake)[0] - 1) ** 2).mean()
                if not normalised:
                    loss = loss + 2 * (before - after).abs().mean()
                elif len(seen[a]) >= 8:
                    loss = loss + (normal(before, a) - normal(after, b)).abs().mean()
            return loss

        def of_critics(batch, fakes):
            loss = 0
            for (_, b), fake, D in zip(directions, fakes, critics, strict=True):
                loss = loss + (((D(batch[b])[0] - 1) ** 2).mean() + (D(fake.detach())[0] ** 2).mean()) / 2
            return loss

        def play(step, batch):
            for domain in seen:
                seen[domain] = torch.cat([seen[domain], distances(batch[domain])])
            fakes = [G(batch[a]) for (a, _), G in zip(directions, generators, strict=True)]
            players = [(of_G, of_generators), (of_D, of_critics)]
            for optimizer, losses in players if len(directions) == 2 else reversed(players):
                optimizer.zero_grad()
                losses(batch, fakes).backward()
                optimizer.step()

        return play

    return start


BOTH = ("AB", "BA")


def losses_alone(start):
    """Compare networks alone: the statistics that the loss holds are compared by what they do."""

    def begin(nets, held):
        held.clear()
        return start(nets, held)

    return begin


def test_equals_a_plain_loop(case: Case) -> None:
    assert_equals_plain(case, losses_alone(plain(of_pairs, BOTH)), "values.shown=false")


def test_equals_a_plain_loop_in_one_direction(case: Case) -> None:
    assert_equals_plain(case, losses_alone(plain(of_pairs, ("AB",))), "values.shown=false", "coupling.use=gan")


def test_equals_a_plain_loop_of_self_distances(case: Case) -> None:
    sets = ("values.shown=false", "train.batch=1", "losses.distance.between=sides")
    assert_equals_plain(case, losses_alone(plain(of_sides, BOTH)), *sets, steps=10)


def test_equals_a_plain_loop_without_normalisation(case: Case) -> None:
    sets = ("values.shown=false", "losses.distance.normalised=false", "losses.distance.scale=2.0")
    assert_equals_plain(case, losses_alone(plain(of_pairs, BOTH, normalised=False)), *sets)


def test_in_half_precision(case: Case) -> None:
    assert_half(case)


@pytest.mark.slow
def test_recorded_steps_are_the_same(case: Case) -> None:
    assert assert_recorded(case) == ""


@pytest.mark.slow
@pytest.mark.parametrize("coupling", [pytest.param("cyclegan", marks=pytest.mark.slow), "gan"])
def test_resumes_and_translates(case: Case, coupling: str, ganforge, tmp_path: Path) -> None:
    case.recipe.write_text(case.recipe.read_text() + f'[coupling]\nuse = "{coupling}"\n')
    weights = assert_resumes(case, ganforge, tmp_path, stop=3, steps=5)
    G = with_weights(case.engine()[0].networks["G_AB"], weights, "G_AB")
    trained = load_trained(weights, case.plugins, CPU)
    pictures = torch.rand(3, 3, 16, 16)
    with trained.evaluating(), torch.no_grad():
        assert torch.equal(trained.translate("AB", pictures), G(pictures))
    words = ("--direction", "AB", "--out", tmp_path / "out")
    result = ganforge("translate", weights, tmp_path / "data" / "testA", *words)
    assert result.status == 0, result.err


def test_by_hand() -> None:
    """Of A's distances 1, 2, 3 the mean is 2 and the deviation sqrt(2/3); B's are twice as large."""
    loss = Distance(known=3)
    source, real = tensor([[0.0], [1.0], [3.0]]), tensor([[0.0], [2.0], [6.0]])
    fake = tensor([[0.0], [2.0], [6.0]], requires_grad=True)
    assert float(loss.generator(source, fake, real).detach()) == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(loss.statistics, tensor([[3, 2, 2], [3, 4, 8.0]]))
    # Twice the same pairs: the same means and deviations. Distances 4, 6, 2 are 0, 1 and -1 deviations of sqrt(8/3) off.
    other = tensor([[0.0], [4.0], [6.0]])
    value = loss.generator(source, other, real)
    torch.testing.assert_close(loss.statistics, tensor([[6, 2, 4], [6, 4, 16.0]]))
    expected = torch.stack([(tensor([1.0, 3, 2]) - 2) / (2 / 3) ** 0.5, (tensor([4.0, 6, 2]) - 4) / (8 / 3) ** 0.5])
    torch.testing.assert_close(value, (expected[0] - expected[1]).abs().mean())


def test_it_waits_until_deviations_are_known() -> None:
    loss = Distance(known=2)
    source, fake = tensor([[0.0], [1.0]]), tensor([[0.0], [5.0]], requires_grad=True)
    value = loss.generator(source, fake, source)
    value.backward()
    assert float(value.detach()) == float(fake.grad.abs().sum()) == 0
    assert float(loss.generator(2 * source, fake, 3 * source).detach()) > 0


@pytest.mark.parametrize(("between", "expected"), [("sides", (0.5 + 3) / 2), ("halves", (1 / 3 + 1) / 2)])
def test_self_distances(between: str, expected: float) -> None:
    """Of three columns the middle one belongs to neither side."""
    pictures = tensor([[[[0.0, 9, 1], [1, 9, 1]]], [[[0.0, 9, 3], [1, 8, 4]]]])
    found = Distance(between=between, normalised=False).generator(pictures, torch.zeros_like(pictures), pictures)
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("between", "samples", "message"),
    [
        (
            "samples",
            torch.zeros(1, 3, 4, 4),
            "pairs need 2 or more samples in a batch; for a batch of one set between = 'sides'",
        ),
        ("sides", torch.zeros(4, 2), "'sides' needs pictures [N, channels, height, width], got [4, 2]"),
    ],
)
def test_what_does_not_fit_is_said(between: str, samples: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # compared below
        Distance(between=between).generator(samples, samples, samples)
    assert str(caught.value) == message
