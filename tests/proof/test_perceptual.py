"""A loss that holds a frozen network: it is used, not learnt, and not saved."""

import copy

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from ganforge import load_trained
from tests.conftest import draw_pairs
from tests.proof.harness import CPU, Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes
from tests.proof.plain import adam, descend, score, with_weights

RECIPE = """
[dataset]
use = "edges2photo"
root = "pairs"
size = 16
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
[losses.perceptual]
use = "perceptual"
weight = 4.0
weights = "phi.safetensors"
network = "squeezenet1_1"
layers = ["features.1", "features.3"]
factors = [0.25, 1.0]
distance = "l2"
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

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


@pytest.fixture
def case(tmp_path):
    draw_pairs(tmp_path / "pairs")
    torch.manual_seed(5)
    save_file(torchvision.models.squeezenet1_1().state_dict(), tmp_path / "phi.safetensors")
    recipe = RECIPE.replace('"pairs"', f'"{tmp_path / "pairs"}"')
    return Case(recipe.replace('"phi.safetensors"', f'"{tmp_path / "phi.safetensors"}"'), tmp_path)


def plain(networks, held):
    ways = (("AB", "A", "B", "G_AB", "G_BA", "D_B"), ("BA", "B", "A", "G_BA", "G_AB", "D_A"))
    for_D = adam(networks["D_A"], networks["D_B"])
    for_G = adam(networks["G_AB"], networks["G_BA"])
    torch.manual_seed(5)
    phi = torchvision.models.squeezenet1_1().features.double().eval().requires_grad_(False)
    mean, deviation = (torch.tensor(three)[:, None, None].double() for three in (MEAN, DEVIATION))

    def apart(x, y, layers):
        return ((phi[:layers]((x - mean) / deviation) - phi[:layers]((y - mean) / deviation)) ** 2).mean()

    def play(step, batch):
        loss = 0
        for _, source, target, G, _, D in ways:
            fake = torch.sigmoid(score(networks[D], networks[G](batch[source]).detach()))
            loss = (
                loss - torch.log(torch.sigmoid(score(networks[D], batch[target]))).mean() - torch.log(1 - fake).mean()
            )
        descend(for_D, loss)
        loss = 0
        for _, source, _, G, back, D in ways:
            x = batch[source]
            fake = networks[G](x)
            again = networks[back](fake)
            loss = loss - torch.log(torch.sigmoid(score(networks[D], fake))).mean()
            loss = loss + 4 * (0.25 * apart(again, x, 2) + apart(again, x, 4))
        descend(for_G, loss)

    return play


def test_equals_a_plain_loop(case):
    assert_equals_plain(case, plain)


def test_the_frozen_network_stays_as_it_is_and_belongs_to_no_player(case):
    engine, batches = case.engine()
    before = copy.deepcopy(engine.held["losses.perceptual.AB"].module.state_dict())
    engine.step(0, batches(0))
    after = engine.held["losses.perceptual.AB"].module.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any("perceptual" in name for player in engine.players.values() for name in player.names)


def test_half_precision(case):
    assert_half(case)


def test_recorded(case):
    assert assert_recorded(case) == ""


@pytest.mark.slow
def test_resumes_and_translates_and_does_not_save_what_is_frozen(case, ganforge, tmp_path):
    folder = assert_resumes(case, ganforge, tmp_path)
    frozen = next(case.engine()[0].held["losses.perceptual.AB"].module.phi.parameters())
    saved = [tensor for file in folder.glob("*.safetensors") for tensor in load_file(file).values()]
    assert not any(tensor.shape == frozen.shape for tensor in saved)
    trained = load_trained(folder, case.plugins, CPU)
    pictures = torch.rand(5, 3, 16, 16)
    with trained.evaluating():
        found, again = (trained.translate("BA", pictures, value=value) for value in ("fake", "reconstructed"))
    G_BA, G_AB = (with_weights(case.engine()[0].networks[name], folder, name) for name in ("G_BA", "G_AB"))
    torch.testing.assert_close(found, G_BA(pictures).detach())
    torch.testing.assert_close(again, G_AB(G_BA(pictures)).detach())
