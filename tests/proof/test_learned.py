"""Losses with parameters of their own: the player that asks for the loss learns them, and they are saved."""

from pathlib import Path

import pytest
import torch

from ganforge import load_trained
from tests.proof.harness import CPU, Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes, train
from tests.proof.plain import adam, descend, score, with_weights

PLUGIN = Path(__file__).parent / "methods" / "learned.py"
RECIPE = """
[dataset]
use = "mixture"
[coupling]
use = "discogan"
[generator]
use = "mlp"
hidden = 8
[discriminator]
use = "mlp"
hidden = 8
layers = 3
[losses.adversarial]
use = "gan"
[losses.reconstruction]
use = "weighed"
[losses.contrast]
use = "projected"
inputs = 2
weight = 2.0
[optimizer]
use = "adam"
lr = 1e-3
[train]
steps = 9
batch = 4
[record]
checkpoint_every = 4
sample_every = 0
"""


@pytest.fixture
def case(tmp_path):
    return Case(RECIPE, tmp_path, PLUGIN)


def plain(networks, held):
    ways = (("AB", "A", "B", "G_AB", "G_BA", "D_B"), ("BA", "B", "A", "G_BA", "G_AB", "D_A"))
    for_D = adam(networks["D_A"], networks["D_B"])
    for_G = adam(networks["G_AB"], networks["G_BA"], *held.values())

    def play(step, batch):
        loss = 0
        for _, source, target, G, _, D in ways:
            fake = torch.sigmoid(score(networks[D], networks[G](batch[source]).detach()))
            loss = (
                loss - torch.log(torch.sigmoid(score(networks[D], batch[target]))).mean() - torch.log(1 - fake).mean()
            )
        descend(for_D, loss)
        loss = 0
        for way, source, _, G, back, D in ways:
            x, s, h = batch[source], held[f"losses.reconstruction.{way}"].s, held[f"losses.contrast.{way}"].h
            fake = networks[G](x)
            loss = loss - torch.log(torch.sigmoid(score(networks[D], fake))).mean()
            loss = loss + torch.exp(-s) * ((networks[back](fake) - x) ** 2).mean() + s
            like = torch.nn.functional.cosine_similarity(h(fake)[:, None], h(x)[None], dim=2) / 0.5
            loss = loss - 2 * (like.diagonal() - like.logsumexp(1)).mean()
        descend(for_G, loss)

    return play


def test_equals_a_plain_loop(case):
    assert_equals_plain(case, plain)


def test_the_generator_learns_them_and_each_direction_has_its_own(case):
    engine, _ = train(case, steps=3)
    s = {way: engine.held[f"losses.reconstruction.{way}"].module.s.item() for way in ("AB", "BA")}
    assert 0 not in s.values()
    assert {"losses.reconstruction.AB.s", "losses.contrast.BA.h.0.weight"} <= set(engine.players["generator"].names)
    assert not any("losses" in name for name in engine.players["discriminator"].names)


def test_half_precision(case):
    assert_half(case)


def test_recorded(case):
    assert assert_recorded(case) == ""


def test_resumes_and_translates(case, ganforge, tmp_path):
    folder = assert_resumes(case, ganforge, tmp_path)
    trained = load_trained(folder, case.plugins, CPU)
    points = torch.randn(5, 2)
    with trained.evaluating():
        found = trained.translate("BA", points)
    G_BA = with_weights(case.engine()[0].networks["G_BA"], folder, "G_BA")
    torch.testing.assert_close(found, G_BA(points).detach())
