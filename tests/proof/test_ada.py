"""Adaptive augmentation: a probability that an update steers, and changes through which the generator learns."""

import pytest
import torch
from torch.nn.functional import pad

from ganforge import load_trained
from tests.conftest import draw_pairs
from tests.proof.harness import CPU, Case, assert_equals_plain, assert_half, assert_recorded, assert_resumes
from tests.proof.plain import adam, calls, descend, score, with_weights

RECIPE = """
[dataset]
use = "edges2photo"
root = "pairs"
size = 8
[coupling]
use = "discogan"
[generator]
use = "mlp"
hidden = 8
[discriminator]
use = "mlp"
hidden = 8
layers = 3
[values.shown]
use = "ada"
[values.shown_real]
use = "ada"
on = { fake = "real" }
[losses.adversarial]
use = "gan"
[updates.ada]
use = "ada"
target = -0.5
pictures = 80
interval = 2
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


@pytest.fixture
def case(tmp_path):
    draw_pairs(tmp_path / "pairs")
    return Case(RECIPE.replace('"pairs"', f'"{tmp_path / "pairs"}"'), tmp_path)


def changed(pictures, p):
    """Appendix B of the paper, picture by picture."""
    count, size = len(pictures), pictures.shape[-1]

    def uniform():
        return torch.rand(count, dtype=pictures.dtype)

    def normal():
        return torch.randn(count, dtype=pictures.dtype)

    flips = uniform() < p, uniform() < 0.5
    turns = uniform() < p, (4 * uniform()).floor()
    moves = uniform() < p, ((2 * uniform() - 1) * size / 8).round(), ((2 * uniform() - 1) * size / 8).round()
    brighter, contrasted, saturated = ((uniform() < p, normal()) for _ in range(3))
    found = []
    for n, x in enumerate(2 * pictures - 1):
        if flips[0][n] and flips[1][n]:
            x = x.flip(-1)
        if turns[0][n]:
            x = x.rot90(int(turns[1][n]), (-2, -1))
        if moves[0][n]:
            down, right = int(moves[1][n]), int(moves[2][n])
            x = pad(x, (1, 1, 1, 1), mode="reflect")[:, 1 - down : 1 - down + size, 1 - right : 1 - right + size]
        if brighter[0][n]:
            x = x + 0.2 * brighter[1][n]
        if contrasted[0][n]:
            x = x * 2 ** (0.5 * contrasted[1][n])
        if saturated[0][n]:
            luma = x.mean(0, keepdim=True)
            x = luma + (x - luma) * 2 ** saturated[1][n]
        found.append((x + 1) / 2)
    return torch.stack(found)


def plain(networks, held):
    ways = (("AB", "A", "B", "G_AB", "D_B"), ("BA", "B", "A", "G_BA", "D_A"))
    for_D = adam(networks["D_A"], networks["D_B"])
    for_G = adam(networks["G_AB"], networks["G_BA"])
    state = {way: held[f"values.ada_state.{way}"].state for way, *_ in ways}

    def play(step, batch):
        loss, shown, signs = 0, {}, {}
        for way, source, target, G, D in ways:
            real = score(networks[D], changed(batch[target], state[way][0]))
            shown[way] = changed(networks[G](batch[source]), state[way][0])
            fake = score(networks[D], shown[way].detach())
            loss = loss - torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(fake)).mean()
            signs[way] = real.detach().sign().mean()
        descend(for_D, loss)
        for way, sign in signs.items():
            state[way][1] += sign
            if step % 2 == 1:  # two steps of four pictures, in 80
                p = state[way][0] + 0.1 * (state[way][1] / 2 + 0.5).sign()
                state[way].copy_(torch.stack([p.clamp(0, 1), torch.zeros_like(p)]))
        descend(for_G, sum(-torch.log(torch.sigmoid(score(networks[D], shown[way]))).mean() for way, *_, D in ways))

    return play


def test_equals_a_plain_loop(case):
    assert_equals_plain(case, plain)


def test_the_probability_of_each_direction_moves_with_its_mean_sign(case):
    engine, batches = case.engine("updates.ada.target=-1.5")
    states = [engine.held[f"values.ada_state.{way}"].module.state for way in ("AB", "BA")]
    seen = []
    for step in range(5):
        engine.step(step, batches(step))
        seen.append(tuple(round(float(one[0]), 3) for one in states))
    assert seen == [(0, 0), (0.1, 0.1), (0.1, 0.1), (0.2, 0.2), (0.2, 0.2)]


def test_the_generators_turn_judges_no_real_samples_for_the_update(case):
    engine, batches = case.engine()
    counted = {}
    calls(engine.networks.items(), counted)
    engine.step(0, batches(0))
    assert counted == {"G_AB": 1, "G_BA": 1, "D_A": 3, "D_B": 3}


def test_half_precision(case):
    assert_half(case)


def test_is_not_recorded_since_an_update_asks_for_values(case):
    assert assert_recorded(case) == "an update asks for values"


def test_resumes_and_translates(case, ganforge, tmp_path):
    folder = assert_resumes(case, ganforge, tmp_path)
    trained = load_trained(folder, case.plugins, CPU)
    pictures = torch.rand(5, 3, 8, 8)
    with trained.evaluating():
        found = trained.translate("AB", pictures)
    G = with_weights(case.engine()[0].networks["G_AB"], folder, "G_AB")
    torch.testing.assert_close(found, G(pictures).detach())
