"""GcGAN against a plain loop (Fu et al. 2019, and its authors' code), and its constraint in other couplings."""

from pathlib import Path

import pytest
import torch

from ganforge import load_trained
from ganforge_gcgan.gcgan import turn
from tests.proof.harness import CPU, Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes
from tests.proof.plain import with_weights
from tests.proof.small import draw_folders

RECIPE = """
extends = "base_gcgan"
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
[optimizer]
lr = 2e-4
[train]
steps = 6
batch = 2
augment = {{ flip = 0.0 }}
[record]
sample_every = 0
checkpoint_every = 4
observers = []
[evaluations]
grid = false
"""
PLAIN_SHOWN = ("values.shown=false", "values.shown_turned=false")  # without pools, which draw


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(RECIPE.format(root=draw_folders(tmp_path / "data", side=16)), tmp_path)


def rotated(x):
    """Clockwise: as the authors' code has it, transposed and then mirrored left to right."""
    return x.transpose(2, 3).flip(3)


def back(x):
    return x.transpose(2, 3).flip(2)


def flipped(x):
    return x.flip(2)


def plain(f, inverse):
    def start(nets, held):
        G, D, D_turned = nets["G_AB"], nets["D_B"], nets["D_B_turned"]
        of_G = torch.optim.Adam(G.parameters(), 2e-4, (0.5, 0.999))
        of_D = torch.optim.Adam([*D.parameters(), *D_turned.parameters()], 2e-4, (0.5, 0.999))

        def distance(one, other):
            return (2 * one - 2 * other).abs().mean()  # of pixels in [-1, 1]

        def play(step, batch):
            x, y = batch["A"], batch["B"]
            fake, turned_fake = G(x), G(f(x))
            loss = ((D(fake)[0] - 1) ** 2).mean() + ((D_turned(turned_fake)[0] - 1) ** 2).mean()
            # The authors' code has both terms of the constraint, each with one side cut off.
            loss = loss + 20 * distance(fake, inverse(turned_fake).detach())
            loss = loss + 20 * distance(turned_fake, f(fake).detach())
            loss = loss + 5 * distance(G(y), y) + 5 * distance(G(f(y)), f(y))
            of_G.zero_grad()
            loss.backward()
            of_G.step()
            loss = (((D(y)[0] - 1) ** 2).mean() + (D(fake.detach())[0] ** 2).mean()) / 2
            turned = ((D_turned(f(y))[0] - 1) ** 2).mean() + (D_turned(turned_fake.detach())[0] ** 2).mean()
            loss = loss + turned / 2
            of_D.zero_grad()
            loss.backward()
            of_D.step()

        return play

    return start


def test_equals_a_plain_loop(case: Case) -> None:
    assert_equals_plain(case, plain(rotated, back), *PLAIN_SHOWN)


def test_equals_a_plain_loop_that_flips(case: Case) -> None:
    assert_equals_plain(case, plain(flipped, flipped), "values.turn.geometry=flip", *PLAIN_SHOWN)


def test_in_half_precision(case: Case) -> None:
    assert_half(case)


def test_recorded_steps_are_the_same(case: Case) -> None:
    assert assert_recorded(case) == ""


@pytest.mark.slow
def test_resumes_and_translates(case: Case, ganforge, tmp_path: Path) -> None:
    weights = assert_resumes(case, ganforge, tmp_path, stop=3, steps=5)
    G = with_weights(case.engine()[0].networks["G_AB"], weights, "G_AB")
    trained = load_trained(weights, case.plugins, CPU)
    pictures = torch.rand(3, 3, 16, 16)
    with trained.evaluating(), torch.no_grad():
        assert torch.equal(trained.translate("AB", pictures), G(pictures))
    result = ganforge("translate", weights, tmp_path / "data" / "testA", "--out", tmp_path / "out")
    assert result.status == 0, result.err


@pytest.mark.parametrize(
    "coupling", ["discogan", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cyclegan", "gan"))]
)
def test_the_constraint_fits_other_couplings(case: Case, coupling: str) -> None:
    engine, batches = case.engine(f"coupling.use={coupling}", "losses.turned_adversarial=false", *PLAIN_SHOWN)
    engine.step(0, batches(0))
    named = [name for name in engine.loss_names("generator", 0) if "geometry" in name]
    assert named == ["generator.geometry.AB", "generator.geometry.BA"][: 1 if coupling == "gan" else 2]


def test_turns() -> None:
    picture = torch.tensor([[[[1, 2, 3], [4, 5, 6]]]])
    assert turn()(picture).tolist() == [[[[4, 1], [5, 2], [6, 3]]]]
    assert turn(geometry="flip")(picture).tolist() == [[[[4, 5, 6], [1, 2, 3]]]]
