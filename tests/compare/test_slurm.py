"""Comparisons whose runs are jobs of Slurm, with commands that behave as Slurm's do; the real ones have their own test."""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ganforge import hold

comparison, job, slurm = (
    importlib.import_module(f"ganforge_compare.{name}") for name in ("comparison", "work.job", "work.slurm")
)

SETS = ["train.steps=6", "generator.hidden=8", "discriminator.hidden=8", "train.batch=8", "record.sample_every=0"]
WORDS = [word for text in SETS for word in ("--set", text)]
COMPARE = ["compare", "gan_toy", *WORDS, "--on", "slurm"]


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A folder with all jobs of a Slurm that is on the PATH."""
    folder, programs = tmp_path / "queue", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    source = (Path(__file__).parent / "fake_slurm.py").read_text()
    for name in slurm.COMMANDS:
        (programs / name).write_text(f"#!{sys.executable}\n{source}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setattr(slurm.Slurm, "seconds", 0.2)
    monkeypatch.setattr(slurm, "LATE_SECONDS", 0.5)
    return folder


def jobs(queue):
    return {path.parent.name: path.read_text() for path in sorted(queue.glob("*_*/state"))}


def wait_until(true, seconds=120):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def interrupt_with(queue, job):
    """Interrupt this process, as Ctrl-C does, once it looks at a queue that holds a job."""
    (queue / "asked").unlink(missing_ok=True)

    def wait():
        wait_until(lambda: (queue / "asked").exists() and job in jobs(queue))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def test_a_run_is_a_job_with_the_options_asked_for_and_its_results_are_there_for_every_place(queue, ganforge, tmp_path):
    result = ganforge(*COMPARE, "--seeds", "1", "--jobs", "2", "--slurm", "partition=gpu", "--slurm", "cpus_per_task=2")
    assert result.status == 0, result.err
    assert "job 5 is submitted, for 1 run\n" in result.err
    assert "modes.coverage" in result.out
    wait_until(lambda: jobs(queue) == {"5_0": "COMPLETED"})
    words = (queue / "5_0" / "words").read_text().splitlines()
    assert {"--array=0-0%2", "--partition=gpu", "--cpus-per-task=2", "--requeue", "--signal=B:USR2@120"} <= set(words)
    (array,) = (tmp_path / "comparison" / "slurm").iterdir()
    assert f"--job-name=ganforge-{array.name}" in words
    assert f"--output={array}/%a.txt" in words
    assert (array / "0.status").read_text() == "0\n"
    assert (array / "0.txt").read_text() == ""
    found = json.loads((tmp_path / "comparison" / "comparison.json").read_text())
    for place in ("slurm", "local"):
        again = ganforge(*COMPARE[:-1], place, "--seeds", "1", "--json")
        assert again.status == 0, again.err
        assert json.loads(again.out) == found
    assert jobs(queue) == {"5_0": "COMPLETED"}


def test_an_interruption_leaves_jobs_in_the_queue_where_the_same_command_finds_them(queue, ganforge, monkeypatch):
    (queue / "fate").write_text("PENDING")
    for _ in range(2):
        interrupt_with(queue, "5_1")
        result = ganforge(*COMPARE, "--seeds", "2")
        assert result.status == 130
        line = "interrupted; 2 runs stay in Slurm's queue: the same command waits for them, --cancel cancels them\n"
        assert result.err.endswith(line)
        assert jobs(queue) == {"5_0": "PENDING", "5_1": "PENDING"}
    here = ganforge(*COMPARE[:-1], "local", "--seeds", "2")
    assert here.status == 2
    assert here.err == (
        "error: Slurm's queue holds 2 of these runs (5_0, 5_1): "
        "`--on slurm` waits for them, `--on slurm --cancel` cancels them\n"
    )
    interrupt_with(queue, "6_0")
    assert ganforge(*COMPARE, "--seeds", "3").status == 130
    assert list(jobs(queue)) == ["5_0", "5_1", "6_0"], "only what is not in the queue is submitted"
    gone = ganforge(*COMPARE, "--seeds", "3", "--cancel")
    assert (gone.status, gone.out) == (0, "cancelled: 3 runs; the same command without --cancel continues\n")
    assert set(jobs(queue).values()) == {"CANCELLED"}
    monkeypatch.setattr(comparison, "train", lambda *_: [])
    free = ganforge(*COMPARE[:-1], "local", "--seeds", "2")
    assert "error: no run got far enough to be compared\n" in free.err


def test_a_job_that_is_about_to_end_is_waited_for_and_then_submitted_again(queue, ganforge, monkeypatch):
    (queue / "fate").write_text("COMPLETING")
    interrupt_with(queue, "5_0")
    ganforge(*COMPARE, "--seeds", "1")
    (queue / "fate").write_text("PENDING")
    threading.Timer(1.0, (queue / "5_0" / "state").write_text, ["CANCELLED"]).start()
    monkeypatch.setattr(slurm, "LATE_SECONDS", 60.0)
    interrupt_with(queue, "6_0")
    assert ganforge(*COMPARE, "--seeds", "1").status == 130


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ("TIMEOUT", "is not done, and its job 5_0 is TIMEOUT:"),
        (
            "OUT_OF_MEMORY",
            "is not done, and its job 5_0 is OUT_OF_MEMORY:\n  slurmstepd: error: Detected 1 oom_kill event",
        ),
        ("", "is not done, and its job is no longer in Slurm's queue:"),
        ("FAILED", "failed with status 3:\n  error: no module\n  slurmstepd: error: Detected 1 oom_kill event"),
    ],
)
def test_how_a_job_ended_is_told_with_the_last_that_it_and_slurm_said(state, end, queue, ganforge, tmp_path):
    (queue / "fate").write_text("PENDING")

    def finish():
        wait_until(lambda: "5_0" in jobs(queue))
        (array,) = (tmp_path / "comparison" / "slurm").iterdir()
        if state in ("OUT_OF_MEMORY", "FAILED"):
            (array / "0.txt").write_text("slurmstepd: error: Detected 1 oom_kill event\n")
        if state == "FAILED":
            (array / "0.status").write_text("3\n")
            output = tmp_path / "comparison" / "seed-0" / "gan_toy.txt"
            output.parent.mkdir()
            output.write_text("error: no module\n")
        (queue / "5_0" / ("state" if state else "name")).write_text(state)

    threading.Thread(target=finish, daemon=True).start()
    result = ganforge(*COMPARE, "--seeds", "1")
    assert result.status == 1
    assert f"gan_toy, seed 0 {end}" in result.err
    assert "error: no run got far enough to be compared\n" in result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--slurm", "partition=nowhere"],
            "sbatch failed: sbatch: error: invalid partition specified: nowhere; sbatch: ",
        ),
        (["--device", "gpu"], "--device: expected auto, cpu, cuda or mps, got 'gpu'"),
        (["--slurm", "array=0-9"], "--slurm array=0-9: compare sets array itself"),
        (["--slurm", "job_name=mine"], "--slurm job_name=mine: compare sets job_name itself"),
        (["--slurm", "=gpu"], "--slurm =gpu: expected OPTION=VALUE, such as partition=gpu"),
        (["--slurm", "--partition=gpu"], "--slurm --partition=gpu: expected OPTION=VALUE"),
        (["--on", "local", "--slurm", "time=5"], "--slurm needs --on slurm"),
        (["--on", "local", "--cancel"], "--cancel needs --on slurm"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused_and_nothing_is_submitted(words, message, queue, ganforge, tmp_path):
    result = ganforge(*COMPARE, *words)
    assert result.status == 2
    assert f"error: {message}" in result.err
    assert result.err.count("\n") == 1
    assert jobs(queue) == {}
    assert not list(tmp_path.glob("comparison/slurm/*"))


def test_without_slurm_a_line_says_what_is_needed(ganforge, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    result = ganforge(*COMPARE)
    assert result.status == 2
    needs = "sbatch, squeue, scancel, scontrol"
    assert result.err == f"error: --on slurm needs {needs}: run it where jobs are submitted, with Slurm on the PATH\n"


def test_a_slurm_that_does_not_answer_ends_the_command_only_if_it_lasts(queue, ganforge, monkeypatch):
    (queue / "fate").write_text("PENDING")
    busy = threading.Thread(target=lambda: (wait_until((queue / "asked").exists), (queue / "down").touch()))
    busy.start()
    monkeypatch.setattr(slurm, "UNHEARD_SECONDS", 1.0)
    began = time.monotonic()
    result = ganforge(*COMPARE, "--seeds", "1")
    assert time.monotonic() - began > 1.0
    assert result.status == 1
    assert result.err.endswith(
        "error: squeue: slurm_load_jobs error: Unable to contact slurm controller (connect failure); "
        "jobs in Slurm's queue stay there\n"
    )


def test_a_run_that_another_process_trains_is_not_submitted(queue, ganforge, tmp_path):
    run = tmp_path / "comparison" / "seed-0" / "gan_toy" / "0001"
    run.mkdir(parents=True)
    held = hold(run)
    result = ganforge(*COMPARE, "--seeds", "1")
    held.release()
    assert result.status == 2
    assert "another process is using comparison/seed-0/gan_toy/0001\n" in result.err
    assert jobs(queue) == {}


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"label": "a"}]', "[]]"])
def test_a_damaged_file_of_what_was_submitted_is_named(text, queue, ganforge, tmp_path):
    tasks = tmp_path / "comparison" / "slurm" / "0001-aa" / "tasks.json"
    tasks.parent.mkdir(parents=True)
    tasks.write_text(text)
    result = ganforge(*COMPARE, "--seeds", "1")
    assert result.status == 2
    assert "comparison/slurm/0001-aa/tasks.json is damaged: " in result.err
    assert result.err.count("\n") == 1
    assert jobs(queue) == {}


ENDLESS = ["--set", "train.steps=1000000", "--set", "record.log_every=5"]


@pytest.fixture
def started(monkeypatch):
    """Start the only job of an array, as Slurm does."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "5")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    processes = []

    def start(array):
        program = [sys.executable, "-P", "-m", "ganforge_compare.work.job", str(array)]
        processes.append(subprocess.Popen(program))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_before_its_time_is_over_a_job_saves_and_queues_itself_again_unless_it_saved_nothing(
    queue, started, ganforge, tmp_path
):
    (queue / "fate").write_text("PENDING")
    interrupt_with(queue, "5_0")
    ganforge(*COMPARE, *ENDLESS, "--seeds", "1")
    (array,) = (tmp_path / "comparison" / "slurm").iterdir()
    run = tmp_path / "comparison" / "seed-0" / "gan_toy" / "0001"
    (queue / "5_0" / "state").write_text("RUNNING")
    process = started(array)
    wait_until((run / "log.jsonl").exists)
    process.send_signal(signal.SIGUSR2)
    assert process.wait(60) == 0
    assert jobs(queue) == {"5_0": "PENDING"}
    assert (run / "checkpoints" / "latest").exists()
    assert not (array / "0.status").exists()

    process = started(array)
    time.sleep(0.5)
    wait_until(lambda: handles(process.pid, signal.SIGUSR2))
    process.send_signal(signal.SIGUSR2)  # before a step is made
    assert process.wait(60) == 1
    assert (array / "0.status").read_text() == "1\n"
    output = (tmp_path / "comparison" / "seed-0" / "gan_toy.txt").read_text()
    assert "error: the job's time limit was reached before a step was saved; ask for more: --slurm time=...\n" in output


def handles(process, number):
    """Whether a process has a handler for a signal."""
    caught = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if "SigCgt" in line)
    return bool(int(caught.split()[1], 16) & 1 << (number - 1))
