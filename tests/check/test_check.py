"""`ganforge check` from the command line."""

import json

import pytest

SOUND = '''\
"""A distance."""
from ganforge import hookimpl


def charbonnier(reconstructed, source):
    """E[sqrt((x - y)^2 + 1e-6)] (Charbonnier et al. 1994)."""
    return ((reconstructed - source).square() + 1e-6).sqrt().mean()


@hookimpl
def ganforge_register(register):
    register.loss("charbonnier", charbonnier)
'''


def test_a_sound_loss_is_told_so_with_each_claim(ganforge, tmp_path):
    (tmp_path / "mine.py").write_text(SOUND)
    result = ganforge("check", "mine.py")
    assert result.status == 0
    assert "loss mine/charbonnier  13 passed, 1 left out" in result.out
    assert "  passed  gradcheck: In float64 its gradient is the slope of its values" in result.out
    assert "  left out  compiled: slow: add --slow to run it" in result.out
    assert result.out.endswith("1 checked: 13 claims hold, 0 do not, 1 left out\n")


def test_what_fails_is_told_with_its_place_and_what_to_do(ganforge, tmp_path):
    (tmp_path / "mine.py").write_text(SOUND.replace(".mean()", ".sum()"))
    result = ganforge("check", "mine.py")
    assert result.status == 1
    assert "  failed  mean: It is a mean over the batch" in result.out
    assert f"{tmp_path}/mine.py:5: for the generator it is " in result.out
    assert "fix: take the mean over the batch, not the sum" in result.out


def test_a_component_that_raises_or_exits_is_a_finding_and_no_traceback(ganforge, tmp_path):
    for line, place in (("raise KeyError('x')", 7), ("raise SystemExit(0)", 5)):
        (tmp_path / "mine.py").write_text(SOUND.replace("    return ", f"    {line}\n    return "))
        result = ganforge("check", "mine.py", "--json")
        assert result.status == 1
        (found,) = json.loads(result.out)
        (finding,) = next(one for one in found["checks"] if one["check"] == "finite")["findings"]
        assert finding["problem"].startswith("it raised ")
        assert finding["place"] == f"{tmp_path}/mine.py:{place}"


def test_json_holds_every_claim(ganforge):
    (found,) = json.loads(ganforge("check", "loss:l1", "--json").out)
    assert (found["kind"], found["name"]) == ("loss", "ganforge_losses/l1")
    states = {one["check"]: one["state"] for one in found["checks"]}
    assert states["mean"] == "passed"
    assert states["compiled"] == "left out"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hubber"], "no plugin, kind or component 'hubber'; did you mean 'huber'?"),
        (["absent.py"], "no plugin file 'absent.py'"),
        (["huber", "--set", "delta=-1"], "--set delta=-1: expected x > 0, got -1"),
        (["huber", "--set", "delt=1"], "--set delt=1: expected KEY=VALUE; did you mean 'delta'?"),
        (["huber", "l1", "--set", "delta=1"], "--set is for one component, not for 2"),
        (["huber", "--skip", "means"], "unknown check 'means'; did you mean 'mean'?"),
    ],
)
def test_what_there_is_not_is_told_in_a_line(ganforge, words, said):
    result = ganforge("check", *words)
    assert result.status == 2
    assert said in " ".join(result.err.split())


def test_settings_that_must_be_given_are_asked_for_and_taken(ganforge):
    without = ganforge("check", "discriminator:stargan")
    assert without.status == 0
    assert "needs settings: --set domains=..." in without.out
    given = ganforge("check", "discriminator:stargan", "--set", "domains=2", "--set", "width=4")
    assert given.status == 0
    assert "passed  logits" in given.out


def test_a_check_can_be_skipped(ganforge, tmp_path):
    (tmp_path / "mine.py").write_text(SOUND.replace(".mean()", ".sum()"))
    result = ganforge("check", "mine.py", "--skip", "mean")
    assert result.status == 0
    assert "left out  mean: skipped by --skip" in result.out
