"""Recorded steps are audited: what a program gives wrong is noticed, named, and not taken."""

import pytest
import torch
from attrs import evolve

from ganforge_recorded import program
from ganforge_recorded.alike import alike


def wrong_from(monkeypatch, play: int, part: int, spoil) -> None:
    """Have every program that is recorded spoil what one of its parts returns, from some play on."""
    record = program.record

    def recorded(*arguments):
        made = record(*arguments)
        call, plays = made.parts[part].call, []

        def spoilt(*values):
            plays.append(None)
            results = list(call(*values))
            return spoil(results) if len(plays) >= play else results

        parts = list(made.parts)
        parts[part] = evolve(parts[part], call=spoilt)
        return evolve(made, parts=parts)

    monkeypatch.setattr(program, "record", recorded)


def spoil_loss(results):
    """Add a little to the third of the losses, after their sum."""
    results[0] = results[0] + 1e-3 * (torch.arange(len(results[0])) == 3)
    return results


def spoil_gradient(results):
    """Add a little to the gradient of the first parameter."""
    results[1] = results[1] + 1e-3
    return results


def draw_more(results):
    """Draw a random number that nobody asked for."""
    torch.rand(1)
    return results


@pytest.mark.parametrize("play", [1, *(pytest.param(play, marks=pytest.mark.slow) for play in (2, 4)), 8])
@pytest.mark.parametrize(
    ("part", "spoil", "culprit"),
    [
        (1, spoil_loss, "the loss generator.reconstruction.AB"),
        (0, spoil_gradient, "the gradient of D_A.hidden.0.0.weight"),
        (1, spoil_gradient, "the gradient of G_AB.layers.0.0.weight"),
        (0, draw_more, "what is drawn at random"),
    ],
)
def test_a_wrong_program_is_noticed_named_and_not_taken(play, part, spoil, culprit, toy, make_engine, monkeypatch):
    plain, batches = make_engine(toy, "compute.compile=false")
    recorded, _ = make_engine(toy, 'compute.compile="trace"')
    wrong_from(monkeypatch, play, part, spoil)
    for step in range(10):
        mine, theirs = recorded.step(step, batches(step)), plain.step(step, batches(step))
        assert all(torch.equal(mine[player], theirs[player]) for player in theirs)
        noticed = step + 1 >= play
        assert recorded.recording.reason == (f"{culprit} differs when replayed" if noticed else "")
        assert bool(recorded.recording.programs) == (not noticed)
    for name, network in plain.networks.items():
        for one, other in zip(network.parameters(), recorded.networks[name].parameters(), strict=True):
            assert torch.equal(one, other)


def test_between_audits_a_wrong_program_is_noticed_at_the_next_one(toy, make_engine, monkeypatch):
    wrong_from(monkeypatch, 3, 1, spoil_loss)
    engine, batches = make_engine(toy, 'compute.compile="trace"')
    reasons = []
    for step in range(4):
        engine.step(step, batches(step))
        reasons.append(engine.recording.reason)
    assert reasons == ["", "", "", "the loss generator.reconstruction.AB differs when replayed"]


def test_a_buffer_that_a_program_moves_otherwise_is_named(toy, tmp_path, plugins, make_engine, monkeypatch):
    (tmp_path / "counting_buffer.py").write_text(
        "import torch\nfrom torch import nn\nfrom ganforge import hookimpl\n"
        "class Counted(nn.Module):\n    'Counts its calls.'\n"
        "    def __init__(self):\n        super().__init__()\n        self.register_buffer('calls', torch.zeros(()))\n"
        "    def generator(self, fake):\n        self.calls += 1\n        return fake.square().mean()\n"
        "@hookimpl\ndef ganforge_register(register):\n    register.loss('counting-buffer', Counted)\n"
    )
    plugins.load_file(tmp_path / "counting_buffer.py")
    engine, batches = make_engine(toy, 'compute.compile="trace"', "losses.counted.use=counting-buffer")

    def count_more(results):
        engine.held["losses.counted.BA"].module.calls.add_(1)
        return results

    wrong_from(monkeypatch, 2, 1, count_more)
    for step in range(5):
        engine.step(step, batches(step))
    assert engine.recording.reason == "the buffer losses.counted.BA.calls differs when replayed"
    assert [int(engine.held[f"losses.counted.{view}"].module.calls) for view in ("AB", "BA")] == [5, 5]


@pytest.mark.slow
def test_a_setting_that_changes_in_every_step_ends_the_recording_and_changes_nothing(toy, make_engine):
    rising = "losses.adversarial.smoothing={steps=[0, 100], values=[0.0, 0.4], between='linear'}"
    recorded, batches = make_engine(toy, rising, 'compute.compile="trace"')
    plain, _ = make_engine(toy, rising, "compute.compile=false")
    for step in range(18):
        mine, theirs = recorded.step(step, batches(step)), plain.step(step, batches(step))
        assert all(torch.equal(mine[player], theirs[player]) for player in theirs)
        assert recorded.recording.reason == ("settings of losses change in every step" if step >= 16 else "")


def test_a_step_whose_values_an_update_asks_for_is_not_recorded(toy, tmp_path, plugins, make_engine):
    (tmp_path / "looking_update.py").write_text(
        "from torch import nn\nfrom ganforge import hookimpl\n"
        "class Looking(nn.Module):\n    'Looks at scores.'\n    seen = 0\n"
        "    def after(self, player, real_score):\n        self.seen += 1\n"
        "@hookimpl\ndef ganforge_register(register):\n    register.update('looking', Looking)\n"
    )
    plugins.load_file(tmp_path / "looking_update.py")
    engine, batches = make_engine(toy, 'compute.compile="trace"', "updates.looking.use=looking")
    engine.step(0, batches(0))
    assert engine.recording.reason == "an update asks for values"
    assert engine.held["updates.looking"].module.seen == 4


def test_a_strangers_loss_is_recorded_like_any_other(toy, ganforge, tmp_path):
    (tmp_path / "small.py").write_text(
        "from ganforge import hookimpl\n"
        "def small(fake):\n    '''Small translations.'''\n    return fake.square().mean()\n"
        "@hookimpl\ndef ganforge_register(register):\n    register.loss('small', small)\n"
    )
    toy.write_text('plugins = ["small.py"]\n' + toy.read_text() + '[losses.small]\nuse = "small"\n')
    result = ganforge("run", toy)
    assert result.status == 0, result.err
    assert "not recorded" not in " ".join((result.out + result.err).split())


def test_what_is_no_number_is_alike_only_where_both_are_none():
    nan, inf = float("nan"), float("inf")
    assert alike(torch.tensor([nan, 1.0, inf]), torch.tensor([nan, 1.0, inf]))
    assert not alike(torch.tensor([nan, 1.0]), torch.tensor([0.0, 1.0]))
    assert not alike(torch.tensor([inf]), torch.tensor([torch.finfo(torch.float32).max]))
    assert not alike(torch.tensor([1.0]), torch.tensor([1.0, 1.0]))
