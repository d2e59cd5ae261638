"""Adaptive augmentation: a probability that an update steers, and changes through which the generator learns."""

from pathlib import Path

import pytest
import torch

from ganforge import load_trained
from tests.conftest import draw_pairs
from tests.proof.harness import CPU, Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes
from tests.proof.plain import adam, calls, descend, score, with_weights

PLUGIN = Path(__file__).parent / "methods" / "ada.py"
RECIPE = """
[dataset]
use = "edges2photo"
root = "pairs"
size = 8
[coupling]
use = "discogan"
[generator]
use = "mlp"
hidden = 8
[discriminator]
use = "mlp"
hidden = 8
layers = 3
[values.shown]
use = "changed"
[values.shown_real]
use = "changed"
on = { fake = "real" }
[losses.adversarial]
use = "gan"
[updates.ada]
use = "adaptive"
target = -0.5
speed = 0.1
interval = 2
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
    draw_pairs(tmp_path / "pairs")
    return Case(RECIPE.replace('"pairs"', f'"{tmp_path / "pairs"}"'), tmp_path, PLUGIN)


def plain(networks, held):
    ways = (("AB", "A", "B", "G_AB", "D_B"), ("BA", "B", "A", "G_BA", "D_A"))
    for_D = adam(networks["D_A"], networks["D_B"])
    for_G = adam(networks["G_AB"], networks["G_BA"])
    p = {way: held[f"values.probability.{way}"].p for way, *_ in ways}

    def changed(x, p):
        now = torch.rand(len(x), 1, 1, 1, dtype=x.dtype) < p
        return x + now * 0.2 * torch.randn(len(x), 1, 1, 1, dtype=x.dtype)

    def play(step, batch):
        loss, shown, signs = 0, {}, {}
        for way, source, target, G, D in ways:
            real = score(networks[D], changed(batch[target], p[way]))
            shown[way] = changed(networks[G](batch[source]), p[way])
            fake = score(networks[D], shown[way].detach())
            loss = loss - torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(fake)).mean()
            signs[way] = real.detach().sign().mean()
        descend(for_D, loss)
        if step % 2 == 0:
            for way, sign in signs.items():
                p[way].copy_((p[way] + 0.1 * (sign + 0.5).sign()).clamp(0, 1))
        descend(for_G, sum(-torch.log(torch.sigmoid(score(networks[D], shown[way]))).mean() for way, *_, D in ways))

    return play


def test_equals_a_plain_loop(case):
    assert_equals_plain(case, plain)


def test_the_probability_moves_with_the_mean_sign(case):
    engine, batches = case.engine("updates.ada.target=-1.5")
    p = [engine.held[f"values.probability.{way}"].module.p for way in ("AB", "BA")]
    seen = []
    for step in range(5):
        engine.step(step, batches(step))
        seen.append(tuple(round(float(one), 3) for one in p))
    assert seen == [(0.1, 0.1), (0.1, 0.1), (0.2, 0.2), (0.2, 0.2), (0.3, 0.3)]


def test_the_generators_turn_judges_no_real_samples_for_the_update(case):
    engine, batches = case.engine()
    counted = {}
    calls(engine.networks.items(), counted)
    engine.step(0, batches(0))
    assert counted == {"G_AB": 1, "G_BA": 1, "D_A": 3, "D_B": 3}


def test_half_precision(case):
    assert_half(case)


def test_is_not_recorded_since_an_update_asks_for_values(case):
    assert assert_recorded(case) == "an update asks for values"


def test_resumes_and_translates(case, ganforge, tmp_path):
    folder = assert_resumes(case, ganforge, tmp_path)
    trained = load_trained(folder, case.plugins, CPU)
    pictures = torch.rand(5, 3, 8, 8)
    with trained.evaluating():
        found = trained.translate("AB", pictures)
    G = with_weights(case.engine()[0].networks["G_AB"], folder, "G_AB")
    torch.testing.assert_close(found, G(pictures).detach())
