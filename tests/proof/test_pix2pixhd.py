"""pix2pixHD as it is shipped: three scales, feature matching and a perceptual loss, both players on the same translations."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import squeezenet1_1

from tests.proof.harness import Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes
from tests.proof.plain import adam, descend
from tests.proof.small import draw_negatives

RECIPE = """
extends = "base_pix2pixhd"
[dataset]
use = "pairs"
root = "{root}"
load = 20
size = 16
[generator]
width = 2
halvings = 2
blocks = 1
[discriminator]
width = 2
layers = 1
[losses.perceptual]
network = "squeezenet1_1"
weights = "{weights}"
layers = ["features.1", "features.3"]
factors = [0.25, 1.0]
[optimizer]
lr = 1e-3
[train]
steps = 6
batch = 2
[record]
checkpoint_every = 4
sample_every = 0
observers = []
"""


@pytest.fixture
def case(tmp_path: Path) -> Case:
    weights = tmp_path / "squeezenet.safetensors"
    save_file(squeezenet1_1().state_dict(), weights)
    return Case(RECIPE.format(root=draw_negatives(tmp_path / "data", side=20), weights=weights), tmp_path)


def plain(nets, held):
    """The authors' order: all losses first, then G learns, then D."""
    G, D = nets["G"], nets["D"]
    of_G, of_D = adam(G), adam(D)
    phi = squeezenet1_1().features
    phi.load_state_dict(seen_by(held))
    phi = phi[:4].double().eval().requires_grad_(False)

    def play(step, batch):
        x, y = batch["A"], batch["B"]
        fake = G(x)
        scores_of_fake, of_fake = D(torch.cat([x, fake], 1))
        scores_of_real, of_real = D(torch.cat([x, y], 1))
        loss = sum(((score - 1) ** 2).mean() for score in scores_of_fake)  # a sum over three scales
        assert len(scores_of_fake) == 3
        for one, other in zip(of_fake, of_real, strict=True):
            loss = loss + 10 * 4 / len(of_fake) * (one - other.detach()).abs().mean()
        one, other = 2 * fake - 1, 2 * y - 1
        for factor, layers in ((0.25, phi[:2]), (1.0, phi[2:])):
            one, other = layers(one), layers(other)
            loss = loss + 10 * factor * (one - other).abs().mean()
        scores_of_fake, _ = D(torch.cat([x, fake.detach()], 1))
        judged = sum(((score - 1) ** 2).mean() for score in scores_of_real)
        judged = judged + sum((score**2).mean() for score in scores_of_fake)
        gradients = torch.autograd.grad(3 / 3 * judged / 2, list(D.parameters()), retain_graph=True)
        descend(of_G, loss)
        for parameter, gradient in zip(D.parameters(), gradients, strict=True):
            parameter.grad = gradient
        of_D.step()

    return play


def seen_by(held):
    """The weights that the loss holds, under the network's own names, with random ones for layers that it leaves out."""
    state = squeezenet1_1().features.state_dict()
    (loss,) = (module for name, module in held.items() if name.startswith("losses.perceptual"))
    mine = {name.partition("features.")[2]: value for name, value in loss.state_dict().items() if "features." in name}
    return state | mine


def test_equals_a_plain_loop(case: Case) -> None:
    assert_equals_plain(case, plain)


def test_in_half_precision(case: Case) -> None:
    assert_half(case)


@pytest.mark.slow
def test_recorded_steps_are_the_same(case: Case) -> None:
    assert assert_recorded(case) == ""


@pytest.mark.slow
def test_resumes_and_translates(case: Case, ganforge, tmp_path: Path) -> None:
    weights = assert_resumes(case, ganforge, tmp_path)
    picture = next((tmp_path / "data" / "test").iterdir())
    result = ganforge("translate", weights, picture, "--direction", "AB", "--out", tmp_path / "out")
    assert result.status == 0, result.err
    assert (tmp_path / "out" / picture.name).is_file()
