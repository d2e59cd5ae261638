"""Comparisons: whole small ones from the command line, and their numbers against numbers worked out by hand."""

import json
import signal
import subprocess
import sys
import time

import pytest

SETS = ["train.steps=6", "record.evaluate_every=2", "generator.hidden=8", "discriminator.hidden=8", "train.batch=8"]
WORDS = [word for text in SETS for word in ("--set", text)]
RECIPES = ["gan_toy", "discogan_toy"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison of two recipes and two seeds, and what the command printed."""
    folder = tmp_path_factory.mktemp("compared")
    return folder, compare(folder, *RECIPES, "--seeds", "2", *WORDS)


def compare(folder, *words):
    """Compare in a process of its own, which starts its runs in processes."""
    command = [sys.executable, "-m", "ganforge", "compare", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_every_recipe_is_trained_with_every_seed_and_one_table_one_figure_one_page_come_out(compared):
    folder, result = compared
    assert result.returncode == 0, result.stderr
    out = folder / "comparison"
    for seed in (0, 1):
        for recipe in RECIPES:
            lock = (out / f"seed-{seed}" / recipe / "0001" / "recipe.lock.toml").read_text()
            assert f"seed = {seed}\n" in lock
    found = json.loads((out / "comparison.json").read_text())
    assert set(found) == set(RECIPES)
    assert set(found["gan_toy"]["metrics"]["modes.coverage"]["values"]) == {"0", "1"}
    assert "modes.cycle_error_B" not in found["gan_toy"]["metrics"]
    assert (out / "comparison.png").stat().st_size > 10_000
    page = (out / "comparison.html").read_text()
    assert "modes.cycle_error_B" in page
    assert "http" not in page.replace("http-equiv", "")
    table = result.stdout.splitlines()
    assert table[0].split() == ["metric", *RECIPES]
    assert any(line.startswith("modes.clean") and "±" in line for line in table)


def test_values_are_means_over_the_last_fifth_and_deviations_those_of_a_sample(compared, tmp_path):
    from ganforge_compare import results

    folder, _ = compared
    found = json.loads((folder / "comparison" / "comparison.json").read_text())["discogan_toy"]
    for seed, run in found["runs"].items():
        lines = (folder / run / "log.jsonl").read_text().splitlines()
        metrics = {(entry := json.loads(line))["step"]: entry["metrics"] for line in lines if '"metrics"' in line}
        assert sorted(metrics) == [2, 4, 6]  # of six steps the last fifth is step 6
        assert found["metrics"]["modes.quality"]["values"][seed] == metrics[6]["modes"]["quality"]
    one, two = found["metrics"]["modes.quality"]["values"].values()
    assert found["metrics"]["modes.quality"]["mean"] == pytest.approx((one + two) / 2)
    assert found["metrics"]["modes.quality"]["deviation"] == pytest.approx(abs(one - two) / 2**0.5)

    values = {79: 1.0, 80: 5.0, 81: 7.0, 100: 9.0, 120: 50.0}
    records = [{"step": step, "metrics": {"r": {"m": value}}} for step, value in values.items()]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 90, "metrics": {"r": {"m": NaN}}}\n{"step": 90, "metrics": {"r": {"m": 1e308}}}\n{"st')
    assert results.late_metrics(tmp_path, 100, pytest.fail) == {"r.m": 8.0}


def test_what_is_there_is_not_trained_again_and_more_seeds_or_steps_are_added(compared, ganforge):
    out = compared[0] / "comparison"
    run = out / "seed-0" / "gan_toy" / "0001"
    before = (run / "log.jsonl").stat().st_mtime_ns
    again = ganforge("compare", *RECIPES, "--seeds", "2", *WORDS, "--out", out, "--json")
    assert again.status == 0, again.err
    assert set(json.loads(again.out)) == set(RECIPES)
    assert (run / "log.jsonl").stat().st_mtime_ns == before
    longer = ganforge("compare", "gan_toy", "--seeds", "1", *WORDS, "--set", "train.steps=8", "--out", out)
    assert longer.status == 0, longer.err
    assert (run / "checkpoints" / "latest").read_text() == "step-00000008"
    words = ["gan_toy", "--seeds", "1", *WORDS, "--set", "losses.adversarial.smoothing=0.1", "--out", out]
    other = ganforge("compare", *words)
    assert other.status == 2
    assert "losses.adversarial.smoothing = 0.0, not 0.1" in other.err


def test_a_run_that_fails_is_told_and_the_others_are_compared(tmp_path, ganforge):
    """One recipe diverges at once."""
    for name, rate in (("fine", "1e-4"), ("wild", "1e9")):
        lines = ["extends = 'discogan_toy'", "[optimizer]", "use = 'sgd'", f"lr = {rate}"]
        (tmp_path / f"{name}.toml").write_text("\n".join(lines))
    result = ganforge("compare", "fine.toml", "wild.toml", "--seeds", "1", *WORDS, "--set", "record.log_every=1")
    assert result.status == 1
    assert "wild, seed 0 failed with status 1" in result.err
    assert "modes.coverage" in result.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["discogan_tou"], "did you mean 'discogan_toy'?"),
        (["gan_toy", "gan_toy"], "different names"),
        (["gan_toy", "--set", "train.stepz=3"], "train.stepz"),
        (["gan_toy", "--seeds", "0"], "--seeds"),
    ],
    ids=str,
)
def test_wrong_input_is_refused_before_anything_is_trained(words, message, tmp_path, ganforge):
    result = ganforge("compare", *words)
    assert result.status == 2
    assert message in result.err
    assert not (tmp_path / "comparison").exists()


def test_an_interrupted_comparison_goes_on_where_it_was(tmp_path, ganforge):
    words = ["gan_toy", "--seeds", "1", *WORDS, "--set", "train.steps=8000", "--set", "record.log_every=20"]
    words += ["--set", "record.evaluate_every=0"]
    command = [sys.executable, "-m", "ganforge", "compare", *words]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "comparison" / "seed-0" / "gan_toy" / "0001" / "log.jsonl"
    until = time.monotonic() + 60
    while not log.exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in err
    stopped = (log.parent / "checkpoints" / "latest").read_text()
    assert stopped < "step-00008000"
    result = ganforge("compare", *words)
    assert result.status == 0, result.err
    assert (log.parent / "checkpoints" / "latest").read_text() == "step-00008000"
