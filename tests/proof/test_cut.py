"""CUT as a foreign plugin (Park et al. 2020)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import softplus

from tests.proof.harness import Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes
from tests.proof.small import draw_folders, settings

PLUGIN = Path(__file__).parent / "methods" / "cut.py"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    root = draw_folders(tmp_path / "data")
    return Case(
        settings("cut", root)
        + """
[generator]
use = "cut"
width = 4
[heads]
use = "heads"
width = 6
layers = [0, 2]
[discriminator]
use = "cut"
width = 4
[losses.adversarial]
use = "gan"
[losses.nce]
use = "patch-nce"
patches = 5
[losses.identity]
use = "patch-nce"
on = { source = "real", fake = "identity" }
patches = 5
weight = 0.5
""",
        tmp_path,
        PLUGIN,
    )


def plain(nets, held):
    """The authors' order: D on the fakes, then G and H on the same ones."""
    G, H, D = nets["G"], nets["H"], nets["D"]
    of_D = torch.optim.Adam(D.parameters(), 2e-4, (0.5, 0.999))
    of_G = torch.optim.Adam([*G.parameters(), *H.parameters()], 2e-4, (0.5, 0.999))

    def nce(x, y):
        total = 0
        of_x, of_y = G.features(x), G.features(y)
        places = [torch.randperm(f.shape[2] * f.shape[3])[:5] for f in of_x]
        for layer, mlp in zip((0, 2), H.mlps, strict=True):
            for n in range(len(x)):
                k, q = (mlp(f[layer][n].flatten(1)[:, places[layer]].T) for f in (of_x, of_y))
                k, q = (k / k.norm(dim=1, keepdim=True)).detach(), q / q.norm(dim=1, keepdim=True)
                for s in range(5):  # Eq. 2
                    e = [torch.exp(q[s] @ k[t] / 0.07) for t in range(5)]
                    total = total - torch.log(e[s] / sum(e)) / (5 * len(x))
        return total

    def play(step, batch):
        x, y = batch["A"], batch["B"]
        fake = G(x)
        of_D.zero_grad()
        (softplus(-D(y)[0]).mean() + softplus(D(fake.detach())[0]).mean()).backward()
        of_D.step()
        of_G.zero_grad()
        (softplus(-D(fake)[0]).mean() + nce(x, fake) + 0.5 * nce(y, G(y))).backward()  # Eq. 5
        of_G.step()

    return play


def test_equals_a_plain_loop(case: Case) -> None:
    assert_equals_plain(case, plain)


def test_in_half_precision(case: Case) -> None:
    assert_half(case)


def test_recorded_steps_are_the_same(case: Case) -> None:
    assert assert_recorded(case) == ""


def test_heads_learn_with_the_generator(case: Case) -> None:
    engine, _ = case.engine()
    modules = engine.players["generator"].modules
    assert list(modules) == ["G", "H"]


def test_resumes_and_translates(case: Case, ganforge, tmp_path: Path) -> None:
    weights = assert_resumes(case, ganforge, tmp_path)
    assert sorted(path.name for path in weights.glob("*.safetensors")) == [
        "D.safetensors", "G.safetensors", "H.safetensors", "training.safetensors",
    ]  # fmt: skip
    picture = next((tmp_path / "data" / "trainA").iterdir())
    result = ganforge("translate", weights, picture, "--direction", "AB", "--out", tmp_path / "out")
    assert result.status == 0, result.err
    engine, _ = case.engine()
    G = engine.networks["G"].eval()
    G.load_state_dict(load_file(weights / "G.safetensors"))
    x = torch.from_numpy(np.array(Image.open(picture))).permute(2, 0, 1)[None] / 255
    expected = (G(x)[0] * 255).round().byte().permute(1, 2, 0).numpy()
    assert (np.array(Image.open(tmp_path / "out" / picture.name)) == expected).all()
