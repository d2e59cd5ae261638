"""Measures each case in its own process, so that a failure does not affect the others."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from attrs import frozen

from ganforge import STOPPING, Folder, InputError, Plugins, Report, StoppedError, handling, hold, to_json
from ganforge_bench.plain import TEXTBOOK
from ganforge_bench.rates import device_name
from ganforge_bench.table.cases import TOY, Case, cases

MACHINE = "machine.json"
LOOKS = (("--help",), ("list",), ("show", "coupling", "discogan"), ("validate", TOY), ("plugins",))
TIMES = 5  # how often a command is run
LOOKING_LIMIT, TOY_LIMIT = 60.0, 600.0  # seconds after which a process is killed
WHOLE = 20_000  # steps of the toy, as in its recipe


@frozen
class Ended:
    """The result of a process: exit status, output, wall-clock and processor seconds."""

    status: int
    out: str
    err: str
    seconds: float
    processor: float


@frozen
class Job:
    """A measurement with its own file."""

    name: str
    title: str
    cost: float
    measure: Callable[[], dict[str, Any]]
    series: str = ""


def measure_all(out: Path, device: torch.device, *, seconds: float, minutes: float, report: Report) -> dict[str, Any]:
    """Measure all cases that have no file in a folder yet.

    Args:
        out: the folder; it gets a JSON file for each case, also for one that failed.
        device: where to train.
        seconds: roughly how long the rounds of a case take.
        minutes: no case is started after this time.
        report: called with (what, done, total), in the seconds that cases are expected to take.

    Returns:
        All results in the folder, by case.

    Raises:
        InputError: the folder cannot be written, is in use, or holds results of another machine or version.
        StoppedError: a signal asked to stop; the case in progress is not among the results.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}") from error
    held = hold(out)
    try:
        with Folder(out) as folder, handling(dict.fromkeys(STOPPING, _stop)):
            _require_same_machine(folder, device)
            return _measure(_jobs(device, seconds), folder, 60 * minutes, report)
    finally:
        held.release()


def _stop(number: int, _: object) -> None:
    raise StoppedError(number)


def _measure(jobs: Sequence[Job], folder: Folder, seconds: float, report: Report) -> dict[str, Any]:
    """Return all results; measure missing ones while time allows."""
    found: dict[str, Any] = {}
    failed: set[str] = set()
    missing = [job for job in jobs if not folder.has(f"{job.name}.json")]
    total, done, began = sum(job.cost for job in missing), 0.0, time.monotonic()
    for job in jobs:
        name = f"{job.name}.json"
        spent = time.monotonic() - began
        if job not in missing:
            found[job.name] = _read(folder, name)
        elif spent <= seconds:
            left = f" (about {(total - done) * spent / done / 60:.0f} minutes left)" if done else ""
            report(f"{job.title}{left}", round(done), round(total))
            measured = {"failed": "a smaller case failed"} if job.series in failed else job.measure()
            found[job.name] = {"title": job.title, "series": job.series, **measured}
            folder.write(name, to_json(found[job.name], indent=1))
            done += job.cost
        if job.series and not job.series.startswith("method") and "failed" in found.get(job.name, ()):
            failed.add(job.series)
    return found


def _read(folder: Folder, name: str) -> Any:
    try:
        return json.loads(folder.read(name))
    except ValueError as error:
        raise InputError(f"{folder.path / name} is not JSON; delete it to measure it again") from error


def _jobs(device: torch.device, seconds: float) -> list[Job]:
    def of(case: Case) -> Job:
        return Job(case.name, case.title, case.cost, lambda: _case(case, device, seconds), case.series)

    measured = cases(device)
    rows = [of(case) for case in measured if not case.series]
    growing = [of(case) for case in measured if case.series]
    looks = Job("looking", "commands that do not train", 40, _looks)
    toy = Job(
        "toy-run",
        f"toy, {WHOLE:,} steps from the command line (one run of each), processor time",
        150,
        lambda: _toy(device),
    )
    return [*rows, looks, toy, *growing]


def _case(case: Case, device: torch.device, seconds: float) -> dict[str, Any]:
    """Run `ganforge bench` for a case."""
    rounds = seconds if not case.series else seconds / 4
    words = ["bench", *case.words, "--device", str(device), "--seconds", str(rounds)]
    about: dict[str, Any] = {"size": case.size, "goal": case.goal, "command": ["ganforge", *words]}
    if case.beside:
        about["beside"] = {"title": case.beside.title, "goal": case.beside.goal}
    ended = run(_ganforge(*words), case.limit)
    if ended is None:
        return {**about, "failed": f"took longer than {case.limit:.0f} s"}
    if ended.status:
        last = (ended.err.strip() or f"exited with status {ended.status}").splitlines()[-1]
        return {**about, "failed": last.removeprefix("error: ")}
    return {**about, **json.loads(ended.out)}


def _looks() -> dict[str, Any]:
    """Time the commands that do not train, after one warm-up run each."""
    found = {}
    for words in LOOKS:
        times = [run(_ganforge(*words), LOOKING_LIMIT) for _ in range(1 + TIMES)][1:]
        if any(one is None or one.status for one in times):
            return {"failed": f"`ganforge {' '.join(words)}` failed or took longer than {LOOKING_LIMIT:.0f} s"}
        seconds, processor = ([getattr(one, name) for one in times] for name in ("seconds", "processor"))
        found[" ".join(["ganforge", *words])] = {"seconds": median(seconds), "processor_seconds": median(processor)}
    return {"commands": found}


def _toy(device: torch.device) -> dict[str, Any]:
    """Train the toy from the command line and by the plain script, one after the other, once each."""
    import tempfile

    with tempfile.TemporaryDirectory() as out:
        # Networks this small are fastest with one thread; ganforge chooses it by itself.
        ours = run(_ganforge("run", TOY, "--device", str(device), "--out", out), TOY_LIMIT)
        words = [sys.executable, str(TEXTBOOK / "toy.py"), str(WHOLE), f"{out}/toy.png"]
        script = run(words, TOY_LIMIT, OMP_NUM_THREADS="1")
    taken = {}
    for name, ended in (("ganforge", ours), ("plain", script)):
        if ended is None or ended.status:
            return {"failed": f"the {name} training failed or took longer than {TOY_LIMIT:.0f} s"}
        taken[f"{name}_seconds"] = ended.processor
    return {**taken, "ratio": taken["plain_seconds"] / taken["ganforge_seconds"], "goal": 2.0}


def run(words: Sequence[str], limit: float, **variables: str) -> Ended | None:
    """Run a process and its children; return None if it took longer than its limit and was killed."""
    began = time.perf_counter()
    before = os.times()
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **variables},
        start_new_session=True,  # so that its children can be killed with it
    ) as process:
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _kill(process)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Ended(process.returncode, out, err, time.perf_counter() - began, used)


def _kill(process: "subprocess.Popen[str]") -> None:
    """Kill a process and its children if it still runs."""
    if process.poll() is None:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def _ganforge(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "ganforge", *words]


def _require_same_machine(folder: Folder, device: torch.device) -> None:
    """Record which machine and version the results come from; refuse those of another one."""
    now = {
        "device": device_name(device),
        "processor": device_name(torch.device("cpu")),
        "cores": os.cpu_count(),
        "torch": str(torch.__version__),
        "ganforge": Plugins.version(),
    }
    if not folder.has(MACHINE):
        folder.write(MACHINE, to_json(now, indent=1))
        return
    try:
        there = json.loads(folder.read(MACHINE))
    except ValueError:
        there = None
    if there != now:
        raise InputError(f"{folder.path} holds results of another machine or version; name another folder with --out")
