"""Machines that misbehave: disks that turn read-only, clocks that jump, memory that must not grow."""

import itertools
import json
import subprocess
import sys
import time

import pytest

from tests.conftest import draw_pairs
from tests.faults.test_runs import FAST, assert_same_end, start, wait_for

MEMORY = """
import resource
from pathlib import Path
from ganforge import hookimpl

@hookimpl
def ganforge_logged(run, record):
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    with Path("memory.txt").open("a") as file:
        file.write(f"{record['step']} {pages * resource.getpagesize()}\\n")
"""


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, if this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", place], check=True)


def remount(place, how):
    subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["stop", "go_on"])
def test_a_disk_that_turns_read_only_is_told_and_the_last_checkpoint_kept(mode, toy, tmp_path, small_disk):
    words = ["--set", "train.steps=1000000", "--set", f"train.on_write_error={mode}", *FAST, "--out", small_disk]
    process = start(tmp_path, "run", toy, *words)
    run = small_disk / "toy" / "0001"
    wait_for(run / "checkpoints" / "latest")
    # While a file is open for writing the system refuses; so it may take some attempts.
    for attempt in itertools.count():
        if subprocess.run(["mount", "-o", "remount,ro", small_disk], capture_output=True).returncode == 0:
            break
        assert attempt < 1000
    if mode == "go_on":
        time.sleep(3)
        assert process.poll() is None
        before = (run / "checkpoints" / "latest").read_text()
        remount(small_disk, "rw")
        until = time.monotonic() + 60
        while (run / "checkpoints" / "latest").read_text() <= before and time.monotonic() < until:
            time.sleep(0.1)
        assert (run / "checkpoints" / "latest").read_text() > before
        process.terminate()
        process.communicate(timeout=180)
        assert process.returncode == 143
        return
    _, err = process.communicate(timeout=180)
    assert process.returncode == 1, err
    assert "Read-only file system; the newest checkpoint is step-" in " ".join(err.split())
    assert "Traceback" not in err
    again = start(tmp_path, "resume", run)
    _, err = again.communicate(timeout=180)
    assert again.returncode == 2
    assert "cannot write to" in err
    remount(small_disk, "rw")
    step = int((run / "checkpoints" / "latest").read_text()[-8:])
    again = start(tmp_path, "resume", run, "--set", f"train.steps={step + 5}")
    _, err = again.communicate(timeout=180)
    assert again.returncode == 0, err


def test_a_clock_that_jumps_changes_nothing(toy, ganforge, tmp_path, monkeypatch):
    words = ["--set", "train.steps=40", "--set", "train.checkpoint_every=5", "--set", "train.keep=2"]
    assert ganforge("run", toy, *words, "--out", "steady").status == 0
    jumps = itertools.cycle([0.0, 4e9, -1e9, 1.7e9])
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * next(jumps)))
    result = ganforge("run", toy, *words, "--set", "train.steps=20", "--out", "jumping")
    assert result.status == 0, result.err
    run = tmp_path / "jumping" / "toy" / "0001"
    assert ganforge("resume", run, "--set", "train.steps=40").status == 0
    assert_same_end(tmp_path / "steady" / "toy" / "0001", run)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the memory in use from /proc")
@pytest.mark.parametrize(
    ("recipe", "steps", "settings"),
    [
        ("discogan_toy", 20_000, ["train.log_every=500", "train.compile='auto'"]),
        ("discogan_toy", 6_000, ["train.log_every=500", "train.compile=false"]),
        (
            "discogan_edges2shoes",
            200,
            ["train.log_every=10", "train.batch=16", "generator.width=16", "dataset.root=pairs"],
        ),
    ],
)
def test_memory_stays_flat(recipe, steps, settings, tmp_path):
    """From a fifth of the steps on, by when everything has been done once, memory grows by 2 percent at most."""
    draw_pairs(tmp_path / "pairs", (("train", 64), ("val", 8)))
    (tmp_path / "memory.py").write_text(MEMORY)
    settings = [*settings, f"train.steps={steps}", f"train.checkpoint_every={steps // 10}"]
    settings += [f"train.sample_every={steps // 10}", f"train.evaluate_every={steps // 10}"]
    words = [word for setting in settings for word in ("--set", setting)]
    process = start(tmp_path, "run", recipe, "--plugin", "memory.py", *words, "--device", "cpu")
    _, err = process.communicate(timeout=1800)
    assert process.returncode == 0, err
    rows = [tuple(map(int, line.split())) for line in (tmp_path / "memory.txt").read_text().splitlines()]
    used = {step: size for step, size in rows if step >= steps / 5}
    growth = used[steps] / used[min(used)]
    sys.stdout.write(json.dumps({"recipe": recipe, "steps": steps, "growth": growth, "bytes": used}) + "\n")
    assert growth <= 1.02
