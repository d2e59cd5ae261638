"""Runs that are killed, stopped, damaged, crowded or starved: nothing is lost, and what is wrong is said."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import safetensors.torch
import torch

FAST = ["--set", "record.log_every=5", "--set", "record.checkpoint_every=10"]


def start(folder, *words):
    """Start the command line in a process of its own."""
    command = [sys.executable, "-m", "ganforge", *map(str, words)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path, seconds=180):
    """Wait until a file is there."""
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.02)


def tensors(run, name="training"):
    """Every tensor of a file of the newest checkpoint."""
    newest = run / "checkpoints" / (run / "checkpoints" / "latest").read_text()
    return safetensors.torch.load_file(newest / f"{name}.safetensors")


def assert_same_end(one, other):
    """Weights, optimizer state, log and metrics of two runs are equal."""
    for name in ("G_AB", "G_BA", "D_A", "D_B", "training"):
        mine, theirs = tensors(one, name), tensors(other, name)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(value, theirs[key]) for key, value in mine.items()), name
    assert records(one) == records(other)


def records(run):
    """Every line of the log but for its speed."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "steps_per_second"} for line in lines]


@pytest.mark.parametrize(
    ("number", "status"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(number, status, toy, tmp_path):
    process = start(tmp_path, "run", toy, "--set", "train.steps=1000000", *FAST)
    run = tmp_path / "runs" / "toy" / "0001"
    wait_for(run / "log.jsonl")
    process.send_signal(number)
    _, err = process.communicate(timeout=180)
    assert process.returncode == status
    assert "continue with: ganforge resume runs/toy/0001" in err
    assert (run / "checkpoints" / "latest").exists()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no SIGUSR1")
def test_sigusr1_saves_and_goes_on(toy, tmp_path):
    words = ["--set", "train.steps=1000000", "--set", "record.checkpoint_every=0", "--set", "record.log_every=5"]
    process = start(tmp_path, "run", toy, *words)
    run = tmp_path / "runs" / "toy" / "0001"
    wait_for(run / "log.jsonl")
    assert not (run / "checkpoints").exists()
    process.send_signal(signal.SIGUSR1)
    wait_for(run / "checkpoints" / "latest")
    size = (run / "log.jsonl").stat().st_size
    time.sleep(1)
    assert process.poll() is None
    assert (run / "log.jsonl").stat().st_size > size
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_killed_run_ends_as_an_undisturbed_one(toy, ganforge, tmp_path):
    words = ["--set", "train.steps=2000", *FAST, "--set", "record.keep=2"]
    assert ganforge("run", toy, *words, "--out", "whole").status == 0
    process = start(tmp_path, "run", toy, *words, "--out", "killed")
    run = tmp_path / "killed" / "toy" / "0001"
    wait_for(run / "checkpoints" / "latest")
    for _ in range(3):
        time.sleep(0.1)
        process.kill()
        process.communicate()
        process = start(tmp_path, "resume", run)
        time.sleep(4)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert_same_end(tmp_path / "whole" / "toy" / "0001", run)


@pytest.mark.slow
def test_a_second_process_is_refused_and_a_dead_ones_lock_is_taken_over(toy, ganforge, tmp_path):
    process = start(tmp_path, "run", toy, "--set", "train.steps=1000000", *FAST)
    run = tmp_path / "runs" / "toy" / "0001"
    wait_for(run / "checkpoints" / "latest")
    second = ganforge("resume", run)
    assert second.status == 2
    assert "another process is using" in second.err
    process.kill()
    process.communicate()
    step = int((run / "checkpoints" / "latest").read_text()[-8:])
    assert ganforge("resume", run, "--set", f"train.steps={step + 3}").status == 0


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(toy, ganforge, tmp_path):
    assert ganforge("run", toy, "--out", "whole").status == 0
    assert ganforge("run", toy, "--out", "damaged").status == 0
    run = tmp_path / "damaged" / "toy" / "0001"
    file = run / "checkpoints" / "step-00000008" / "D_A.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    result = ganforge("resume", run)
    assert result.status == 0, result.err
    assert "step-00000008/D_A.safetensors" in result.err
    assert "continuing from step-00000004" in result.err
    assert_same_end(tmp_path / "whole" / "toy" / "0001", run)


@pytest.mark.parametrize("pointer", [b"", b"step-00000099", b"\xff\xfe", None])
def test_a_damaged_pointer_does_not_matter(pointer, toy, ganforge, tmp_path):
    assert ganforge("run", toy, "--set", "train.steps=6").status == 0
    run = tmp_path / "runs" / "toy" / "0001"
    latest = run / "checkpoints" / "latest"
    latest.unlink() if pointer is None else latest.write_bytes(pointer)
    assert ganforge("resume", run, "--set", "train.steps=8").status == 0
    assert latest.read_text() == "step-00000008"


WILD = """
from ganforge import hookimpl
import torch

def wild(fake, real, *, above: float):
    \"\"\"Not a number where the batch's sum is above a bound.\"\"\"
    return torch.where(real.sum() > above, torch.nan, 0.0) * fake.mean()

@hookimpl
def ganforge_register(register):
    register.loss("wild", wild)
"""


def test_the_offending_loss_and_step_are_named_and_the_last_checkpoint_is_finite(toy, ganforge, tmp_path):
    (tmp_path / "wild.py").write_text(WILD)
    words = ["--plugin", tmp_path / "wild.py", "--set", "losses.wild={use='wild', above=0.0}"]
    result = ganforge("run", toy, *words)
    assert result.status == 1
    assert "'generator.wild.AB' is nan at step 1; try a lower learning rate" in result.err
    assert not (tmp_path / "runs" / "toy" / "0001" / "checkpoints").exists()


REFUSED = {
    "best": (["record.evaluate_every=1", "record.best=-modes.nothing"], "modes.nothing"),
    "observer": (["record.observers=['absent']"], "absent"),
    "evaluation": (["evaluations.fid={use='fid'}"], "fid"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_run_that_is_refused_leaves_no_folder(case, toy, ganforge, tmp_path):
    sets, named = REFUSED[case]
    words = [word for text in sets for word in ("--set", text)]
    assert ganforge("run", toy, *words).status == 2
    assert not (tmp_path / "runs" / "toy").exists()
    assert ganforge("run", toy).status == 0
    result = ganforge("run", toy, *words)
    assert result.status == 2
    assert named in result.err
    assert [folder.name for folder in (tmp_path / "runs" / "toy").iterdir()] == ["0001"]


def test_a_rewound_run_takes_other_batches_and_goes_on(toy, ganforge, make_engine, tmp_path):
    (tmp_path / "wild.py").write_text(WILD)
    _, batches = make_engine(toy)
    second, largest = sorted(float(batches(step)["B"].sum()) for step in range(8))[-2:]
    poisoned = next(step for step in range(8) if float(batches(step)["B"].sum()) == largest)
    assert poisoned > 0, "the first step has no checkpoint to go back to"
    loss = f"losses.wild={{use='wild', above={(second + largest) / 2}}}"
    words = ["--plugin", tmp_path / "wild.py", "--set", loss, "--set", "record.checkpoint_every=1"]
    stopped = ganforge("run", toy, *words, "--set", "record.log_every=1", "--out", "stopped")
    assert stopped.status == 1
    assert f"is nan at step {poisoned + 1}; earlier checkpoints are kept; try a lower" in stopped.err
    rewound = ganforge("run", toy, *words, "--set", "train.on_divergence=rewind", "--out", "rewound")
    assert rewound.status == 0, rewound.err
    assert f"back to step {poisoned}, continuing with other batches (1 of 3 times)" in " ".join(rewound.out.split())
    run = tmp_path / "rewound" / "toy" / "0001"
    steps = [record["step"] for record in records(run) if "losses" in record]
    assert steps == sorted(set(steps)), "a line is there twice"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('mine')", "KeyError: 'mine'"),
        ("return fake", "must return a scalar tensor, got shape [16, 2]"),
        ("return 1.0", "must return a scalar tensor, got float"),
        ("return fake.mean().to('meta')", "must return a tensor on cpu, got one on meta"),
    ],
)
def test_a_loss_that_breaks_its_contract_stops_the_run_with_its_name(body, message, toy, ganforge, tmp_path):
    (tmp_path / "wrong.py").write_text(
        "from ganforge import hookimpl\ndef wrong(fake):\n    'Wrong.'\n    if fake.device.type == 'meta':\n"
        f"        return fake.mean()\n    {body}\n@hookimpl\ndef ganforge_register(register):\n"
        "    register.loss('wrong', wrong)\n"
    )
    result = ganforge("run", toy, "--plugin", tmp_path / "wrong.py", "--set", "losses.wrong={use='wrong'}")
    assert result.status == 3
    assert "losses.wrong.AB: 'wrong/wrong'" in result.err
    assert message in result.err


def test_what_would_not_fit_is_refused_before_the_first_step(toy, ganforge):
    result = ganforge("run", toy, "--set", "train.batch=1000000000000")
    assert result.status == 1
    told = re.search(
        r"batch 1000000000000 needs about .* GiB, but there are .*: try --set train.batch=(\d+)$", result.err
    )
    assert 1000 < int(told[1]) < 1_000_000_000_000


def test_out_of_memory_names_a_batch_to_try(toy, ganforge, monkeypatch):
    monkeypatch.setattr("ganforge.runs.memory_need.is_worth_measuring", lambda *_: False)
    result = ganforge("run", toy, "--set", "train.batch=1000000000000")
    assert result.status == 1
    assert "out of memory at batch 1000000000000: try --set train.batch=500000000000" in result.err


def test_where_memory_is_refused_the_largest_batch_that_fits_is_found(toy, make_engine):
    engine, batches = make_engine(toy)

    def refuse(network, given):
        if len(given[0]) > 5:
            raise torch.OutOfMemoryError

    engine.networks["G_AB"].register_forward_pre_hook(refuse)
    one = {domain: samples[:1] for domain, samples in batches(0).items()}
    assert engine.fitting_batch(0, one, 16) == 4


def test_an_observer_that_raises_is_named_once_and_the_run_goes_on(toy, ganforge, tmp_path):
    (tmp_path / "broken.py").write_text(
        "from ganforge import hookimpl\n@hookimpl\ndef ganforge_logged(run, record):\n    raise KeyError('broken')\n"
    )
    result = ganforge("run", toy, "--plugin", tmp_path / "broken.py")
    assert result.status == 0
    assert result.err.count("plugin 'broken' is disabled") == 1


def test_a_plugin_gets_back_what_it_saved(toy, ganforge, tmp_path):
    (tmp_path / "counting.py").write_text(
        "from ganforge import hookimpl\ncount = {'logged': 0}\n"
        "@hookimpl\ndef ganforge_logged(run):\n    count['logged'] += 1\n"
        "@hookimpl\ndef ganforge_saving(run):\n    return dict(count)\n"
        "@hookimpl\ndef ganforge_restored(run, states):\n    count.update(states['counting'])\n"
        "@hookimpl\ndef ganforge_ended(run):\n    (run.folder / 'count').write_text(str(count['logged']))\n"
    )
    plugin = ["--plugin", tmp_path / "counting.py"]
    assert ganforge("run", toy, *plugin, "--set", "train.steps=4").status == 0
    run = tmp_path / "runs" / "toy" / "0001"
    assert (run / "count").read_text() == "2"
    # Another process has another count: it begins with what the checkpoint holds.
    process = start(tmp_path, "resume", run, "--set", "train.steps=8", *plugin)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert (run / "count").read_text() == "4"


def fill(place, leave):
    """Fill a file system but for some bytes."""
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    (place / "filler").write_bytes(b"\0" * max(0, free - leave))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["stop", "go_on"])
def test_a_full_disk_is_told_and_the_last_good_checkpoint_kept(mode, toy, tmp_path, small_disk):
    words = ["--set", "train.steps=1000000", "--set", f"record.on_write_error={mode}", *FAST, "--out", small_disk]
    process = start(tmp_path, "run", toy, *words)
    run = small_disk / "toy" / "0001"
    wait_for(run / "checkpoints" / "latest")
    fill(small_disk, leave=0)
    if mode == "go_on":
        time.sleep(3)
        assert process.poll() is None
        (small_disk / "filler").unlink()
        before = (run / "checkpoints" / "latest").read_text()
        until = time.monotonic() + 30
        while (run / "checkpoints" / "latest").read_text() == before and time.monotonic() < until:
            time.sleep(0.1)
        assert (run / "checkpoints" / "latest").read_text() > before
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=180)
        assert process.returncode == 143
        return
    _, err = process.communicate(timeout=180)
    assert process.returncode == 1, err
    assert "No space left on device; the newest checkpoint is step-" in " ".join(err.split())
    assert "Traceback" not in err
    (small_disk / "filler").unlink()
    step = int((run / "checkpoints" / "latest").read_text()[-8:])
    again = start(tmp_path, "resume", run, "--set", f"train.steps={step + 5}")
    again.communicate(timeout=180)
    assert again.returncode == 0


def test_a_run_can_be_moved_and_resumed(toy, ganforge, tmp_path):
    assert ganforge("run", toy, "--out", "whole").status == 0
    assert ganforge("run", toy, "--set", "train.steps=5", "--out", "old").status == 0
    (tmp_path / "new place").mkdir()
    moved = (tmp_path / "old" / "toy" / "0001").rename(tmp_path / "new place" / "run")
    assert ganforge("resume", moved, "--set", "train.steps=8").status == 0
    for name in ("G_AB", "training"):
        mine, theirs = tensors(moved, name), tensors(tmp_path / "whole" / "toy" / "0001", name)
        assert all(torch.equal(value, theirs[key]) for key, value in mine.items())


@pytest.mark.slow
def test_two_runs_of_the_same_second_get_folders_of_their_own(toy, tmp_path):
    both = [start(tmp_path, "run", toy) for _ in range(2)]
    for process in both:
        process.communicate(timeout=180)
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(path.name for path in (tmp_path / "runs" / "toy").iterdir()) == ["0001", "0002"]
