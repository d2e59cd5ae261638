"""Measures case after case, each in a process of its own, so that one that fails does not end the others."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from attrs import frozen

from ganforge import STOPPING, Folder, InputError, Plugins, Report, StoppedError, handling, hold, to_json
from ganforge_bench.plain import TEXTBOOK
from ganforge_bench.rates import device_name, summary
from ganforge_bench.table.cases import TOY, Case, cases

MACHINE = "machine.json"
LOOKS = (("--help",), ("list",), ("show", "coupling", "discogan"), ("validate", TOY), ("plugins",))
TIMES = 5  # that a command is run
LOOKING_LIMIT, TOY_LIMIT = 60.0, 600.0  # seconds after which a process is given up
# The toy is trained for two numbers of steps, from which start and step follow: 20,000 would take too long.
SHORT, LONG, WHOLE = 1000, 3000, 20_000
INTERVALS = tuple(f"record.{name}_every=1000" for name in ("checkpoint", "sample", "evaluate"))


@frozen
class Ended:
    """How a process ended: what it wrote, and the seconds that it took, on the clock and of processors."""

    status: int
    out: str
    err: str
    seconds: float
    processor: float


@frozen
class Job:
    """Something to measure that stands in a file of its own."""

    name: str
    title: str
    cost: float
    measure: Callable[[], dict[str, Any]]
    series: str = ""


def measure_all(out: Path, device: torch.device, *, seconds: float, minutes: float, report: Report) -> dict[str, Any]:
    """Measure all cases that have no file yet in a folder.

    Args:
        out: the folder; it gets a JSON file for each case, also for one that failed.
        device: where to train.
        seconds: how long the rounds of a case shall take, about.
        minutes: after which no case is begun.
        report: told of (what, done, total), in seconds that cases are expected to take.

    Returns:
        What is in the folder by now: results by case.

    Raises:
        InputError: the folder cannot be written, is in use, or holds results of another machine or version.
        StoppedError: a signal asked to stop; the case that was measured is not among the results.
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
    """Return all results; measure those that are missing, as far as time allows."""
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
            measured = {"failed": "a smaller one failed"} if job.series in failed else job.measure()
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
        raise InputError(f"{folder.path / name} is no JSON; delete it to have it measured again") from error


def _jobs(device: torch.device, seconds: float) -> list[Job]:
    def of(case: Case) -> Job:
        return Job(case.name, case.title, case.cost, lambda: _case(case, device, seconds), case.series)

    measured = cases(device)
    rows = [of(case) for case in measured if not case.series]
    growing = [of(case) for case in measured if case.series]
    looks = Job("looking", "commands that only look", 40, _looks)
    toy = Job(
        "toy-run",
        f"toy, {WHOLE:,} steps from the command line (extrapolated), processor time",
        180,
        lambda: _toy(device),
    )
    return [*rows, looks, toy, *growing]


def _case(case: Case, device: torch.device, seconds: float) -> dict[str, Any]:
    """Run `ganforge bench` for a case."""
    rounds = seconds if not case.series else seconds / 3
    words = ["bench", *case.words, "--device", str(device), "--seconds", str(rounds), "--json"]
    about = {"size": case.size, "goal": case.goal, "command": ["ganforge", *words]}
    ended = run(_ganforge(*words), case.limit)
    if ended is None:
        return {**about, "failed": f"took longer than {case.limit:.0f} s"}
    if ended.status:
        last = (ended.err.strip() or f"ended with status {ended.status}").splitlines()[-1]
        return {**about, "failed": last.removeprefix("error: ")}
    return {**about, **json.loads(ended.out)}


def _looks() -> dict[str, Any]:
    """Time the commands that only look, each run once before."""
    found = {}
    for words in LOOKS:
        times = [run(_ganforge(*words), LOOKING_LIMIT) for _ in range(1 + TIMES)][1:]
        if any(one is None or one.status for one in times):
            return {"failed": f"`ganforge {' '.join(words)}` failed, or took longer than {LOOKING_LIMIT:.0f} s"}
        seconds, processor = ([getattr(one, name) for one in times] for name in ("seconds", "processor"))
        found[" ".join(["ganforge", *words])] = {"seconds": median(seconds), "processor_seconds": median(processor)}
    return {"commands": found}


def _toy(device: torch.device) -> dict[str, Any]:
    """Train the toy from the command line and by the plain script, in turn, and extrapolate to a whole run."""
    import tempfile

    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as out:
        for _ in range(TIMES):
            taken: dict[str, float] = {}
            for steps in (SHORT, LONG):
                sets = [word for text in (f"train.steps={steps}", *INTERVALS) for word in ("--set", text)]
                # One thread is what networks this small are fastest with; ganforge chooses it by itself.
                ours = run(_ganforge("run", TOY, *sets, "--device", str(device), "--out", out), TOY_LIMIT)
                plain = [sys.executable, str(TEXTBOOK / "toy.py"), str(steps), f"{out}/toy.png"]
                script = run(plain, TOY_LIMIT, OMP_NUM_THREADS="1")
                for name, ended in (("ganforge", ours), ("plain", script)):
                    if ended is None or ended.status:
                        what = f"the {name} training of {steps} steps"
                        return {"failed": f"{what} failed, or took longer than {TOY_LIMIT:.0f} s"}
                    taken[f"{name} {steps}"] = ended.processor
            rounds.append({name: _whole(taken, name) for name in ("ganforge", "plain")})
    ratio, quartiles = summary([one["plain"] / one["ganforge"] for one in rounds])
    medians = {f"{name}_seconds": median(one[name] for one in rounds) for name in ("ganforge", "plain")}
    return {**medians, "ratio": ratio, "ratio_quartiles": list(quartiles), "goal": 2.0, "rounds": rounds}


def _whole(taken: Mapping[str, float], name: str) -> float:
    """Return the seconds of a whole run: the start and as many steps."""
    step = (taken[f"{name} {LONG}"] - taken[f"{name} {SHORT}"]) / (LONG - SHORT)
    return taken[f"{name} {SHORT}"] + step * (WHOLE - SHORT)


def run(words: Sequence[str], limit: float, **variables: str) -> Ended | None:
    """Run a process, with all that it starts; None where it took longer than its limit, and was killed."""
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
        start_new_session=True,  # so that what it started is ended with it
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
    """End a process, and what it started, if it still runs."""
    if process.poll() is None:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def _ganforge(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "ganforge", *words]


def _require_same_machine(folder: Folder, device: torch.device) -> None:
    """Note where results come from; refuse those of another machine or version."""
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
