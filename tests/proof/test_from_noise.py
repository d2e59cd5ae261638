"""DCGAN, WGAN, WGAN-GP and R3GAN's loss, from noise: each equals a plain loop written from its paper."""

import importlib
import math

import pytest
import torch

from ganforge import load_trained, random_generator
from tests.conftest import draw_pairs
from tests.proof.harness import CPU, Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes, train
from tests.proof.plain import adam, descend, score, with_weights

HEAD = """
[dataset]
use = "mixture"
[coupling]
use = "from-noise"
shape = [16]
[generator]
use = "mlp"
hidden = 8
[discriminator]
use = "mlp"
hidden = 8
layers = 3
[train]
steps = 9
batch = 8
{train}
[record]
checkpoint_every = 4
sample_every = 0
"""
ADAM = """
[optimizer]
use = "adam"
lr = 1e-3
"""
DCGAN = """
[values.source]
use = "uniform"
[losses.adversarial]
use = "gan"
"""
WGAN = """
[losses.adversarial]
use = "wasserstein"
[updates.clip]
use = "clip"
weights = 0.1
players = ["discriminator"]
[optimizer]
use = "rmsprop"
lr = 1e-3
"""
WGAN_GP = """
[losses.adversarial]
use = "wasserstein"
[losses.penalty]
use = "gradient-penalty"
weight = 10.0
scale = 2.0
[losses.r1]
use = "r1"
weight = { steps = [0], values = [30.0], every = 3 }
"""
R3GAN = """
[losses.adversarial]
use = "relativistic"
[losses.r1]
use = "r1"
weight = { steps = [0, 4], values = [2.0, 0.2], between = "cosine" }
scale = 2.0
[losses.r2]
use = "r2"
weight = { steps = [0, 4], values = [2.0, 0.2], between = "cosine" }
scale = 2.0
[updates.ema]
use = "ema"
half_life = 3.0
[optimizer]
use = "adam"
lr = { steps = [0, 4], values = [1e-3, 2e-4], between = "cosine" }
betas = [0.0, 0.9]
beta2 = { steps = [0, 4], values = [0.9, 0.99], between = "cosine" }
"""
FIVE = "every = { generator = 5 }"
RECIPES = {
    "dcgan": HEAD.format(train="") + DCGAN + ADAM,
    "wgan": HEAD.format(train=FIVE) + WGAN,
    "wgan-gp": HEAD.format(train=FIVE) + WGAN_GP + ADAM,
    "r3gan": HEAD.format(train="") + R3GAN,
}
RECIPE = RECIPES["wgan-gp"]


SOME_OF_THEM = pytest.mark.parametrize(
    "method",
    [name if name in ("dcgan", "r3gan") else pytest.param(name, marks=pytest.mark.slow) for name in RECIPES],
    indirect=True,
)


@pytest.fixture(params=list(RECIPES))
def method(request):
    return request.param


@pytest.fixture
def case(method, tmp_path):
    return Case(RECIPES[method], tmp_path)


@pytest.fixture
def gp(tmp_path):
    return Case(RECIPE, tmp_path)


def on_pictures(tmp_path, norm="none"):
    """Overrides for a data set of pictures and DCGAN's networks."""
    data = ["dataset.use=edges2photo", f"dataset.root={draw_pairs(tmp_path / 'pairs')}", "dataset.size=8"]
    networks = [f"{role}.{setting}" for role in ("generator", "discriminator") for setting in ("use=dcgan", "width=4")]
    return [*data, *networks, f"discriminator.norm={norm}", "train.batch=4"]


def gradient(D, x):
    """The gradient of D's score with respect to its input, of pixels in [-1, 1] where these lie in [0, 1]."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(score(D, x).sum(), x, create_graph=True)[0].flatten(1) / 2


def plain_dcgan(networks, held):
    G, D = networks["G"], networks["D"]
    for_G, for_D = adam(G), adam(D)

    def play(step, batch):
        normal = torch.distributions.Normal(0.0, 1.0)
        z = 2 * normal.cdf(batch["Z"]) - 1  # uniform in (-1, 1)
        fake = G(z)
        real, made = torch.sigmoid(score(D, batch["B"])), torch.sigmoid(score(D, fake.detach()))
        descend(for_D, -torch.log(real).mean() - torch.log(1 - made).mean())
        descend(for_G, -torch.log(torch.sigmoid(score(D, fake))).mean())

    return play


def plain_wgan(networks, held):
    G, D = networks["G"], networks["D"]
    for_G, for_D = (torch.optim.RMSprop(network.parameters(), lr=1e-3, foreach=False) for network in (G, D))

    def play(step, batch):
        fake = G(batch["Z"])
        descend(for_D, score(D, fake.detach()).mean() - score(D, batch["B"]).mean())
        for parameter in D.parameters():
            parameter.data.clamp_(-0.1, 0.1)
        if step % 5 == 0:
            descend(for_G, -score(D, fake).mean())

    return play


def plain_wgan_gp(networks, held):
    G, D = networks["G"], networks["D"]
    for_G, for_D = adam(G), adam(D)

    def play(step, batch):
        x, fake = batch["B"], G(batch["Z"])
        made = fake.detach()
        e = torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype)
        loss = score(D, made).mean() - score(D, x).mean()
        loss = loss + 10 * ((gradient(D, e * x + (1 - e) * made).norm(dim=1) - 1) ** 2).mean()
        if step % 3 == 0:
            loss = loss + 30 * (2 * gradient(D, x)).square().sum(1).mean() / 2
        descend(for_D, loss)
        if step % 5 == 0:
            descend(for_G, -score(D, fake).mean())

    return play


def plain_r3gan(networks, held):
    G, D = networks["G"], networks["D"]
    for_G, for_D = adam(G), adam(D)

    def along(step, first, last):
        return last + (first - last) * (1 + math.cos(math.pi * min(step, 4) / 4)) / 2

    def play(step, batch):
        for optimizer in (for_G, for_D):
            optimizer.param_groups[0]["lr"] = along(step, 1e-3, 2e-4)
            optimizer.param_groups[0]["betas"] = (0.0, along(step, 0.9, 0.99))
        x, fake = batch["B"], G(batch["Z"])
        made, gamma = fake.detach(), along(step, 2, 0.2)
        penalties = gradient(D, x).square().sum(1) + gradient(D, made).square().sum(1)
        loss = -torch.log(torch.sigmoid(score(D, x) - score(D, made))).mean()
        descend(for_D, loss + gamma / 2 * penalties.mean())
        descend(for_G, -torch.log(torch.sigmoid(score(D, fake) - score(D, x))).mean())

    return play


PLAIN = {"dcgan": plain_dcgan, "wgan": plain_wgan, "wgan-gp": plain_wgan_gp, "r3gan": plain_r3gan}


def test_equals_a_plain_loop(method, case):
    sets = ["updates.ema=false"] if method == "r3gan" else []
    assert_equals_plain(case, PLAIN[method], *sets)


@pytest.mark.parametrize("shape", [[16], [16, 1, 1]], ids=str)
def test_equals_a_plain_loop_on_pictures(shape, method, case, tmp_path):
    sets = ["updates.ema=false"] if method == "r3gan" else []
    norm = "batch" if method in ("dcgan", "wgan") else "none"
    augment = "train.augment={flip=0.5, shift=0.2}"
    assert_equals_plain(
        case, PLAIN[method], *on_pictures(tmp_path, norm), f"coupling.shape={shape}", augment, *sets, steps=6
    )


@SOME_OF_THEM
def test_half_precision(case):
    assert_half(case)


@SOME_OF_THEM
def test_recorded(case):
    assert assert_recorded(case) == ""


@SOME_OF_THEM
def test_resumes_and_draws(method, case, ganforge, tmp_path):
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
    if method == "dcgan":
        z = torch.erf(z / 2**0.5)
    torch.testing.assert_close(drawn, G(z).detach())


def test_random_changes_of_pictures_leave_noise_alone(gp, tmp_path):
    sets = [*on_pictures(tmp_path), "coupling.shape=[3, 8, 8]", "generator.use=mlp"]
    _, changed = gp.engine(*sets, "train.augment={flip=0.5, shift=0.2}")
    _, same = gp.engine(*sets)
    assert torch.equal(changed(2)["Z"], same(2)["Z"])
    assert not torch.equal(changed(2)["B"], same(2)["B"])


def test_the_critic_takes_five_steps_for_each_of_the_generators(gp):
    _, losses = train(gp, steps=11)
    assert [step for step, found in enumerate(losses) if "generator" in found] == [0, 5, 10]
    assert all("discriminator" in found for found in losses)


def test_the_lazy_penalty_is_computed_in_its_steps_alone(gp):
    engine, _ = gp.engine()
    named = ["discriminator.r1.B" in engine.loss_names("discriminator", step) for step in range(7)]
    assert named == [True, False, False, True, False, False, True]


def test_either_domain_can_be_learnt(gp):
    engine, batches = gp.engine("coupling.domain=A")
    engine.step(0, batches(0))
    assert set(engine.networks) == {"G", "D"}
    assert "discriminator.penalty.A" in engine.loss_names("discriminator", 0)


def test_uniform_noise_is_uniform(gp):
    _, batches = gp.engine("train.batch=2000")
    uniform = gp.plugins.registry.find("value", "uniform").factory(batches(0)["Z"]).flatten()
    assert float(uniform.min()) > -1
    assert float(uniform.max()) < 1
    counts = torch.histc(uniform, 10, -1, 1) / len(uniform)
    torch.testing.assert_close(counts, torch.full((10,), 0.1), rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["coupling.domain=C"], "the view C needs a domain 'C', which the data set does not have"),
        (["coupling.shape=[]"], "coupling.shape"),
        (["coupling.shape=[0]"], "coupling.shape"),
        (["generator.use=dcgan"], "'dcgan' needs pictures"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_said_with_its_place(sets, message, gp, ganforge):
    words = [word for text in sets for word in ("--set", text)]
    result = ganforge("validate", gp.recipe, *words)
    assert result.status == 2
    assert message in result.err


@pytest.mark.parametrize("shape", [pytest.param([16], marks=pytest.mark.slow), [16, 1, 1]], ids=str)
def test_sample_pictures_show_what_is_drawn_and_evaluations_judge_it(shape, gp, ganforge, tmp_path):
    evaluations = ["evaluations.diversity={use='diversity'}", "evaluations.grid={use='grid'}"]
    sets = [*on_pictures(tmp_path), f"coupling.shape={shape}", "record.sample_every=1", *evaluations]
    words = [word for text in sets for word in ("--set", text)]
    result = ganforge("run", gp.recipe, "--out", "out", "--set", "train.steps=1", *words)
    assert result.status == 0, result.err
    assert len(list((tmp_path / "out").glob("*/*/samples/*.png"))) == 2
    result = ganforge("evaluate", next((tmp_path / "out").glob("*/*")))
    assert result.status == 0, result.err
    assert "diversity_B" in result.out


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("fid", "fid"),
        pytest.param("kid", "kid", marks=pytest.mark.slow),
        pytest.param("precision-recall", "recall", marks=pytest.mark.slow),
    ],
)
def test_what_is_drawn_is_compared_with_the_domain(name, metric, gp, tmp_path, monkeypatch, ganforge):
    compared, networks = (
        importlib.import_module(f"ganforge_evaluations.fidelity.{name}") for name in ("compared", "networks")
    )
    own = networks.FeatureNetwork("own", "0123", 3, (8, 8), lambda pictures: pictures.flatten(1)[:, :8])
    monkeypatch.setattr(compared, "find_network", lambda path, device: own)
    words = [word for text in [*on_pictures(tmp_path), "train.steps=1"] for word in ("--set", text)]
    result = ganforge("run", gp.recipe, "--out", "out", *words, "--set", f"evaluations.judge={{use='{name}'}}")
    assert result.status == 0, result.err
    assert f"{metric}_B" in result.out
