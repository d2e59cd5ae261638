"""MUNIT against a plain loop (Huang et al. 2018)."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ganforge import random_generator
from tests.proof.harness import Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes
from tests.proof.small import draw_folders

RECIPE = """
extends = "base_munit"
[dataset]
use = "folders"
root = "{root}"
size = 16
[coupling]
style = 3
[content_encoder]
width = 4
blocks = 1
[style_encoder]
width = 4
[decoder]
blocks = 1
hidden = 5
[discriminator]
width = 4
layers = 2
[optimizer.lr]
steps = [0, 2, 4]
values = [1e-4, 5e-5, 2.5e-5]
[train]
steps = 6
batch = 2
[record]
sample_every = 0
checkpoint_every = 4
observers = []
[evaluations]
reconstruction = false
diversity = false
"""


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(RECIPE.format(root=draw_folders(tmp_path / "data", side=16)), tmp_path)


def plain(cycle):
    """The loop of the authors' code, with a weight of the cycle, on one style for both updates."""

    def start(nets, held):
        names = ("Ec_A", "Es_A", "G_A", "Ec_B", "Es_B", "G_B")
        adam = {"lr": 1e-4, "betas": (0.5, 0.999), "weight_decay": 1e-4}
        of_G = torch.optim.Adam(chain(*(nets[name].parameters() for name in names)), **adam)
        of_D = torch.optim.Adam(chain(nets["D_A"].parameters(), nets["D_B"].parameters()), **adam)
        rates = [torch.optim.lr_scheduler.StepLR(one, 2, 0.5) for one in (of_D, of_G)]

        def play(step, batch):
            of_both = []
            for a, b in ("AB", "BA"):
                x, s = batch[a], batch[f"S_{b}"]
                c, own = nets[f"Ec_{a}"](x), nets[f"Es_{a}"](x)
                of_both.append((a, b, x, s, c, own, nets[f"G_{a}"](c, own), nets[f"G_{b}"](c, s)))
            of_D.zero_grad()
            for _, b, _, _, _, _, _, fake in of_both:
                shown = zip(nets[f"D_{b}"](batch[b])[0], nets[f"D_{b}"](fake.detach())[0], strict=True)
                sum(((real - 1) ** 2).mean() + (made**2).mean() for real, made in shown).backward()
            of_D.step()
            of_G.zero_grad()
            for a, b, x, s, c, own, rebuilt, fake in of_both:  # Eq. 5
                loss = sum(((made - 1) ** 2).mean() for made in nets[f"D_{b}"](fake)[0])
                loss = loss + 10 * (2 * rebuilt - 2 * x).abs().mean()
                c_again = nets[f"Ec_{b}"](fake)
                loss = loss + (c_again - c).abs().mean() + (nets[f"Es_{b}"](fake) - s).abs().mean()
                if cycle:
                    loss = loss + cycle * (2 * nets[f"G_{a}"](c_again, own) - 2 * x).abs().mean()
                loss.backward()
            of_G.step()
            for rate in rates:
                rate.step()

        return play

    return start


@pytest.mark.parametrize("cycle", [0, 10])
def test_equals_a_plain_loop(case: Case, cycle: int) -> None:
    assert_equals_plain(case, plain(cycle), f"losses.cycle.weight={cycle}")


def test_in_half_precision(case: Case) -> None:
    assert_half(case)


@pytest.mark.slow
def test_recorded_steps_are_the_same(case: Case) -> None:
    assert assert_recorded(case) == ""


@pytest.mark.slow
def test_resumes_and_translates(case: Case, ganforge, tmp_path: Path) -> None:
    weights = assert_resumes(case, ganforge, tmp_path, stop=3, steps=5)
    picture = next((tmp_path / "data" / "trainB").iterdir())
    nets = case.engine()[0].networks
    for name, network in nets.items():
        network.load_state_dict(load_file(weights / f"{name}.safetensors"))
    x = torch.from_numpy(np.array(Image.open(picture))).permute(2, 0, 1)[None] / 255
    made = {}
    for seed, words in ((0, ()), (7, ("--seed", "7"))):
        out = tmp_path / f"out{seed}"
        result = ganforge("translate", weights, picture, "--direction", "BA", "--out", out, *words)
        assert result.status == 0, result.err
        style = torch.randn(32, 3, generator=random_generator(seed, "draw", "S_A", 0))[:1]
        made[seed] = np.array(Image.open(out / picture.name))
        expected = (nets["G_A"](nets["Ec_B"](x), style)[0] * 255).round().byte().permute(1, 2, 0).numpy()
        assert (made[seed] == expected).all()
    assert (made[0] != made[7]).any()
