"""What a Slurm job runs: one training in this process, so that signals reach it once, however Slurm sends them.

Slurm sends SIGTERM when it takes the machine away: the run saves its state and ends. Slurm queues the job again if it
was preempted, not if it was cancelled. Some time before the job's time limit Slurm sends SIGUSR2, as requested: the run
saves and ends, too, and the job queues itself again.

    python -P -m ganforge_compare.work.job ARRAY

ARRAY is the folder of an array of jobs. It holds the tasks and, for each of them, Slurm's output and the exit status.
"""

import os
import runpy
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType

from ganforge import GanforgeError, RunFailedError, tell, write_file

SAVE_SECONDS = 120  # before a job's time limit, for the run to save its state
STOPPED = 128 + signal.SIGTERM
TOO_SHORT = "the job's time limit was reached before a step was saved; ask for more: --slurm time=..."


def output_of(array: Path, place: str) -> Path:
    """Return the file with Slurm's output for a job of an array."""
    return array / f"{place}.txt"


def status_of(array: Path, place: int) -> int | None:
    """Return the exit status of a training that ended by itself; None if it did not, or is not known here yet."""
    with suppress(OSError, ValueError):
        return int(_status(array, place).read_text())
    return None


def _status(array: Path, place: int) -> Path:
    return array / f"{place}.status"


def main(array: Path, place: int) -> int:
    """Train the run at a place of an array as long as the job's time allows, and return the exit status."""
    os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("SLURM_CPUS_ON_NODE", "1"))  # before torch is imported
    from ganforge_compare.work.task import read_tasks

    ending: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        ending.append(number)
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:  # no step has run, so there is nothing to save
            os.write(1, f"error: {TOO_SHORT}\n".encode())
            write_file(_status(array, place), "1\n")
            os._exit(1)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGUSR2, end)
    try:
        _status(array, place).unlink(missing_ok=True)
        task = read_tasks(array)[place]
        before = _saved(Path(task.folder))
        words, file = task.prepare()
        with file:
            for stream in (sys.stdout, sys.stderr):
                os.dup2(file.fileno(), stream.fileno())
        status = _train(words)
        if ending and status == STOPPED:
            if _saved(Path(task.folder)) == before:
                raise RunFailedError(TOO_SHORT)
            job = "_".join(os.environ[f"SLURM_ARRAY_{name}_ID"] for name in ("JOB", "TASK"))
            subprocess.run(["scontrol", "requeue", job], check=True)
            return 0
    except (GanforgeError, OSError, subprocess.SubprocessError) as error:
        tell(f"error: {error}")
        status = getattr(error, "status", 1)
    if status != STOPPED:  # a stopped run is not finished
        write_file(_status(array, place), f"{status}\n")
    return status


def _train(words: list[str]) -> int:
    """Run ganforge's command line in this process, and return its exit status."""
    sys.argv = ["ganforge", *words]
    try:
        runpy.run_module("ganforge", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _saved(folder: Path) -> str:
    """Return the name of a run's newest checkpoint; empty if there is none."""
    with suppress(OSError):
        return (folder / "checkpoints" / "latest").read_text()
    return ""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(os.environ["SLURM_ARRAY_TASK_ID"])))
