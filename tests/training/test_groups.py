"""Losses that share no graph are differentiated group after group: the same gradients in less memory."""

import pytest
import torch

from ganforge.errors import PluginError
from ganforge.training.step_memory import _counted_step
from tests.proof.small import draw_folders

SMALL = ["dataset.load=32", "dataset.size=32", "generator.width=4", "discriminator.width=4"]

CHAIN = """
from ganforge import hookimpl

def near(generator, source):
    return generator(source)

def far(generator, source):
    return generator(source + 1)

def near_size(near):
    return near.square().mean()

def far_size(far):
    return far.square().mean()

def both(near, far):
    return (near - far).square().mean()

@hookimpl
def ganforge_register(register):
    register.value("near", near)
    register.value("far", far)
    register.loss("near_size", near_size)
    register.loss("far_size", far_size)
    register.loss("both", both)
"""

KEPT = """
from ganforge import hookimpl

SEEN = {}

def kept(generator, source):
    return SEEN.setdefault("made", generator(source).square()).mean()

@hookimpl
def ganforge_register(register):
    register.loss("kept", kept)
"""


def names_of(engine, player):
    terms = engine.players[player].terms
    return ", ".join(" ".join(terms[place].name for place in group) for group in engine._groups[player])


def differentiate_at_once(engine):
    for name, player in engine.players.items():
        engine._groups[name] = [list(range(len(player.terms)))]


@pytest.mark.parametrize(
    ("recipe", "player", "groups"),
    [
        ("discogan_toy", "generator", "adversarial.AB reconstruction.AB, adversarial.BA reconstruction.BA"),
        ("discogan_toy", "discriminator", "adversarial.AB, adversarial.BA"),
        (
            "cyclegan_horse2zebra",
            "generator",
            "adversarial.AB cycle.AB, adversarial.BA cycle.BA, identity.AB, identity.BA",
        ),
        ("cut_horse2zebra", "generator", "adversarial.AB nce.AB, identity.AB"),
    ],
)
def test_losses_that_share_a_value_with_a_graph_are_one_group(recipe, player, groups, tmp_path, make_engine):
    sets = [f"dataset.root={draw_folders(tmp_path / 'data', side=32)}", *SMALL] if "horse" in recipe else []
    engine, _ = make_engine(recipe, *sets)
    assert names_of(engine, player) == groups


def test_a_later_loss_joins_groups(toy, tmp_path, plugins, make_engine):
    (tmp_path / "chain_values.py").write_text(CHAIN)
    plugins.load_file(tmp_path / "chain_values.py")
    values = ["values.near.use=near", "values.far.use=far"]
    losses = [f"losses.{name}={{use='{name}', player='generator'}}" for name in ("near_size", "far_size", "both")]
    apart, _ = make_engine(toy, *values, *losses[:2], "coupling.use=gan", "losses.reconstruction=false")
    assert names_of(apart, "generator") == "adversarial.AB, near_size.AB, far_size.AB"
    joined, _ = make_engine(toy, *values, *losses, "coupling.use=gan", "losses.reconstruction=false")
    assert names_of(joined, "generator") == "adversarial.AB, near_size.AB far_size.AB both.AB"


def test_gradients_are_those_of_all_losses_at_once(tmp_path, make_engine):
    root = draw_folders(tmp_path / "data", side=32)
    (one, batches), (other, _) = (make_engine("cyclegan_horse2zebra", f"dataset.root={root}", *SMALL) for _ in range(2))
    differentiate_at_once(other)
    for engine in (one, other):
        for module in engine.modules.values():
            module.double()
    for step in range(3):
        batch = {name: samples.double() for name, samples in batches(step).items()}
        (mine, theirs) = (engine.step(step, batch) for engine in (one, other))
        for player in mine:
            torch.testing.assert_close(mine[player], theirs[player], rtol=1e-10, atol=1e-12)
            gradients = zip(*(engine.players[player].parameters for engine in (one, other)), strict=True)
            for parameter, again in gradients:
                torch.testing.assert_close(parameter.grad, again.grad, rtol=1e-8, atol=1e-12)


def test_a_player_needs_the_memory_of_its_largest_group(tmp_path, make_engine):
    root = draw_folders(tmp_path / "data", side=32)
    engine, batches = make_engine("cyclegan_horse2zebra", f"dataset.root={root}", *SMALL)
    one = {name: samples[:1] for name, samples in batches(0).items()}
    grouped = max(_counted_step(engine, one, 16))
    differentiate_at_once(engine)
    assert grouped < 0.5 * max(_counted_step(engine, one, 16))


def test_a_graph_kept_from_an_earlier_call_is_an_error(toy, tmp_path, plugins, make_engine):
    (tmp_path / "kept_graph.py").write_text(KEPT)
    plugins.load_file(tmp_path / "kept_graph.py")
    engine, batches = make_engine(toy, "losses.kept={use='kept', player='generator'}")
    with pytest.raises(PluginError, match=r"kept\.BA.*an earlier call; make it a value"):
        engine.step(0, batches(0))
