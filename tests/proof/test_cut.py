"""CUT, FastCUT and SinCUT as shipped, against loops written from the paper and its code (Park et al. 2020)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import softplus

from tests.proof.harness import Case, assert_equals_plain, assert_recorded, assert_resumes, train
from tests.proof.plain import descend, score, with_weights
from tests.proof.small import draw_folders, settings

EPSILON = 1e-4  # biases before an instance norm have no gradient but rounding, which Adam would enlarge
RESNET = """
[generator]
width = 4
blocks = 1
[heads]
width = 6
layers = [0, 4, 12]
[discriminator]
width = 4
layers = 1
[losses.nce]
patches = 5
"""
METHODS = {  # base recipes, made narrow
    "cut": RESNET + "[losses.identity]\npatches = 5\n",
    "fastcut": RESNET,
    "sincut": "[generator]\nwidth = 1\nblocks = 4\n[heads]\nwidth = 6\n[discriminator]\nwidth = 1\n",
}


@pytest.fixture(params=["cut", *(pytest.param(name, marks=pytest.mark.slow) for name in ("fastcut", "sincut"))])
def case(request, tmp_path: Path) -> Case:
    common = settings("cut", draw_folders(tmp_path / "data"))
    common = common.replace("size = 8", "size = 8\nload = 8").replace('use = "adam"', f'use = "adam"\neps = {EPSILON}')
    look = "[evaluations]\ngrid = false\n"
    made = Case(f'extends = "base_{request.param}"\n{common}{look}{METHODS[request.param]}', tmp_path)
    made.kind = request.param
    return made


def plain(kind):
    """The authors' order: D on the fakes, then G and H on the same ones."""
    single = kind == "sincut"

    def make(nets, held):
        G, H, D = nets["G"], nets["H"], nets["D"]
        sequence, chosen = (G.encoder, (0, 2, 4)) if single else (G.layers, (0, 4, 12))
        rate, betas = (2e-3, (0.0, 0.99)) if single else (2e-4, (0.5, 0.999))
        of_D = torch.optim.Adam(D.parameters(), rate, betas, eps=EPSILON)
        of_G = torch.optim.Adam([*G.parameters(), *H.parameters()], rate, betas, eps=EPSILON)
        count = 1 if single else 5

        def layers(x):
            found, hidden = [], 2 * x - 1
            for number, layer in enumerate(sequence):
                hidden = layer(hidden)
                found += [hidden] if number in chosen else []
            return found

        def nce(x, y, mirrored=False):
            total = 0
            of_x, of_y = layers(x), [f.flip(3) if mirrored else f for f in layers(y)]
            places = [torch.randperm(f.shape[2] * f.shape[3])[:count] for f in of_y]
            for fx, fy, place, mlp in zip(of_x, of_y, places, H.mlps, strict=True):
                sets = []
                for f in (fx, fy):
                    vectors = mlp(torch.stack([one.flatten(1)[:, place].T for one in f]))  # [N, S, width]
                    # Unlike the root of the sum of squares, it has a gradient for a vector of zeros: 0.
                    sets.append(vectors / (torch.linalg.vector_norm(vectors, dim=2, keepdim=True) + 1e-7))
                k, q = sets[0].detach(), sets[1]
                if single:  # all crops are of one picture
                    k, q = k.reshape(1, -1, 6), q.reshape(1, -1, 6)
                losses = []
                for n in range(len(q)):
                    for s in range(q.shape[1]):  # Eq. 2
                        e = [torch.exp(q[n, s] @ k[n, t] / 0.07) for t in range(k.shape[1])]
                        losses.append(-torch.log(e[s] / sum(e)))
                total = total + sum(losses) / len(losses)
            return total / len(chosen)

        def play(step, batch):
            x, y = batch["A"], batch["B"]
            mirrored = kind == "fastcut" and bool(torch.rand(()) < 0.5)
            fake = G(x.flip(3) if mirrored else x)
            if single:  # pixels lie in -1..1 there: a slope is half as steep, and a distance twice as long
                y = y.clone().requires_grad_()
                real_score = score(D, y)
                (slope,) = torch.autograd.grad(real_score.sum(), y, create_graph=True)
                penalty = (slope / 2).square().flatten(1).sum(1).mean() / 2
                y = y.detach()
                descend(of_D, (softplus(-real_score).mean() + softplus(score(D, fake.detach())).mean()) / 2 + penalty)
                loss = softplus(-score(D, fake)).mean()
            else:
                descend(of_D, ((score(D, y) - 1).square().mean() + score(D, fake.detach()).square().mean()) / 2)
                loss = (score(D, fake) - 1).square().mean()
            if kind == "fastcut":
                loss = loss + 10 * nce(x, fake, mirrored)
            else:
                loss = loss + (4 if single else 1) * nce(x, fake) / 2
                identity = G(y)
                loss = loss + (4 if single else 1) * nce(y, identity) / 2
                loss = loss + ((2 * identity - 2 * y).abs().mean() if single else 0)
            descend(of_G, loss)

        return play

    return make


def test_equals_a_plain_loop(case: Case) -> None:
    assert_equals_plain(case, plain(case.kind))


def test_in_half_precision(case: Case) -> None:
    # At the published rate the first of Adam's steps are as large as the heads' weights, and rounding shows at once.
    sets = ("optimizer.lr=1e-6", "compute.compile=false")
    _, exact = train(case, *sets, "compute.precision=fp32", steps=3)
    _, half = train(case, *sets, "compute.precision=bf16", steps=3)
    for one, other in zip(exact, half, strict=True):
        for player, values in one.items():
            torch.testing.assert_close(torch.tensor(other[player]), torch.tensor(values), rtol=0.2, atol=0.2)


@pytest.mark.slow
def test_recorded_steps_are_the_same(case: Case) -> None:
    assert assert_recorded(case) == ""


def test_heads_learn_with_the_generator(case: Case) -> None:
    engine, _ = case.engine()
    assert list(engine.players["generator"].modules) == ["G", "H"]


@pytest.mark.slow
def test_resumes_and_translates_with_no_mirror(case: Case, ganforge, tmp_path: Path) -> None:
    weights = assert_resumes(case, ganforge, tmp_path)
    assert {"D.safetensors", "G.safetensors", "H.safetensors"} <= {path.name for path in weights.iterdir()}
    assert load_file(weights / "H.safetensors")["mlps.0.0.weight"].shape == (6, 3)
    if case.kind == "sincut":
        return  # its generator draws noise
    picture = next((tmp_path / "data" / "trainA").iterdir())
    result = ganforge("translate", weights, picture, "--direction", "AB", "--out", tmp_path / "out")
    assert result.status == 0, result.err
    G = with_weights(case.engine()[0].networks["G"], weights, "G")
    x = torch.from_numpy(np.array(Image.open(picture))).permute(2, 0, 1)[None] / 255
    expected = (G(x)[0] * 255).round().byte().permute(1, 2, 0).numpy()
    assert (np.array(Image.open(tmp_path / "out" / picture.name)) == expected).all()
