"""StarGAN as a foreign plugin (Choi et al. 2018)."""

from itertools import permutations
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from ganforge import load_trained
from tests.proof.harness import CPU, Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes
from tests.proof.small import settings

PLUGIN = Path(__file__).parent / "methods" / "stargan.py"
RECIPE = """
[dataset]
use = "three-clouds"
[generator]
use = "stargan"
hidden = 5
[discriminator]
use = "stargan"
hidden = 5
[values.fake]
use = "translated"
[values.reconstructed]
use = "translated"
on = { source = "fake", target_label = "source_label" }
[losses.adversarial]
use = "wasserstein"
[losses.penalty]
use = "gradient-penalty"
weight = 10.0
[losses.classification]
use = "classification"
[losses.reconstruction]
use = "l1"
weight = 10.0
"""


@pytest.fixture
def case(tmp_path: Path) -> Case:
    recipe = settings("stargan").replace("batch = 3", "batch = 3\nevery = { generator = 2 }")
    return Case(RECIPE + recipe, tmp_path, PLUGIN)


def plain(nets, held):
    G, D = nets["G"], nets["D"]
    of_D = torch.optim.Adam(D.parameters(), 2e-4, (0.5, 0.999))
    of_G = torch.optim.Adam(G.parameters(), 2e-4, (0.5, 0.999))

    def play(step, batch):
        loss = 0
        for s, t in permutations(range(3), 2):  # Eq. 5
            x, fake, c = batch["ABC"[t]], G(batch["ABC"[s]], t).detach(), batch[f"{'ABC'[t]}.label"]
            assert (c == t).all()
            share = torch.rand(len(x), 1, dtype=torch.float64)
            between = (share * x + (1 - share) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(D(between)[0].sum(), between, create_graph=True)
            penalty = ((slope.square().sum(1).sqrt() - 1) ** 2).mean()
            loss = loss + D(fake)[0].mean() - D(x)[0].mean() + 10 * penalty + cross_entropy(D(x)[2], c)
        of_D.zero_grad()
        loss.backward()
        of_D.step()
        if step % 2:
            return
        loss = 0
        for s, t in permutations(range(3), 2):  # Eq. 6
            x = batch["ABC"[s]]
            fake = G(x, t)
            back = (G(fake, s) - x).abs().mean()
            loss = loss - D(fake)[0].mean() + cross_entropy(D(fake)[2], torch.full((3,), t)) + 10 * back
        of_G.zero_grad()
        loss.backward()
        of_G.step()

    return play


def test_equals_a_plain_loop(case: Case) -> None:
    assert_equals_plain(case, plain)


def test_in_half_precision(case: Case) -> None:
    assert_half(case)


def test_recorded_steps_are_the_same(case: Case) -> None:
    assert assert_recorded(case) == ""


def test_resumes_and_translates(case: Case, ganforge, tmp_path: Path) -> None:
    weights = assert_resumes(case, ganforge, tmp_path)
    G = case.engine()[0].networks["G"]
    G.load_state_dict(load_file(weights / "G.safetensors"))
    trained = load_trained(weights, case.plugins, CPU)
    assert trained.directions == ("AB", "AC", "BA", "BC", "CA", "CB")
    points = torch.randn(7, 2)
    with trained.evaluating():
        assert torch.equal(trained.translate("CA", points), G(points, 0))
        assert torch.equal(trained.translate("CA", points, value="reconstructed"), G(G(points, 0), 2))
