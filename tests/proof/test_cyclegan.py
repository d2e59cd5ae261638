"""CycleGAN in its authors' order: generators first, and discriminators that are shown a pool of past fakes."""

import pytest
import torch

from ganforge import load_trained
from tests.proof.harness import CPU, Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes
from tests.proof.plain import adam, calls, descend, score, with_weights
from tests.proof.small import draw_folders

RECIPE = """
extends = "base_cyclegan"
[dataset]
use = "folders"
load = 10
size = 8
[generator]
width = 2
blocks = 1
[discriminator]
width = 2
layers = 1
[values.shown]
size = 6
[optimizer]
lr = { steps = [0, 3, 9], values = [2e-4, 2e-4, 0.0], between = "linear" }
[train]
steps = 9
batch = 3
[record]
checkpoint_every = 4
sample_every = 0
"""


@pytest.fixture
def case(tmp_path):
    root = draw_folders(tmp_path / "data", side=12)
    return Case(RECIPE.replace('"folders"', f'"folders"\nroot = "{root}"'), tmp_path)


class Pool:
    """The authors' `util/image_pool.py`, with torch's random numbers."""

    def __init__(self, size):
        self.size, self.images = size, []

    def query(self, images):
        shown = []
        for image in images:
            place, chance = int(torch.randint(self.size, (1,))), float(torch.rand(1))
            if len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            elif chance < 0.5:
                shown.append(self.images[place])
                self.images[place] = image
            else:
                shown.append(image)
        return torch.stack(shown)


def plain(networks, held):
    G, F, D_X, D_Y = (networks[name] for name in ("G_AB", "G_BA", "D_A", "D_B"))
    for_G, for_D = adam(G, F), adam(D_X, D_Y)
    pool_Y, pool_X = Pool(6), Pool(6)

    def play(step, batch):
        for optimizer in (for_G, for_D):
            optimizer.param_groups[0]["lr"] = 2e-4 * (1 if step < 3 else (9 - step) / 6)
        x, y = batch["A"], batch["B"]
        fake_y, fake_x = G(x), F(y)
        loss = ((score(D_Y, fake_y) - 1) ** 2).mean() + ((score(D_X, fake_x) - 1) ** 2).mean()
        # The paper's pixels lie in -1..1, where differences are twice as large.
        loss = loss + 10 * 2 * ((F(fake_y) - x).abs().mean() + (G(fake_x) - y).abs().mean())
        loss = loss + 5 * 2 * ((G(y) - y).abs().mean() + (F(x) - x).abs().mean())
        descend(for_G, loss)

        shown_y, shown_x = pool_Y.query(fake_y.detach()), pool_X.query(fake_x.detach())
        loss = 0
        for D, real, shown in ((D_Y, y, shown_y), (D_X, x, shown_x)):
            loss = loss + (((score(D, real) - 1) ** 2).mean() + (score(D, shown) ** 2).mean()) / 2
        descend(for_D, loss)
        for way, pool in (("AB", pool_Y), ("BA", pool_X)):
            buffers = held[f"values.shown.{way}"]
            buffers.past = torch.zeros(6, *x.shape[1:], dtype=x.dtype)
            buffers.past[: len(pool.images)] = torch.stack(pool.images)
            buffers.count.fill_(len(pool.images))

    return play


def test_equals_a_plain_loop(case):
    assert_equals_plain(case, plain)


def test_no_generator_is_called_again_for_the_discriminators(case):
    engine, batches = case.engine("compute.compile=false")
    counted = {}
    calls(engine.networks.items(), counted)
    engine.step(0, batches(0))
    # A generator: fake, reconstruction, identity. A discriminator: the fake for the generator; real and shown.
    assert counted == {"G_AB": 3, "G_BA": 3, "D_A": 3, "D_B": 3}


def test_without_lasting_the_fakes_are_made_again(case):
    engine, batches = case.engine("compute.compile=false", "values.fake.lasts=false")
    counted = {}
    calls(engine.networks.items(), counted)
    engine.step(0, batches(0))
    assert counted == {"G_AB": 4, "G_BA": 4, "D_A": 3, "D_B": 3}


def test_half_precision(case):
    assert_half(case)


def test_recorded(case):
    assert assert_recorded(case) == ""


def test_resumes_and_translates(case, ganforge, tmp_path):
    folder = assert_resumes(case, ganforge, tmp_path)
    trained = load_trained(folder, case.plugins, CPU)
    samples = torch.rand(5, 3, 8, 8)
    with trained.evaluating():
        found = {way: trained.translate(way, samples) for way in ("AB", "BA")}
    for way in ("AB", "BA"):
        network = with_weights(case.engine()[0].networks[f"G_{way}"], folder, f"G_{way}")
        torch.testing.assert_close(found[way], network(samples).detach())
