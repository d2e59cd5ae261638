"""Comparisons on a real Slurm of one machine, whose daemons are started here: `pytest -m slurm`."""

import getpass
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
SEARCHED = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        not all(shutil.which(name, path=SEARCHED) for name in PROGRAMS), reason="needs slurm-wlm and munge"
    ),
]

SETS = ["generator.hidden=8", "discriminator.hidden=8", "train.batch=8", "record.sample_every=0"]
SETS += ["record.evaluate_every=0", "record.checkpoint_every=100", "record.log_every=20", "compute.threads=1"]
WORDS = [word for text in SETS for word in ("--set", text)]

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={first}
SlurmdPort={second}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 MaxTime=INFINITE State=UP
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF State=UP
"""


def wait_until(true, seconds=180):
    until = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < until
        time.sleep(0.2)
    return found


def free_ports():
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A cluster of this machine with two processors, and a partition whose jobs preempt those of the other one."""
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    for above in (folder, *folder.parents):  # munge trusts no folder that others may write, or not enter
        if above.stat().st_uid == os.geteuid() and above != Path("/tmp"):
            above.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    host, (first, second) = socket.gethostname().partition(".")[0], free_ports()
    text = CONFIGURATION.format(host=host, first=first, second=second, folder=folder, user=getpass.getuser())
    (folder / "slurm.conf").write_text(text)
    paths = [f"--{what}={folder}/munge.{what.removesuffix('-file')}" for what in ("pid-file", "log-file", "seed-file")]
    daemons = [
        ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket", *paths],
        ["slurmctld", "-D", "-i", "-f", f"{folder}/slurm.conf"],
        ["slurmd", "-D", "-N", host, "-f", f"{folder}/slurm.conf"],
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", SEARCHED)
        patch.setenv("SLURM_CONF", f"{folder}/slurm.conf")
        with (folder / "daemons.log").open("wb") as log:
            processes = []
            for words in daemons:
                processes.append(subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
                time.sleep(1)
        try:
            wait_until(lambda: "idle" in call("sinfo", "--noheader"), 60)
            yield folder
            call("scancel", f"--user={getpass.getuser()}")
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(60)


def call(*words):
    return subprocess.run(words, capture_output=True, text=True).stdout


def states():
    """The state of each job that Slurm remembers, by its number."""
    lines = call("squeue", "--noheader", "--array", "--states=all", "--format=%F_%K %T").splitlines()
    return dict(line.split() for line in lines)


@pytest.fixture
def begin(tmp_path):
    """Begin a comparison in a process of its own."""
    processes = []

    def call(*words, folder=tmp_path):
        command = [sys.executable, "-m", "ganforge", "compare", *words]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True))
        return processes[-1]

    yield call
    for process in processes:
        with process:
            process.kill()


def number_of(process):
    """The number of the array that a comparison submits."""
    line = process.stderr.readline()
    return re.fullmatch(r"job (\d+) is submitted, for \d+ runs?\n", line)[1]


def finish(process, seconds=300):
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def weights_of(run, step):
    files = sorted((run / "checkpoints" / f"step-{step:08d}").glob("[GD]_*.safetensors"))
    return {path.stem: {name: tensor.tolist() for name, tensor in load_file(path).items()} for path in files}


def test_a_preempted_job_goes_on_and_finds_what_an_undisturbed_run_finds(slurm, begin, tmp_path):
    words = ["discogan_toy", "--seeds", "2", *WORDS, "--set", "train.steps=6000"]
    process = begin(*words, "--on", "slurm", "--slurm", "partition=low", "--slurm", "time=30")
    job = number_of(process)
    runs = [tmp_path / "comparison" / f"seed-{seed}" / "discogan_toy" / "0001" for seed in (0, 1)]
    wait_until(lambda: all((run / "checkpoints" / "latest").exists() for run in runs))
    other = call(
        "sbatch", "--parsable", "--partition=high", "--cpus-per-task=2", "--output=/dev/null", "--wrap=sleep 1"
    )
    wait_until(lambda: [states().get(f"{job}_{place}") for place in (0, 1)] == ["PENDING", "PENDING"])
    stopped = [int((run / "checkpoints" / "latest").read_text()[-8:]) for run in runs]
    assert all(0 < step < 6000 for step in stopped)
    wait_until(lambda: other.strip() not in call("squeue", "--noheader", "--format=%A").split())

    # The user leaves and comes back; Slurm itself waits two minutes before it starts again what it stopped.
    process.send_signal(signal.SIGINT)
    status, _, err = finish(process)
    assert status == 130
    assert err.endswith(
        "interrupted; 2 runs stay in Slurm's queue: the same command waits for them, --cancel cancels them\n"
    )
    for place in (0, 1):
        call("scontrol", "update", f"jobid={job}_{place}", "starttime=now")
    status, out, err = finish(begin(*words, "--on", "slurm"))
    assert status == 0, err
    assert "submitted" not in err
    assert "modes.coverage" in out

    (tmp_path / "here").mkdir()
    status, _, err = finish(begin(*words, folder=tmp_path / "here"))
    assert status == 0, err
    for run in runs:
        undisturbed = tmp_path / "here" / run.relative_to(tmp_path)
        assert weights_of(run, 6000) == weights_of(undisturbed, 6000) != {}
    found, wanted = (
        json.loads((folder / "comparison" / "comparison.json").read_text()) for folder in (tmp_path, tmp_path / "here")
    )
    assert found == wanted


def test_a_job_that_fails_is_told_and_is_not_queued_again(slurm, begin, tmp_path):
    for name, rate in (("fine", "1e-4"), ("wild", "1e9")):
        lines = ["extends = 'discogan_toy'", "[optimizer]", "use = 'sgd'", f"lr = {rate}"]
        (tmp_path / f"{name}.toml").write_text("\n".join(lines))
    words = ["fine.toml", "wild.toml", "--seeds", "1", *WORDS, "--set", "train.steps=40", "--on", "slurm"]
    process = begin(*words)
    job = number_of(process)
    status, out, err = finish(process)
    assert status == 1
    assert "wild, seed 0 failed with status 1:\n" in err
    assert "  error: " in err
    assert err.endswith("error: 1 of 2 runs failed\n")
    assert "modes.coverage" in out
    wait_until(lambda: states()[f"{job}_1"] == "FAILED")


def test_what_slurm_began_is_finished_here(slurm, begin, tmp_path):
    endless = ["gan_toy", "--seeds", "1", *WORDS, "--set", "train.steps=10000000"]
    process = begin(*endless, "--on", "slurm")
    job = number_of(process)
    run = tmp_path / "comparison" / "seed-0" / "gan_toy" / "0001"
    wait_until((run / "checkpoints" / "latest").exists)
    process.kill()
    process.communicate()
    status, _, err = finish(begin(*endless))
    assert status == 2
    assert f"Slurm's queue holds 1 of these runs ({job}_0)" in err
    status, out, _ = finish(begin(*endless, "--on", "slurm", "--cancel"))
    assert (status, out) == (0, "cancelled: 1 run; the same command without --cancel continues\n")
    wait_until(lambda: states()[f"{job}_0"] == "CANCELLED")
    step = int((run / "checkpoints" / "latest").read_text()[-8:])
    assert step % 100, "the run has saved its state when it was told to end, not only every hundred steps"
    status, _, err = finish(begin(*endless, "--set", f"train.steps={step + 10}"))
    assert status == 0, err
    assert (run / "checkpoints" / "latest").read_text() == f"step-{step + 10:08d}"


def test_a_job_whose_time_is_nearly_over_saves_and_is_queued_again(slurm, begin, tmp_path):
    """Slurm gives the word up to a minute early, so that a job of five minutes has two to three."""
    endless = ["gan_toy", "--seeds", "1", *WORDS, "--set", "train.steps=10000000"]
    process = begin(*endless, "--on", "slurm", "--slurm", "time=5")
    job = number_of(process)
    wait_until(lambda: states()[f"{job}_0"] == "RUNNING")
    wait_until(lambda: states()[f"{job}_0"] == "PENDING", 400)
    run = tmp_path / "comparison" / "seed-0" / "gan_toy" / "0001"
    stopped = int((run / "checkpoints" / "latest").read_text()[-8:])
    call("scontrol", "update", f"jobid={job}_0", "starttime=now", "timelimit=60")
    wait_until(lambda: int((run / "checkpoints" / "latest").read_text()[-8:]) > stopped, 400)
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 130
    assert finish(begin(*endless, "--on", "slurm", "--cancel"))[0] == 0
