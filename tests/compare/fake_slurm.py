"""Slurm's commands as far as `compare` uses them, without a cluster: jobs are processes, and a folder is the queue.

Called as `sbatch`, `squeue`, `scancel` and `scontrol`. `$FAKE_SLURM` holds a folder for each job, such as `5_0`. While it
holds a file `fate`, jobs are not started, but have the state that this names; while it holds a file `down`, nothing
answers. A file `asked` tells that `squeue` was called.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(os.environ.get("FAKE_SLURM", "."))


def sbatch(words: list[str]) -> None:
    options = dict(word[2:].partition("=")[::2] for word in words)
    if options.get("partition") == "nowhere":
        sys.exit("sbatch: error: invalid partition specified: nowhere\nsbatch: error: Batch job submission failed\n")
    script = sys.stdin.read()
    job = 5 + len(list(ROOT.glob("*_0")))
    for place in range(int(options["array"].partition("%")[0].removeprefix("0-")) + 1):
        folder = ROOT / f"{job}_{place}"
        folder.mkdir()
        (folder / "words").write_text("\n".join(words))
        (folder / "name").write_text(options["job-name"])
        (folder / "script").write_text(script)
        (folder / "output").write_text(options["output"].replace("%a", str(place)).replace("%%", "%"))
        begin(folder)
    sys.stdout.write(f"{job}\n")


def begin(folder: Path) -> None:
    """Give a job its state, at once, since others look at it; start it unless its fate is decided."""
    decided = (ROOT / "fate").exists()
    (folder / "next").write_text((ROOT / "fate").read_text() if decided else "PENDING")
    (folder / "next").rename(folder / "state")
    if not decided:
        nothing = subprocess.DEVNULL
        words = [sys.executable, __file__, "start", str(folder)]
        subprocess.Popen(words, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)


def start(words: list[str]) -> None:
    folder = Path(words[0])
    job, place = folder.name.split("_")
    env = {**os.environ, "SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": place, "SLURM_CPUS_ON_NODE": "1"}
    (folder / "state").write_text("RUNNING")
    with Path((folder / "output").read_text()).open("ab") as output:
        process = subprocess.Popen(["sh", folder / "script"], stdout=output, stderr=output, env=env)
        (folder / "process").write_text(str(process.pid))
        status = process.wait()
    if (folder / "state").read_text() == "RUNNING":
        (folder / "state").write_text("FAILED" if status else "COMPLETED")


def squeue(words: list[str]) -> None:
    names = next(word for word in words if word.startswith("--name=")).removeprefix("--name=").split(",")
    sys.stdout.write("CLUSTER: test\n")
    for folder in sorted(ROOT.glob("*_*")):
        if (name := (folder / "name").read_text()) in names:
            state = (folder / "state").read_text()
            reason = "Priority" if state == "PENDING" else "None"
            sys.stdout.write("|".join([*folder.name.split("_"), name, state, reason]) + "\n")
    (ROOT / "asked").touch()


def scancel(words: list[str]) -> None:
    for job in words:
        (ROOT / job / "state").write_text("CANCELLED")
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((ROOT / job / "process").read_text()), signal.SIGTERM)


def scontrol(words: list[str]) -> None:
    what, job = words
    assert what == "requeue"
    (ROOT / job / "state").write_text("PENDING")


if __name__ == "__main__":
    if (ROOT / "down").exists():
        sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n")
    command, words = (
        (sys.argv[1], sys.argv[2:])
        if len(sys.argv) > 1 and sys.argv[1] == "start"
        else (Path(sys.argv[0]).name, sys.argv[1:])
    )
    {"sbatch": sbatch, "squeue": squeue, "scancel": scancel, "scontrol": scontrol, "start": start}[command](words)
