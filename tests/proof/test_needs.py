"""What the methods of this folder needed of the core, each on its own."""

import pytest
import torch

from ganforge import load_trained
from ganforge.errors import RecipeError
from tests.conftest import TOY
from tests.proof.harness import CPU, Case, assert_recorded, assert_resumes
from tests.proof.plain import calls

PLUGIN = """
import torch
from attrs import frozen
from torch import nn
from ganforge import hookimpl

class Lazy(nn.Module):
    def forward(self, fake):
        if not hasattr(self, "total"):
            self.register_buffer("total", torch.zeros(fake.shape[1:]))
        self.total.add_(fake.detach().mean(0))
        return fake + 0.01 * self.total

class Fresh(nn.Module):
    def forward(self, fake):
        self.register_buffer("total", torch.zeros(()))
        self.total.add_(1)
        return fake * self.total

class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
    def forward(self):
        return self.count

@frozen
class Counts:
    players: list[str] = ["discriminator"]
    def after(self, counted, real_score):
        counted.add_(1)

@frozen
class Asks:
    def after(self, real_scores):
        pass

@hookimpl
def ganforge_register(register):
    register.value("lazy", Lazy)
    register.value("fresh", Fresh)
    register.value("counted", Counted)
    register.update("counts", Counts)
    register.update("asks", Asks)
"""


@pytest.fixture
def case(tmp_path):
    plugin = tmp_path / "border.py"
    plugin.write_text(PLUGIN)

    def make(more: str = "") -> Case:
        return Case(TOY + more, tmp_path, plugin)

    return make


def test_a_recipe_may_have_values_and_updates(case):
    engine, batches = case('[values.shown]\nuse = "lazy"\n[updates.counts]\nuse = "counts"').engine()
    engine.step(0, batches(0))
    assert {"values.shown.AB", "values.counted.BA"} <= engine.held.keys()


def test_the_lock_names_the_plugins_of_values_and_updates(case, ganforge, tmp_path):
    for more in ('[values.shown]\nuse = "lazy"', '[updates.counts]\nuse = "counts"'):
        assert ganforge("run", case(more).recipe, "--out", "out", "--set", "train.steps=1").status == 0
    for lock in (tmp_path / "out").glob("*/*/recipe.lock.toml"):
        assert "border =" in lock.read_text().partition("[lock.plugins]")[2]


def test_a_buffer_that_the_first_step_makes_is_recorded_from_the_second_on(case):
    assert assert_recorded(case('[values.shown]\nuse = "lazy"')) == ""


def test_a_buffer_that_every_step_makes_keeps_it_from_being_recorded(case):
    assert "is replaced" in assert_recorded(case('[values.shown]\nuse = "fresh"'))


def test_an_update_is_called_for_its_players_alone(case):
    engine, batches = case('[updates.counts]\nuse = "counts"').engine()
    counted = {}
    calls(engine.networks.items(), counted)
    engine.step(0, batches(0))
    assert float(engine.held["values.counted.AB"].module.count) == 1
    assert counted == {"G_AB": 2, "G_BA": 2, "D_A": 3, "D_B": 3}  # no real samples are judged in the generators' turn


def test_what_an_update_alone_asks_for_is_resumed_and_seen_as_it_was_saved(case, ganforge, tmp_path):
    made = case('[updates.counts]\nuse = "counts"')
    folder = assert_resumes(made, ganforge, tmp_path)
    trained = load_trained(folder, made.plugins, CPU)
    with trained.evaluating():
        (seen, _) = trained.views({"A": torch.zeros(2, 2), "B": torch.zeros(2, 2)})
        assert float(seen["counted"]) == 9


def test_an_update_that_no_direction_can_serve_is_refused(case):
    with pytest.raises(RecipeError, match=r"'asks' asks for real_scores; no direction offers 'real_scores'"):
        case('[updates.asks]\nuse = "asks"').engine()


def test_a_learning_rate_may_end_at_zero(case):
    engine, batches = case().engine('optimizer.lr={steps=[0, 1], values=[1e-3, 0.0], between="linear"}')
    engine.step(0, batches(0))
    before = [p.detach().clone() for p in engine.networks["G_AB"].parameters()]
    engine.step(1, batches(1))
    assert all(torch.equal(p, q) for p, q in zip(before, engine.networks["G_AB"].parameters(), strict=True))
