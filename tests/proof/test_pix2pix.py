"""pix2pix as it is shipped (Isola et al. 2017): its generator draws random numbers whenever it is used."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import softplus

from ganforge import Trained
from ganforge.data.dataset import derive
from ganforge.recipe import layers
from ganforge.recipe.resolve import resolve
from ganforge.runs.assemble import settle
from tests.proof.harness import CPU, Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes
from tests.proof.small import draw_negatives

RECIPE = """
extends = "base_pix2pix"
[dataset]
use = "pairs"
root = "{root}"
load = 20
size = 16
[generator]
width = 2
levels = 3
[discriminator]
width = 2
layers = 1
[optimizer]
lr = 2e-4
[train]
steps = 6
batch = 3
[record]
checkpoint_every = 4
sample_every = 0
observers = []
"""


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(RECIPE.format(root=draw_negatives(tmp_path / "data", side=20)), tmp_path)


def plain(nets, held):
    """The authors' order: one translation, D on it, then G by it."""
    G, D = nets["G"], nets["D"]
    of_D = torch.optim.Adam(D.parameters(), 2e-4, (0.5, 0.999))
    of_G = torch.optim.Adam(G.parameters(), 2e-4, (0.5, 0.999))

    def play(step, batch):
        x, y = batch["A"], batch["B"]
        torch.testing.assert_close(x + y, torch.ones_like(x), rtol=0, atol=1e-6)  # pairs stay together
        fake = G(x)
        of_D.zero_grad()
        real_score, fake_score = D(torch.cat([x, y], 1))[0], D(torch.cat([x, fake.detach()], 1))[0]
        (
            (softplus(-real_score).mean() + softplus(fake_score).mean()) / 2
        ).backward()  # Eq. 1, halved in the authors' code
        of_D.step()
        of_G.zero_grad()
        score = D(torch.cat([x, fake], 1))[0]
        distance = (2 * y - 2 * fake).abs().mean()  # the paper's pixels lie in -1..1
        (softplus(-score).mean() + 100 * distance).backward()  # Eq. 4
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
    pixels = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "new.png")
    result = ganforge("translate", weights, tmp_path / "new.png", "--direction", "AB", "--out", tmp_path / "out")
    assert result.status == 0, result.err
    G = case.engine()[0].networks["G"].train()  # batch norm by the picture itself, as `train.norm` says
    G.load_state_dict(load_file(weights / "G.safetensors"))
    torch.manual_seed(derive(0, "look"))  # what every look draws from
    made = G(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255)[0]
    expected = (made * 255).round().byte().permute(1, 2, 0).numpy()
    assert (np.array(Image.open(tmp_path / "out" / "new.png")) == expected).all()


def test_another_seed_draws_another_translation(case: Case) -> None:
    engine, _ = case.engine()
    loaded = layers.load(case.recipe, (), case.plugins.recipes())
    plan, dataset = settle(resolve(loaded, case.plugins.registry), CPU)
    trained = Trained(plan, dataset, engine.scheme, CPU, 0)
    picture = torch.rand(1, 3, 16, 16)
    with trained.evaluating():
        one, same, other = (trained.translate("AB", picture, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    "norm", [*(pytest.param(norm, marks=pytest.mark.slow) for norm in ("recalibrated", "running")), "batch"]
)
def test_looking_changes_nothing(norm: str, case: Case, ganforge, tmp_path: Path) -> None:
    found = []
    for sample, evaluate, save in ((0, 0, 0), (1, 0, 0), (2, 3, 2), (3, 1, 1)):
        out = tmp_path / f"{sample}{evaluate}{save}"
        sets = {"sample_every": sample, "evaluate_every": evaluate, "checkpoint_every": save}
        words = [word for key, value in sets.items() for word in ("--set", f"record.{key}={value}")]
        looks = ["--set", "evaluations.error.use=paired-error"]
        result = ganforge("run", case.recipe, "--out", out, "--set", f"train.norm={norm}", *words, *looks)
        assert result.status == 0, result.err
        found.append([load_file(path) for path in sorted(out.glob("*/*/checkpoints/step-00000006/[DG].safetensors"))])
    for other in found[1:]:
        assert len(other) == 2
        for one, two in zip(found[0], other, strict=True):
            assert one.keys() == two.keys()
            assert [key for key in one if not torch.equal(one[key], two[key])] == []
