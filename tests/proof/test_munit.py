"""MUNIT as a foreign plugin (Huang et al. 2018)."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ganforge import random_generator
from tests.proof.harness import Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes
from tests.proof.small import draw_folders, settings

PLUGIN = Path(__file__).parent / "methods" / "munit.py"
RECIPE = """
[content_encoder]
use = "content-encoder"
width = 4
[style_encoder]
use = "style-encoder"
width = 4
[decoder]
use = "decoder"
width = 4
[discriminator]
use = "mlp"
layers = 2
hidden = 4
[losses.adversarial]
use = "least-squares"
[losses.picture]
use = "l1"
on = { reconstructed = "rebuilt" }
weight = 10.0
[losses.content]
use = "l1"
on = { reconstructed = "content_again", source = "content" }
[losses.style]
use = "l1"
on = { reconstructed = "style_again", source = "style" }
"""


@pytest.fixture
def case(tmp_path: Path) -> Case:
    tables = settings("munit", draw_folders(tmp_path / "data")).replace('use = "munit"', 'use = "munit"\nstyle = 3')
    return Case(tables + RECIPE, tmp_path, PLUGIN)


def plain(nets, held):
    names = ("Ec_A", "Es_A", "G_A", "Ec_B", "Es_B", "G_B")
    of_G = torch.optim.Adam(chain(*(nets[name].parameters() for name in names)), 2e-4, (0.5, 0.999))
    of_D = torch.optim.Adam(chain(nets["D_A"].parameters(), nets["D_B"].parameters()), 2e-4, (0.5, 0.999))

    def play(step, batch):
        of_both = []
        for a, b in ("AB", "BA"):
            x, s = batch[a], batch[f"S_{b}"]
            assert s.shape == (3, 3)
            c, own = nets[f"Ec_{a}"](x), nets[f"Es_{a}"](x)
            of_both.append((a, b, x, s, c, nets[f"G_{a}"](c, own), nets[f"G_{b}"](c, s)))
        of_D.zero_grad()
        for _, b, _, _, _, _, fake in of_both:
            D = nets[f"D_{b}"]
            (((D(batch[b])[0] - 1) ** 2).mean() + (D(fake.detach())[0] ** 2).mean()).backward()
        of_D.step()
        of_G.zero_grad()
        for _, b, x, s, c, rebuilt, fake in of_both:
            loss = ((nets[f"D_{b}"](fake)[0] - 1) ** 2).mean() + 10 * (rebuilt - x).abs().mean()
            loss = loss + (nets[f"Ec_{b}"](fake) - c).abs().mean() + (nets[f"Es_{b}"](fake) - s).abs().mean()
            loss.backward()  # Eq. 5
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
    picture = next((tmp_path / "data" / "trainB").iterdir())
    result = ganforge("translate", weights, picture, "--direction", "BA", "--out", tmp_path / "out")
    assert result.status == 0, result.err
    nets = case.engine()[0].networks
    for name, network in nets.items():
        network.load_state_dict(load_file(weights / f"{name}.safetensors"))
    x = torch.from_numpy(np.array(Image.open(picture))).permute(2, 0, 1)[None] / 255
    style = torch.randn(32, 3, generator=random_generator(0, "draw", "S_A", 0))[:1]
    expected = (nets["G_A"](nets["Ec_B"](x), style)[0] * 255).round().byte().permute(1, 2, 0).numpy()
    assert (np.array(Image.open(tmp_path / "out" / picture.name)) == expected).all()
