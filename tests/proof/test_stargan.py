"""StarGAN against a plain loop (Choi et al. 2018): three domains, one generator, one discriminator."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import cross_entropy

from ganforge import InputError, load_trained
from ganforge_stargan.wiring import StarGAN
from tests.proof.harness import CPU, Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes
from tests.proof.plain import with_weights

DATA = Path(__file__).parent / "methods" / "patterns.py"
RECIPE = """
extends = "base_stargan"
[dataset]
use = "patterns"
[generator]
width = 4
blocks = 1
[discriminator]
width = 4
halvings = 2
[optimizer]
lr = 1e-4
[train]
steps = 6
batch = 4
every = { generator = 2 }
augment = { flip = 0.0 }
[compute]
compile = false
[record]
sample_every = 0
checkpoint_every = 4
observers = []
"""
WHOLE = ("values.source=false", "values.real=false")


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(RECIPE, tmp_path, DATA)


def plain(share):
    """The loop for the labels 0, 1, 2; `share` returns what of a domain's batch goes one of its two ways."""

    def start(nets, held):
        G, D = nets["G"], nets["D"]
        of_D = torch.optim.Adam(D.parameters(), 1e-4, (0.5, 0.999))
        of_G = torch.optim.Adam(G.parameters(), 1e-4, (0.5, 0.999))

        def told(x, label):
            """D_cls's loss."""
            return cross_entropy(D(x)[1][-1], torch.full((len(x),), label))

        def play(step, batch):
            def of(domain, partner):
                return share(batch["ABC"[domain]], [d for d in range(3) if d != domain].index(partner))

            loss = 0
            for s, t in permutations(range(3), 2):  # Eq. 5
                x, fake = of(t, s), G(of(s, t), t).detach()
                e = torch.rand(len(x), 1, 1, 1, dtype=torch.float64)
                between = (e * x + (1 - e) * fake).requires_grad_()
                (slope,) = torch.autograd.grad(D(between)[0].sum(), between, create_graph=True)
                norm = slope.square().sum((1, 2, 3)).sqrt() / 2  # with respect to pixels in [-1, 1]
                loss = loss + D(fake)[0].mean() - D(x)[0].mean() + 10 * ((norm - 1) ** 2).mean() + told(x, t)
            of_D.zero_grad()
            loss.backward()
            of_D.step()
            if step % 2:
                return
            loss = 0
            for s, t in permutations(range(3), 2):  # Eq. 6
                x = of(s, t)
                fake = G(x, t)
                loss = loss - D(fake)[0].mean() + told(fake, t) + 10 * 2 * (G(fake, s) - x).abs().mean()
            of_G.zero_grad()
            loss.backward()
            of_G.step()

        return play

    return start


def test_equals_a_plain_loop(case: Case) -> None:
    assert_equals_plain(case, plain(lambda batch, way: batch[way::2]))


def test_equals_a_plain_loop_that_translates_every_sample_to_both_others(case: Case) -> None:
    assert_equals_plain(case, plain(lambda batch, way: batch), *WHOLE)


def test_a_batch_of_one_sample_goes_all_ways(case: Case) -> None:
    assert_equals_plain(case, plain(lambda batch, way: batch), "train.batch=1", steps=2)


def test_in_half_precision(case: Case) -> None:
    assert_half(case)


@pytest.mark.slow
def test_recorded_steps_are_the_same(case: Case) -> None:
    assert assert_recorded(case) == ""


@pytest.mark.slow
def test_resumes_and_translates(case: Case, ganforge, tmp_path: Path) -> None:
    weights = assert_resumes(case, ganforge, tmp_path, stop=2, steps=4)
    G = with_weights(case.engine()[0].networks["G"], weights, "G")
    trained = load_trained(weights, case.plugins, CPU)
    assert trained.directions == ("AB", "AC", "BA", "BC", "CA", "CB")
    pictures = torch.rand(7, 3, 8, 8)
    with trained.evaluating(), torch.no_grad():
        assert torch.equal(trained.translate("CA", pictures), G(pictures, 0))
        assert torch.equal(trained.translate("CA", pictures, value="reconstructed"), G(G(pictures, 0), 2))

    untrained = trained.initial()
    with untrained.evaluating():
        seen = {one.name: one for one in untrained.views(dict.fromkeys("ABC", pictures))}["CB"]
        assert len(seen["source"]) == len(seen["real"]) == len(seen["fake"]) == 7

    inputs = tmp_path / "inputs"
    inputs.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    for number, array in enumerate(pixels):
        Image.fromarray(array).save(inputs / f"{number}.png")
    result = ganforge("translate", weights, inputs, "--direction", "CB", "--out", tmp_path / "out", "--plugin", DATA)
    assert result.status == 0, result.err
    with torch.no_grad():
        expected = G(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255, 1).mul(255).round().byte().permute(0, 2, 3, 1)
    for number, array in enumerate(expected.numpy()):
        assert (np.array(Image.open(tmp_path / "out" / f"{number}.png")) == array).all()


def test_two_domains_have_two_directions(case: Case) -> None:
    engine, batches = case.engine('coupling.domains=["A", "C"]')
    assert [wiring.view.name for wiring in engine.scheme.wirings.values()] == ["AC", "CA"]
    engine.step(0, batches(0))


def test_domains_may_have_any_names() -> None:
    views = StarGAN(["day", "night", "N"]).views
    assert [view.name for view in views] == ["day2night", "day2N", "night2day", "night2N", "N2day", "N2night"]
    assert views[3].constants == {"source_label": 1, "target_label": 2, "source_place": (1, 2), "real_place": (1, 2)}


@pytest.mark.parametrize("domains", [["A"], ["A", "A"], ["A", "B.label"], ["A", ""]])
def test_domains_that_make_no_sense_are_refused(case: Case, domains: list[str]) -> None:
    with pytest.raises(InputError, match="domains: expected Two or more different names without a dot"):
        case.engine(f"coupling.domains={domains}")


def test_a_domain_that_the_data_lack_is_named(case: Case) -> None:
    with pytest.raises(InputError, match="needs a domain 'D', which the data set does not have"):
        case.engine('coupling.domains=["A", "D"]')
