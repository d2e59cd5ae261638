"""Several processes train as one: what goes wrong in one of them is told once, and loses nothing."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ganforge import InputError
from ganforge.cli import launch

TROUBLE = """
import os, time
from pathlib import Path
from ganforge import hookimpl

class Trouble:
    def __init__(self, *, step: int = 30, how: str = "none", rank: int = 1, once: str = ""):
        self.step, self.how, self.rank, self.once = step, how, rank, once

    def after(self, step):
        time.sleep(0.005)
        if step != self.step or os.environ.get("RANK") != str(self.rank) or (self.once and Path(self.once).exists()):
            return
        if self.once:
            Path(self.once).touch()
        if self.how == "die":
            os.kill(os.getpid(), 9)
        if self.how == "hang":
            time.sleep(1000)
        if self.how == "raise":
            raise ValueError("all is lost")

@hookimpl
def ganforge_ended(run):
    if os.environ.get("RANK") == "0":
        time.sleep(float(os.environ.get("SLOW_END", "0")))

@hookimpl
def ganforge_register(register):
    register.update("trouble", Trouble)
"""
QUIET = ["record.sample_every=0", "record.checkpoint_every=20", "evaluations.modes=false"]


def words(folder: Path, *sets: str, devices: int | None = 2) -> list[str]:
    """Return the command line of a small run."""
    (folder / "trouble.py").write_text(TROUBLE)
    all_sets = [*QUIET, "updates.trouble.use=trouble", "train.steps=60", "compute.threads=1", *sets]
    found = ["run", "discogan_toy", "--plugin", "trouble.py", *(word for one in all_sets for word in ("--set", one))]
    return [*found, *(["--devices", str(devices)] if devices else [])]


def start(folder: Path, arguments: list[str], **env: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", **env}
    return subprocess.Popen(
        [sys.executable, "-m", "ganforge", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=200)
    return process.returncode, errors


def weights(folder: Path, run: str = "0001") -> dict[str, torch.Tensor]:
    found = sorted((folder / "runs" / "discogan_toy" / run / "checkpoints").glob("step-*"))[-1]
    assert found.name == "step-00000060"
    return {f"{path.stem}.{key}": one for path in found.glob("[GD]_*") for key, one in load_file(path).items()}


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while not path.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    assert path.exists(), process.communicate()[1]


def assert_nobody_is_left(folder: Path) -> None:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found = os.readlink(path.parent / "cwd")
        except OSError:
            continue
        assert found != str(folder), path.read_text()


def test_a_rank_that_dies_is_named(tmp_path: Path) -> None:
    status, errors = ended(start(tmp_path, words(tmp_path, "updates.trouble.how=die")))
    assert status == 1
    told = [line for line in errors.splitlines() if line.startswith("error")]
    assert len(told) == 1
    assert re.fullmatch(
        r"error: rank 1 was killed by SIGKILL \(.*\) in step 31; the last checkpoint is step-00000020: "
        r"ganforge resume \S*runs/discogan_toy/0001 --devices 2",
        told[0],
    )
    assert_nobody_is_left(tmp_path)


@pytest.mark.slow
def test_it_resumes_bit_for_bit_on_as_many_and_alike_on_others(tmp_path: Path) -> None:
    assert ended(start(tmp_path, words(tmp_path)))[0] == 0
    whole = weights(tmp_path)
    for number, devices in enumerate((2, 1, 4), 2):
        sets = ("updates.trouble.how=die", f"updates.trouble.once={tmp_path / str(number)}")
        assert ended(start(tmp_path, words(tmp_path, *sets)))[0] == 1
        again = ["resume", f"runs/discogan_toy/{number:04d}", *(["--devices", str(devices)] if devices > 1 else [])]
        assert ended(start(tmp_path, again))[0] == 0
        for name, one in weights(tmp_path, f"{number:04d}").items():
            if devices == 2:
                assert torch.equal(one, whole[name]), name
            else:
                torch.testing.assert_close(one, whole[name], rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_whatever_rank_is_killed_whenever_nothing_is_lost(tmp_path: Path) -> None:
    choose, killed = random.Random(0), 0
    run = tmp_path / "runs" / "discogan_toy" / "0001"
    arguments = words(tmp_path, "record.checkpoint_every=5", "train.steps=100_000")
    while killed < 20:
        process = start(tmp_path, arguments)
        time.sleep(choose.uniform(4, 10))
        mine = [path for path in Path("/proc").glob("[0-9]*") if _is_rank(path, process.pid)]
        for path in choose.sample(mine, min(1, len(mine))):
            os.kill(int(path.name), signal.SIGKILL)
            until = time.monotonic()
            status, errors = ended(process)
            assert time.monotonic() - until < 30
            assert status == 1, errors
            assert sum(line.startswith("error") for line in errors.splitlines()) == 1, errors
            killed += 1
        if process.poll() is None:
            process.terminate()
            process.communicate()
        assert_nobody_is_left(tmp_path)
        if (run / "checkpoints" / "latest").exists():
            arguments = ["resume", str(run), "--devices", "2"]
        elif run.exists():
            run.rename(tmp_path / f"aside-{killed}")
    newest = int((run / "checkpoints" / "latest").read_text().removeprefix("step-"))
    last = ["--set", f"train.steps={newest + 10}"]
    assert ended(start(tmp_path, ["resume", str(run), "--devices", "2", *last]))[0] == 0


def _is_rank(path: Path, parent: int) -> bool:
    try:
        return (
            f"\nPPid:\t{parent}\n" in (path / "status").read_text() and b"ganforge" in (path / "cmdline").read_bytes()
        )
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_once_and_stops_all(number: signal.Signals, tmp_path: Path) -> None:
    """Rank 0 still writes when the other one is done."""
    process = start(tmp_path, words(tmp_path, "train.steps=4000"), SLOW_END="3")
    run = tmp_path / "runs" / "discogan_toy" / "0001"
    wait_for(run / "checkpoints" / "latest", process)
    process.send_signal(number)
    status, errors = ended(process)
    assert status == 128 + number, errors
    assert re.search(r"interrupted at step \d+; continue with: ganforge resume \S+ --devices 2", errors)
    assert "error" not in errors
    assert_nobody_is_left(tmp_path)
    newest = sorted(path.name for path in (run / "checkpoints").glob("step-*"))[-1]
    assert f"interrupted at step {int(newest.removeprefix('step-'))};" in errors


@pytest.mark.slow
def test_a_rank_that_hangs_is_named(tmp_path: Path) -> None:
    status, errors = ended(start(tmp_path, words(tmp_path, "updates.trouble.how=hang"), GANFORGE_TIMEOUT="5"))
    assert status == 1
    assert "error: step 31: rank 1 did not respond within 5 s (the gradients of the generator)" in errors
    assert_nobody_is_left(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("rank", ["0", "1"])
def test_what_a_rank_raises_is_told_once(rank: str, tmp_path: Path) -> None:
    sets = ("updates.trouble.how=raise", f"updates.trouble.rank={rank}")
    status, errors = ended(start(tmp_path, words(tmp_path, *sets)))
    assert status == 3
    assert errors.count("error: ") == 1
    assert f"error: rank {rank} in step 31: updates.trouble: 'Trouble.after' raised ValueError: all is lost" in errors
    assert 'raise ValueError("all is lost")' in errors


@pytest.mark.slow
def test_torchrun_starts_ranks_again_and_they_go_on(tmp_path: Path) -> None:
    sets = ("updates.trouble.how=die", f"updates.trouble.once={tmp_path / 'died'}")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    done = subprocess.run(
        [*launcher, "-m", "ganforge", *words(tmp_path, *sets, devices=None)],
        cwd=tmp_path,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "runs" / "discogan_toy").iterdir()] == ["0001"]
    assert weights(tmp_path)


@pytest.mark.slow
def test_ranks_that_differ_are_refused(tmp_path: Path) -> None:
    """Two launchers, as on two machines, with recipes that differ."""
    (tmp_path / "trouble.py").write_text(TROUBLE)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    launcher += ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:29731", "--rdzv-id=1", "--local-addr=127.0.0.1"]
    env = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    working = [
        subprocess.Popen(
            [*launcher, "-m", "ganforge", *words(tmp_path, f"losses.reconstruction.weight={weight}", devices=None)],
            cwd=tmp_path,
            env=env,
            stderr=subprocess.PIPE,
            text=True,
        )
        for weight in (1.0, 2.0)
    ]
    told = [process.communicate(timeout=200)[1] for process in working]
    assert all(process.returncode for process in working)
    expected = r"error: rank 1 differs from rank 0: losses.reconstruction.weight is \d.0, not \d.0"
    assert re.search(expected, "".join(told))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--devices", "3"], "train.batch: a batch of 64 cannot be divided equally into 3 devices; try 63 or 66"),
        (["--devices", "many"], "error: --devices: expected a number or 'auto', got 'many'"),
        (["--devices", "2", "--device", "cuda"], "error: there is no device 'cuda'; this machine has: cpu"),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_is_said_in_a_line(arguments: list[str], expected: str, tmp_path: Path) -> None:
    status, errors = ended(start(tmp_path, ["run", "discogan_toy", *arguments]))
    assert status == 2
    assert expected in errors
    assert errors.count("error") == 1


def test_more_gpus_than_there_are_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert launch.count_devices("auto", "auto") == 2
    assert launch.count_devices("2", "cuda") == 2
    with pytest.raises(InputError, match=r"--devices 8: this machine has 2 CUDA devices"):
        launch.count_devices("8", "auto")
    with pytest.raises(InputError, match=r"--devices 2: 'cuda:1' is a single device"):
        launch.count_devices("2", "cuda:1")


PICTURES = """
extends = "base_64.toml"
[dataset]
use = "coats"
coats = ["plain", "striped"]
paired = true
size = 32
pictures = 160
test_pictures = 70
validation = 0.5
[generator]
width = 4
layers = 4
[discriminator]
width = 4
[evaluations.pairs]
use = "paired-error"
[train]
steps = 6
batch = 8
[compute]
threads = 1
[record]
best = "-pairs.l1_AB"
evaluate_every = 2
checkpoint_every = 3
sample_every = 3
keep = 0
"""


@pytest.mark.slow
def test_evaluations_and_what_they_choose_do_not_depend_on_the_devices(tmp_path: Path) -> None:
    """Test pictures are more than a batch of 64, so that both ranks translate some."""
    (tmp_path / "case.toml").write_text(PICTURES)
    found = []
    for name in ("one", "two"):
        more = ["--devices", "2"] if name == "two" else []
        status, errors = ended(start(tmp_path, ["run", "case.toml", "--out", name, *more]))
        assert status == 0, errors
        found.append(json.loads((tmp_path / name / "case" / "0001" / "metrics.json").read_text()))
    one, two = found
    assert (one["step"], one["best"]["step"]) == (two["step"], two["best"]["step"])
    for mine, theirs in ((one, two), (one["best"], two["best"])):
        for split in ("validation", "test"):
            assert theirs[split]["pairs"] == pytest.approx(mine[split]["pairs"], rel=0.02)
    pictures = [sorted(path.name for path in (tmp_path / name).rglob("*.png")) for name in ("one", "two")]
    assert pictures[0] == pictures[1]
