"""Machines that misbehave: disks that turn read-only, clocks that jump, memory that must not grow."""

import errno
import itertools
import json
import os
import subprocess
import sys
import time

import pytest

from ganforge.runs import checkpoint
from tests.conftest import draw_pairs
from tests.faults.test_runs import assert_same_end, start

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


def remount(place, how):
    subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)


@pytest.mark.slow
def test_a_read_only_disk_is_told_before_anything_is_done(toy, tmp_path, ganforge, small_disk):
    assert ganforge("run", toy, "--out", small_disk).status == 0
    run = small_disk / "toy" / "0001"
    remount(small_disk, "ro")
    for words in (["run", toy, "--out", small_disk], ["resume", run, "--set", "train.steps=10"]):
        result = ganforge(*words)
        assert result.status == 2
        assert "cannot write to" in result.err
        assert "Read-only file system" in result.err
    remount(small_disk, "rw")
    assert ganforge("resume", run, "--set", "train.steps=10").status == 0


@pytest.mark.parametrize("mode", ["stop", "go_on"])
def test_a_disk_that_turns_read_only_is_told_and_the_last_checkpoint_kept(mode, toy, tmp_path, ganforge, monkeypatch):
    write, refused = checkpoint.write_tensors, []

    def write_tensors(folder, name, tensors, metadata):
        if metadata["step"] == "6":
            refused.append(name)
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), name)
        return write(folder, name, tensors, metadata)

    monkeypatch.setattr(checkpoint, "write_tensors", write_tensors)
    words = ["--set", "record.checkpoint_every=2", "--set", f"record.on_write_error={mode}"]
    result = ganforge("run", toy, *words)
    assert refused
    run = tmp_path / "runs" / "toy" / "0001"
    said = " ".join((result.err + result.out).split())
    assert "Read-only file system; the newest checkpoint is step-00000004" in said
    assert result.status == (1 if mode == "stop" else 0)
    assert (run / "checkpoints" / "latest").read_text() == ("step-00000004" if mode == "stop" else "step-00000008")
    monkeypatch.setattr(checkpoint, "write_tensors", write)
    assert ganforge("resume", run, "--set", "train.steps=10").status == 0


@pytest.mark.slow
def test_a_clock_that_jumps_changes_nothing(toy, ganforge, tmp_path, monkeypatch):
    words = ["--set", "train.steps=40", "--set", "record.checkpoint_every=5", "--set", "record.keep=2"]
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
        ("discogan_toy", 20_000, ["record.log_every=500", "compute.compile='auto'"]),
        ("discogan_toy", 6_000, ["record.log_every=500", "compute.compile=false"]),
        (
            "discogan_edges2shoes",
            200,
            [
                "record.log_every=10",
                "train.batch=16",
                "generator.width=16",
                "discriminator.width=16",
                "dataset.root=pairs",
            ],
        ),
    ],
)
def test_memory_stays_flat(recipe, steps, settings, tmp_path):
    """From a fifth of the steps on, by when everything has been done once, memory grows by 2 percent at most."""
    draw_pairs(tmp_path / "pairs", (("train", 40), ("val", 8)))
    (tmp_path / "memory.py").write_text(MEMORY)
    settings = [*settings, f"train.steps={steps}", f"record.checkpoint_every={steps // 10}"]
    settings += [f"record.sample_every={steps // 10}", f"record.evaluate_every={steps // 10}"]
    words = [word for setting in settings for word in ("--set", setting)]
    process = start(tmp_path, "run", recipe, "--plugin", "memory.py", *words, "--device", "cpu")
    _, err = process.communicate(timeout=1800)
    assert process.returncode == 0, err
    rows = [tuple(map(int, line.split())) for line in (tmp_path / "memory.txt").read_text().splitlines()]
    used = {step: size for step, size in rows if step >= steps / 5}
    growth = used[steps] / used[min(used)]
    sys.stdout.write(json.dumps({"recipe": recipe, "steps": steps, "growth": growth, "bytes": used}) + "\n")
    assert growth <= 1.02
