"""DualGAN against a plain loop (Yi et al. 2017, Algorithm 1): clipped critics, L1 both ways, RMSprop."""

from itertools import chain
from pathlib import Path

import pytest
import torch

from ganforge import load_trained
from tests.proof.harness import CPU, Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes, train
from tests.proof.small import draw_folders

RECIPE = """
extends = "base_dualgan"
[dataset]
use = "folders"
root = "{root}"
size = 16
[generator]
width = 4
levels = 3
[discriminator]
width = 4
layers = 1
[train]
steps = 6
batch = 2
every = {{ generator = 2 }}
augment = {{ flip = 0.0 }}
[record]
sample_every = 0
checkpoint_every = 4
observers = []
[evaluations]
reconstruction = false
grid = false
"""


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(RECIPE.format(root=draw_folders(tmp_path / "data", side=16)), tmp_path)


def plain(nets, held):
    G_A, G_B, D_A, D_B = nets["G_AB"], nets["G_BA"], nets["D_B"], nets["D_A"]  # the paper's names
    critics = [*D_A.parameters(), *D_B.parameters()]
    of_D = torch.optim.RMSprop(critics, 5e-5, 0.9)
    of_G = torch.optim.RMSprop(chain(G_A.parameters(), G_B.parameters()), 5e-5, 0.9)

    def play(step, batch):
        u, v = batch["A"], batch["B"]
        made_v, made_u = G_A(u), G_B(v)  # dropout is drawn here, once for both players
        of_D.zero_grad()
        loss = D_A(made_v.detach())[0].mean() - D_A(v)[0].mean()  # Eq. 1
        loss = loss + D_B(made_u.detach())[0].mean() - D_B(u)[0].mean()  # Eq. 2
        loss.backward()
        of_D.step()
        with torch.no_grad():
            for weight in critics:
                weight.clamp_(-0.01, 0.01)
        if step % 2:
            return
        of_G.zero_grad()
        loss = 200 * 2 * (G_B(made_v) - u).abs().mean() - D_A(made_v)[0].mean()  # Eq. 3
        loss = loss + 200 * 2 * (G_A(made_u) - v).abs().mean() - D_B(made_u)[0].mean()
        loss.backward()
        of_G.step()

    return play


def test_equals_a_plain_loop(case: Case) -> None:
    assert_equals_plain(case, plain, "generator.dropout=0.0")


def test_in_half_precision(case: Case) -> None:
    assert_half(case)


def test_recorded_steps_are_the_same(case: Case) -> None:
    assert assert_recorded(case) == ""


def test_critics_stay_within_the_clip(case: Case) -> None:
    engine, _ = train(case, steps=3)
    weights = [float(p.detach().abs().max()) for name in ("D_A", "D_B") for p in engine.networks[name].parameters()]
    assert max(weights) <= 0.01 < max(float(p.detach().abs().max()) for p in engine.networks["G_AB"].parameters())


@pytest.mark.slow
def test_resumes_and_translates(case: Case, ganforge, tmp_path: Path) -> None:
    weights = assert_resumes(case, ganforge, tmp_path, stop=3, steps=5)
    trained = load_trained(weights, case.plugins, CPU)
    pictures = torch.rand(2, 3, 16, 16)
    with trained.evaluating():
        first = trained.translate("AB", pictures)
    with trained.evaluating():
        again = trained.translate("AB", pictures)
    assert torch.equal(first, again)
    folder = tmp_path / "data" / "testA"
    result = ganforge("translate", weights, folder, "--direction", "AB", "--out", tmp_path / "out")
    assert result.status == 0, result.err
    assert len(list((tmp_path / "out").iterdir())) == 6
