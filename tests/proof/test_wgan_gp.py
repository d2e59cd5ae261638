"""WGAN-GP from noise: five critic steps to one of the generator, and penalties that differentiate twice."""

from pathlib import Path

import pytest
import torch

from ganforge import load_trained, random_generator
from tests.conftest import draw_pairs
from tests.proof.harness import CPU, Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes, train
from tests.proof.plain import adam, descend, score, with_weights

PLUGIN = Path(__file__).parent / "methods" / "wgan_gp.py"
RECIPE = """
[dataset]
use = "mixture"
[coupling]
use = "from-noise"
[generator]
use = "mlp"
hidden = 8
[discriminator]
use = "mlp"
hidden = 8
layers = 3
[losses.adversarial]
use = "wasserstein"
[losses.penalty]
use = "gradient-penalty"
weight = 10.0
[losses.r1]
use = "r1"
weight = { steps = [0], values = [30.0], every = 3 }
[optimizer]
use = "adam"
lr = 1e-3
[train]
steps = 9
batch = 8
every = { generator = 5 }
[record]
checkpoint_every = 4
sample_every = 0
"""
PICTURES = (
    *("dataset.use=edges2photo", "dataset.root={}", "dataset.size=8"),
    *("train.batch=4", "train.augment={{flip=0.5, shift=0.2}}"),
)


@pytest.fixture
def case(tmp_path):
    return Case(RECIPE, tmp_path, PLUGIN)


@pytest.fixture
def pictures(tmp_path):
    """Overrides for a data set of pictures, changed at random."""
    root = draw_pairs(tmp_path / "pairs")
    return [text.format(root) for text in PICTURES]


def plain(networks, held):
    G, D = networks["G"], networks["D"]
    for_G, for_D = adam(G), adam(D)

    def slope(x):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(score(D, x).sum(), x, create_graph=True)[0].flatten(1)

    def play(step, batch):
        z, x = batch["Z"], batch["B"]
        fake = G(z).detach()
        e = torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype)
        loss = score(D, fake).mean() - score(D, x).mean()
        loss = loss + 10 * ((slope(e * x + (1 - e) * fake).norm(dim=1) - 1) ** 2).mean()
        if step % 3 == 0:
            loss = loss + 30 * (slope(x) ** 2).sum(1).mean() / 2
        descend(for_D, loss)
        if step % 5 == 0:
            descend(for_G, -score(D, G(z)).mean())

    return play


@pytest.mark.parametrize("form", [[16], [16, 1, 1]], ids=str)
def test_equals_a_plain_loop(form, case):
    assert_equals_plain(case, plain, f"coupling.form={form}")


@pytest.mark.parametrize("form", [[16], [16, 1, 1]], ids=str)
def test_equals_a_plain_loop_on_pictures(form, case, pictures):
    assert_equals_plain(case, plain, f"coupling.form={form}", *pictures)


def test_random_changes_of_pictures_leave_noise_alone(case, pictures):
    sets = [*pictures, "coupling.form=[3, 8, 8]"]
    _, changed = case.engine(*sets)
    _, same = case.engine(*(text for text in sets if "augment" not in text))
    assert torch.equal(changed(2)["Z"], same(2)["Z"])
    assert not torch.equal(changed(2)["B"], same(2)["B"])


def test_the_critic_takes_five_steps_for_each_of_the_generators(case):
    _, losses = train(case, steps=11)
    assert [step for step, found in enumerate(losses) if "generator" in found] == [0, 5, 10]
    assert all("discriminator" in found for found in losses)


def test_the_lazy_penalty_is_computed_in_its_steps_alone(case):
    engine, _ = case.engine()
    named = ["discriminator.r1.B" in engine.loss_names("discriminator", step) for step in range(7)]
    assert named == [True, False, False, True, False, False, True]


def test_half_precision(case):
    assert_half(case)


def test_recorded(case):
    assert assert_recorded(case) == ""


def test_resumes_and_draws(case, ganforge, tmp_path):
    folder = assert_resumes(case, ganforge, tmp_path)
    trained = load_trained(folder, case.plugins, CPU)
    with trained.evaluating():
        drawn, again, other = (trained.draw("B", 20, seed=seed) for seed in (1, 1, 2))
        noise = trained.samples("test")["Z"]
    assert drawn.shape == (20, 2)
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn, other)
    G = with_weights(case.engine()[0].networks["G"], folder, "G")
    z = noise.draw(64, random_generator(1, "draw", "Z", 0))[:20]
    torch.testing.assert_close(drawn, G(z).detach())


@pytest.mark.parametrize("form", [[16], [16, 1, 1]], ids=str)
def test_sample_pictures_show_what_is_drawn(form, case, pictures, ganforge, tmp_path):
    sets = [word for text in [*pictures, f"coupling.form={form}", "record.sample_every=1"] for word in ("--set", text)]
    result = ganforge("run", case.recipe, "--out", "out", "--set", "train.steps=1", *sets)
    assert result.status == 0, result.err
    assert len(list((tmp_path / "out").glob("*/*/samples/*.png"))) == 2
