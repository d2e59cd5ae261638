"""The runs of a comparison: several recipes, several seeds; those that are missing are trained."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from attrs import define, evolve, frozen
from filelock import BaseFileLock

from ganforge import (
    STOPPING,
    InputError,
    Plan,
    StoppedError,
    handling,
    hold,
    is_finished,
    last_step,
    settle,
)
from ganforge_compare import PARENT
from ganforge_compare.difference import first_difference, foreign_code
from ganforge_compare.display import Doing

POLL_SECONDS = 0.5
SHOWN_LINES = 5
TAIL = 1 << 13  # bytes of a training's output that are looked at
STOP_SECONDS = 60.0  # that a training has to save its state, after the step it is at


@frozen
class Member:
    """One run of a comparison: a recipe with a seed, and the folder it has or will have."""

    recipe: str
    plan: Plan
    seed: int
    out: Path

    @property
    def folder(self) -> Path:
        """The run's folder; a comparison keeps one run of each recipe and seed."""
        return self.out / self.plan.name / "0001"

    @property
    def label(self) -> str:
        """Such as `discogan_toy, seed 3`."""
        return f"{self.plan.name}, seed {self.seed}"

    def steps_done(self) -> int:
        """Return how many steps the run's log tells of."""
        return min(last_step(self.folder), self.plan.train.steps)


def members(plans: Sequence[tuple[str, Plan]], seeds: int, out: Path, device: torch.device) -> list[Member]:
    """List the runs, after a look at those that are there.

    Args:
        plans: each with what the user calls the recipe.
        seeds: how many of each; they count from 0.
        out: folder of the comparison.
        device: where they are trained.

    Raises:
        InputError: two recipes have one name, or a run that is there has other settings or code, or cannot be read.
    """
    names = [plan.name for _, plan in plans]
    if len(names) > len(set(names)):
        raise InputError(f"recipes to compare must have different names, got {', '.join(names)}")
    found = []
    for recipe, plan in plans:
        plan, _ = settle(plan, device)
        for seed in range(seeds):
            mine = evolve(plan, train=evolve(plan.train, seed=seed))
            member = Member(recipe, mine, seed, out / f"seed-{seed}")
            _require_same(member, device)
            found.append(member)
    return found


def _require_same(member: Member, device: torch.device) -> None:
    """Refuse a run that is there with other settings, or with code that its recipe does not name."""
    if difference := first_difference(member.folder, member.plan, device):
        key, there, wanted = difference
        raise InputError(
            f"{member.folder} was trained with {key} = {there!r}, not {wanted!r}; "
            "compare into another folder with --out, or delete that run"
        )
    if name := foreign_code(member.folder, member.plan):
        raise InputError(
            f"{member.folder / name} is not the code that '{member.recipe}' names; "
            "compare into another folder with --out, or delete that run"
        )


@define
class Worker:
    """A process that trains one member."""

    member: Member
    process: "subprocess.Popen[bytes]"
    output: Path

    @property
    def doing(self) -> Doing:
        """What it does, as the last lines of its output tell, and the log."""
        steps = Doing("step", self.member.steps_done(), self.member.plan.train.steps)
        lines = last_lines(self.output)
        for line in reversed(lines):
            if line.startswith("step "):
                return steps
            if found := re.fullmatch(r"(.+): (\d{1,15})/(\d{1,15})", line):
                return Doing(found[1], int(found[2]), int(found[3]))
        return steps if lines else Doing("starting", 0, steps.total)


def last_lines(path: Path) -> list[str]:
    """Return the last lines of a training's output."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
        return file.read(TAIL).decode(errors="replace").splitlines()
    return []


Show = Callable[[int, int, Mapping[str, Doing]], None]


def occupy(out: Path) -> BaseFileLock:
    """Make the folder of the comparison and keep other comparisons out of it.

    Raises:
        InputError: another process is at work there, or the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}") from error
    return hold(out)


def train(wanted: Sequence[Member], options: Sequence[str], device: torch.device, jobs: int, show: Show) -> list[str]:
    """Train every member that is not done, each in a process of its own; return what failed, some lines each.

    Args:
        wanted: the members.
        options: of the command line, to pass on.
        device: where to train.
        jobs: how many at a time; 0 takes as many as there are cores, and one on a GPU.
        show: told how many steps of all are done, and what each training does.

    Raises:
        StoppedError: a signal asked to stop; as after any other error, all trainings have saved their state.
        InputError: another process is at work on a run, or a folder cannot be written.
    """
    waiting = [member for member in wanted if not is_finished(member.folder, member.plan)]
    for member in waiting:
        if member.folder.exists():
            hold(member.folder).release()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = jobs or (1 if device.type != "cpu" else cores)
    jobs = max(1, min(jobs, len(waiting)))
    total = sum(member.plan.train.steps for member in wanted)
    working: list[Worker] = []
    failures: list[str] = []
    asked: list[int] = []
    # However many signals come, the trainings have time to save.
    with handling(dict.fromkeys(STOPPING, lambda number, frame: asked.append(number))):
        try:
            while waiting or working:
                while waiting and len(working) < jobs:
                    working.append(_start(waiting.pop(0), options, device, max(1, cores // jobs)))
                time.sleep(POLL_SECONDS)
                if asked:
                    raise StoppedError(asked[0])
                for worker in [worker for worker in working if worker.process.poll() is not None]:
                    working.remove(worker)
                    if worker.process.returncode:
                        failures.append(_failure(worker))
                done = sum(member.steps_done() for member in wanted)
                show(done, total, {worker.member.label: worker.doing for worker in working})
        finally:
            _stop(working)
    return failures


def _stop(working: Sequence[Worker]) -> None:
    """Have trainings save their state and end; one that takes too long is killed."""
    for worker in working:
        worker.process.terminate()
    until = time.monotonic() + STOP_SECONDS
    for worker in working:
        try:
            worker.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()


def _start(member: Member, options: Sequence[str], device: torch.device, threads: int) -> Worker:
    """Start training, or going on with it."""
    output = member.out / f"{member.plan.name}.txt"
    try:
        member.out.mkdir(parents=True, exist_ok=True)
        if not any((member.folder / "checkpoints").glob("step-*")):
            _clear(member.folder)
        output.unlink(missing_ok=True)
        file = output.open("xb")
    except OSError as error:
        raise InputError(f"cannot write to {output}: {error.strerror}") from error
    if member.folder.exists():
        steps = f"train.steps={member.plan.train.steps}"
        words = ["resume", str(member.folder), "--set", steps, "--device", str(device)]
        # Of the run's own copies, which are the same, none is loaded, nor what Python may have compiled beside them.
        words += [word for path in member.plan.plugin_files for word in ("--plugin", str(path))]
    else:
        seed = f"train.seed={member.seed}"
        words = ["run", member.recipe, *options, "--set", seed, "--out", str(member.out), "--device", str(device)]
    with file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ganforge", *words],  # no module of the current folder goes before others
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # an interruption is passed on once, by us
            env={**os.environ, "OMP_NUM_THREADS": str(threads), **_PARENT},
        )
    return Worker(member, process, output)


# Windows starts a program in between, which would be taken for the parent.
_PARENT = {PARENT: str(os.getpid())} if os.name == "posix" else {}


def _clear(folder: Path) -> None:
    """Make way for a run where one was stopped before its first checkpoint."""
    if folder.exists():
        number = 1
        while (aside := folder.with_name(f"stopped-{number}")).exists():
            number += 1
        held = hold(folder)
        folder.rename(aside)
        held.release()


def _failure(worker: Worker) -> str:
    """Say that a training failed, with the last lines of its output."""
    lines = "\n".join(last_lines(worker.output)).strip().splitlines()[-SHOWN_LINES:]
    status = worker.process.returncode
    how = f"failed with status {status}" if status > 0 else f"was ended by {signal.Signals(-status).name}"
    return "\n".join([f"{worker.member.label} {how}:", *(f"  {line}" for line in lines)])
