"""Runs killed at any moment, as often as it takes: every one of them ends as the undisturbed run did.

The long form, before every file operation of a toy, and 50 times in toy and picture runs:
pytest -m slow tests/faults/test_kills.py -s
"""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import draw_pairs
from tests.faults.test_runs import assert_same_end

PICTURES = """\
extends = "discogan_edges2shoes"
[dataset]
root = "pairs"
size = 16
[generator]
width = 2
[discriminator]
width = 2
[evaluations.pairs]
use = "paired-error"
[train]
steps = 300
batch = 4
[record]
log_every = 3
sample_every = 20
checkpoint_every = 4
evaluate_every = 12
best = "l1_AB"
observers = ["csv"]
[compute]
compile = false
"""
POINTS = """\
extends = "discogan_toy"
[generator]
hidden = 8
[discriminator]
hidden = 8
[train]
steps = 4000
batch = 16
[record]
log_every = 5
sample_every = 100
checkpoint_every = 20
evaluate_every = 100
best = "clean"
observers = ["csv"]
"""


# What is seen in a run's folder while something is written; any moment, where there is no pattern.
MOMENTS = {
    "any": "",
    "checkpoint": "checkpoints/.step-*",
    "pointer": "checkpoints/.latest.*",
    "report": ".report.html.*",
}


def command(*words):
    return [sys.executable, "-m", "ganforge", *map(str, words), "--device", "cpu"]


def wait_for_moment(process, run, moment, seconds):
    """Wait until a file of the moment's is seen, or for some seconds; return whether the process still runs."""
    until = time.monotonic() + seconds
    pattern = MOMENTS[moment]
    while process.poll() is None and time.monotonic() < until:
        if pattern and any(run.glob(pattern)):
            return True
        time.sleep(0.0005)
    return process.poll() is None


def killed_until_done(folder, recipe, seconds, numbers, most):
    """Start a run, kill it, resume it, kill it ...; return at which moments it was hit."""
    run, hit = folder / "runs" / recipe.stem / "0001", []
    while True:
        # Before the first checkpoint there is nothing to resume: what is there gives way.
        begun = (run / "checkpoints" / "latest").exists()
        if not begun:
            shutil.rmtree(folder / "runs", ignore_errors=True)
        with (folder / "said.txt").open("wb") as said:
            words = command("resume", run) if begun else command("run", recipe)
            process = subprocess.Popen(words, cwd=folder, stdout=said, stderr=said)
        if len(hit) < most:
            moment = numbers.choice(list(MOMENTS))
            # Of what is written again and again, not always the first one is hit.
            if begun and MOMENTS[moment]:
                wait_for_moment(process, run, "checkpoint", 60)
                time.sleep(numbers.uniform(0, 0.3))
            if wait_for_moment(process, run, moment, numbers.uniform(0.1, 1) * seconds):
                process.kill()
                process.wait()
                hit.append(moment)
                continue
        status = process.wait()
        assert status == 0, (folder / "said.txt").read_text(errors="replace")
        return hit


def undisturbed(folder, recipe):
    """Return the seconds that a whole run takes."""
    start = time.monotonic()
    subprocess.run(command("run", recipe, "--out", "whole"), cwd=folder, check=True, capture_output=True)
    return time.monotonic() - start


def kill(folder, text, name, most, numbers):
    recipe = folder / f"{name}.toml"
    recipe.write_text(text)
    seconds = undisturbed(folder, recipe)
    hit = killed_until_done(folder, recipe, seconds, numbers, most)
    whole, run = (folder / place / name / "0001" for place in ("whole", "runs"))
    assert_same_end(whole, run)
    for file in ("metrics.json", "checkpoints/latest", "checkpoints/best"):
        assert (whole / file).read_text() == (run / file).read_text(), file
    leftovers = [path for path in run.rglob(".*") if path.name != ".lock"]
    assert not leftovers, "what a killed write left behind is cleared away"
    return hit


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("name", "text"), [("points", POINTS), ("pictures", PICTURES)])
def test_killed_runs_end_as_undisturbed_ones(name, text, seed, tmp_path):
    pairs = draw_pairs(tmp_path / "pairs", (("train", 48), ("val", 0)))
    for number in range(41, 49):  # others than those of the training, of which a resumed run would be warned again
        (pairs / "train" / f"{number}_AB.jpg").rename(pairs / "val" / f"{number}_AB.jpg")
    hit = kill(tmp_path, text, name, 6, random.Random(seed))
    sys.stdout.write(f"{name}, seed {seed}: killed {len(hit)} times: {', '.join(hit)}\n")
    assert hit


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks of a process that has all imported")
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 400])
def test_a_run_killed_before_any_file_operation_ends_as_the_undisturbed_one(every, tmp_path):
    """One checkpoint is kept, and evaluation, best checkpoint and due checkpoint fall on the same steps."""
    script = Path(__file__).parent / "every_operation.py"
    words = [sys.executable, str(script), str(tmp_path), str(every)]
    process = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    sys.stdout.write(process.stdout)
    assert process.returncode == 0, process.stderr
    assert process.stdout.endswith(" 0 bad\n"), process.stdout
