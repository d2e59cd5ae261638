"""What a training learns does not depend on how many processes share its batches, or in how many parts it plays them."""

import math
import sys

import pytest

from tests.coats import METHODS
from tests.ranks import jobs
from tests.ranks.worker import on_ranks

QUICK = ("discogan", "fastcut")  # batch norm and a loss of whole batches; draws for all of a batch
DIFFERENT_IN_PARTS = {"discogan", "pix2pix", "dcgan", "wgan", "wgan_gp", "r3gan", "sincut"}  # batch norm; whole batches
SETS = {"stargan": ["train.batch=8"]}  # whose directions get a half of it each
ALONE = [([method], sets) for method, sets in SETS.items()]


def assert_alike(found, wanted, tolerance):
    for method, its in wanted.items():
        far, where = difference(found[method]["losses"], its["losses"])
        assert far < tolerance, (method, where)
        assert found[method]["random"] == its["random"], method


def difference(found, wanted, steps=None):
    """Return the largest difference of a loss, relative to the loss or to a thousandth, and which loss of which step."""
    pairs = []
    for (names, rows), (others, theirs) in zip(found, wanted, strict=True):
        assert names == others
        for step, (one, other) in enumerate(zip(rows[:steps], theirs[:steps], strict=True)):
            for name, a, b in zip(names, one, other, strict=True):
                assert math.isfinite(a)
                pairs.append((abs(a - b) / max(abs(b), 1e-3), (name, step, a, b)))
    return max(pairs)


def train(world, folder, methods, steps, *sets, double=True, **more):
    arguments = {"methods": methods, "sets": sets, "steps": steps, "double": double, **more}
    if world == 1:
        return jobs.train(folder, **arguments)
    return on_ranks(world, "train", folder, **arguments)


def test_two_ranks_learn_what_one_does(tmp_path):
    alone = train(1, tmp_path / "alone", QUICK, 3)
    assert_alike(train(2, tmp_path / "ranks", QUICK, 3, measured=True), alone, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("double", [True, False], ids=["float64", "fp32"])
def test_every_method_learns_the_same_on_several_ranks(double, tmp_path):
    """In float64 ten steps are the same; all are as far as rounding allows, which grows while a GAN trains.

    How far that is, one process tells that begins with weights which are off by 1 ulp.
    """
    ulp = 2.0 ** (-52 if double else -23)
    for number, (methods, sets) in enumerate([([m for m in METHODS if m not in SETS], []), *ALONE]):
        alone = train(1, tmp_path / f"alone{number}", methods, 50, *sets, double=double)
        other = train(1, tmp_path / f"other{number}", methods, 50, *sets, double=double, rounding=ulp)
        found = {w: train(w, tmp_path / f"{w}-{number}", methods, 50, *sets, double=double) for w in (2, 4)}
        for method in methods:
            soon, grown = (difference(other[method]["losses"], alone[method]["losses"], n)[0] for n in (10, None))
            for world, its in found.items():
                near, first = difference(its[method]["losses"], alone[method]["losses"], steps=10)
                far, where = difference(its[method]["losses"], alone[method]["losses"])
                sys.stdout.write(
                    f"{method:14} {world} ranks {near:.1e} {far:.1e}, 1 ulp {soon:.1e} {grown:.1e} {where}\n"
                )
                assert near < (1e-9 if double else 100 * (soon + ulp)), (method, world, first)
                assert far < 1000 * grown + 100 * ulp, (method, world, where, grown)
                assert its[method]["random"] == alone[method]["random"], method


@pytest.mark.slow
def test_without_synchronised_norm_each_rank_normalises_its_own(tmp_path):
    alone = train(1, tmp_path / "alone", ["discogan"], 1)["discogan"]["losses"]
    found = train(2, tmp_path / "ranks", ["discogan"], 1, "compute.sync_norm=false")["discogan"]["losses"]
    assert [names for names, _ in found] == [names for names, _ in alone]
    assert found[0][1][0] == pytest.approx(alone[0][1][0], rel=0.2)
    assert found[0][1][0] != pytest.approx(alone[0][1][0], rel=1e-6)


@pytest.mark.parametrize(
    "method",
    ["cyclegan", "fastcut", *(pytest.param(m, marks=pytest.mark.slow) for m in METHODS if m not in DIFFERENT_IN_PARTS)],
)
@pytest.mark.parametrize("parts", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_batch_in_parts_teaches_what_the_whole_does(method, parts, tmp_path):
    """But for batch normalisation, and for losses that look at a whole batch."""
    sets = [*SETS.get(method, ()), *(["losses.distance.between=sides"] if method == "distancegan" else [])]
    alone = train(1, tmp_path / "alone", [method], 3, *sets)
    assert_alike(train(1, tmp_path / "parts", [method], 3, f"train.accumulate={parts}", *sets), alone, 1e-9)


@pytest.mark.slow
def test_parts_on_two_ranks(tmp_path):
    alone = train(1, tmp_path / "alone", ["cyclegan", "fastcut"], 3)
    assert_alike(train(2, tmp_path / "parts", ["cyclegan", "fastcut"], 3, "train.accumulate=2"), alone, 1e-9)


def test_a_whole_batch_is_drawn_for_and_each_rank_takes_its_rows(tmp_path):
    assert on_ranks(2, "draw", tmp_path) == jobs.draw(tmp_path)


def test_batch_normalisation_over_ranks_is_that_of_the_whole(tmp_path):
    for one, other in zip(on_ranks(2, "normalise", tmp_path), jobs.normalise_plainly(), strict=True):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-12)
