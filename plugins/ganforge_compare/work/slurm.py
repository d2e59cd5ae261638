"""Trainings as Slurm jobs: an array of jobs, one for each run, which Slurm may stop, move and restart.

Slurm is used through its own commands, which run any program; submitit, the usual library, would pickle what it
submits. A submitted array is recorded in the comparison's folder, `slurm/NUMBER-TOKEN/`, which also names the array in
the queue. So it can be found again from any machine, even if the process that submitted it was killed.
"""

import re
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import asdict, define, field, frozen

from ganforge import InputError, RunFailedError, tell, to_json, write_output
from ganforge_compare.comparison import Member, require_free
from ganforge_compare.display import Doing
from ganforge_compare.work.job import SAVE_SECONDS, output_of, status_of
from ganforge_compare.work.task import TASKS, doing, failure, read_tasks, task_of

FOLDER = "slurm"
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")
COLUMNS = "%F|%K|%j|%T|%r"  # array, place in it, name, state, reason
NAME = "ganforge-"  # prefix of our arrays' names
ENDED = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
        *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
    }
)
# Set by compare itself; jobs run in this folder and environment, which decides, for example, which plugins are allowed.
OURS = (
    *("array", "chdir", "error", "export", "export-file", "job-name", "no-requeue", "open-mode", "output"),
    *("parsable", "requeue", "signal", "wait", "wrap"),
)
UNHEARD_SECONDS = 600.0  # for which Slurm may not answer
LATE_SECONDS = 60.0  # after which every machine sees what a job wrote


@frozen
class Element:
    """One job of an array: the array's folder, and its place in there."""

    array: Path
    place: int


@frozen
class State:
    """A job in Slurm's queue: its number, such as `12_3`, its state, such as `PENDING`, and the reason."""

    job: str
    name: str
    reason: str

    @property
    def is_alive(self) -> bool:
        """Whether it is pending, running, or about to be requeued."""
        return self.name not in ENDED


@define
class Slurm:
    """Trains in Slurm jobs.

    Attributes:
        out: the comparison's folder, visible to all machines.
        options: command-line options to pass on.
        devices: options that name the devices of a run.
        asked: options of sbatch, such as `partition=gpu`.
        jobs: how many runs at a time; 0 leaves that to Slurm.
        say: called with a line about each submission.
    """

    out: Path
    options: Sequence[str]
    devices: Sequence[str]
    asked: Sequence[str]
    jobs: int
    say: Callable[[str], None]
    begun: dict[str, Member] = field(init=False, factory=dict)
    waiting: dict[str, Member] = field(init=False, factory=dict)
    elements: dict[str, Element] = field(init=False, factory=dict)
    states: dict[str, State] = field(init=False, factory=dict)
    ended: dict[str, float] = field(init=False, factory=dict)
    heard: float | None = field(init=False, default=None)
    failures: list[str] = field(init=False, factory=list)
    seconds = 10.0

    def begin(self, missing: Sequence[Member]) -> None:
        """Submit the members that are not in the queue."""
        self.begun = {member.label: member for member in missing}
        self.waiting = dict(self.begun)
        self.find()
        until = time.monotonic() + LATE_SECONDS
        while self._is_ending() and time.monotonic() < until:  # it is then pending again, or gone
            time.sleep(1)
            self._ask()
        new = [member for member in missing if not self._is_alive(member.label)]
        require_free(new)
        if new:
            self._submit(new)

    def _is_ending(self) -> bool:
        return any(label in self.states and self.states[label].name == "COMPLETING" for label in self.waiting)

    def find(self) -> None:
        """Find the jobs of this comparison in Slurm's queue.

        Raises:
            InputError: the record of a submission is damaged.
            RunFailedError: Slurm does not answer.
        """
        for path in sorted((self.out / FOLDER).glob(f"*/{TASKS}")):
            for place, task in enumerate(read_tasks(path.parent)):
                self.elements[task.label] = Element(path.parent, place)
        self._ask()

    def _ask(self) -> None:
        """Ask Slurm for the states of all jobs; it may be too busy to answer at times."""
        arrays = {f"{NAME}{element.array.name}": element.array for element in self.elements.values()}
        if not arrays:
            return
        told = _call(
            "squeue", "--noheader", "--array", "--states=all", f"--format={COLUMNS}", f"--name={','.join(arrays)}"
        )
        if told.returncode:
            if self.heard is None or time.monotonic() - self.heard > UNHEARD_SECONDS:
                raise RunFailedError(f"squeue: {_line(told.stderr)}; jobs in Slurm's queue stay there")
            return
        self.heard = time.monotonic()
        found = {}
        for line in told.stdout.splitlines():
            if told_of := re.fullmatch(r"(\d+)\|(\d+)\|([^|]+)\|(\w+)\|(.*)", line):  # skips lines that a site may add
                number, place, name, state, reason = told_of.groups()
                found[Element(arrays[name], int(place))] = State(f"{number}_{place}", state, reason)
        self.states = {label: found[element] for label, element in self.elements.items() if element in found}

    def _is_alive(self, label: str) -> bool:
        return label in self.states and self.states[label].is_alive

    def alive(self, wanted: Sequence[Member]) -> list[str]:
        """Return the numbers of pending or running jobs of some members."""
        return [self.states[member.label].job for member in wanted if self._is_alive(member.label)]

    def _submit(self, new: Sequence[Member]) -> None:
        """Submit an array of jobs.

        Raises:
            InputError: sbatch refuses it, or the file cannot be written.
        """
        folder = self.out.absolute() / FOLDER
        array = folder / f"{len(list(folder.glob('*'))) + 1:04d}-{secrets.token_hex(4)}"
        try:
            array.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"cannot write to {array}: {error.strerror}") from error
        tasks = [asdict(task_of(member, self.options, self.devices)) for member in new]
        write_output(array / TASKS, to_json(tasks, indent=1) + "\n")
        words = [sys.executable, "-P", "-m", "ganforge_compare.work.job", str(array)]
        limit = f"%{self.jobs}" if self.jobs else ""
        told = _call(
            *("sbatch", "--parsable", f"--job-name={NAME}{array.name}", f"--array=0-{len(new) - 1}{limit}"),
            *("--requeue", "--open-mode=append", f"--signal=B:USR2@{SAVE_SECONDS}"),
            f"--output={output_of(Path(str(array).replace('%', '%%')), '%a')}",
            *(f"--{option.replace('_', '-')}{equals}{value}" for option, equals, value in map(_parts, self.asked)),
            script=f"#!/bin/sh\nexec {shlex.join(words)}\n",
        )
        if told.returncode:
            shutil.rmtree(array)
            raise InputError(f"sbatch failed: {_line(told.stderr)}")
        self.say(f"job {told.stdout.partition(';')[0].strip()} is submitted, for {runs(len(new))}")
        self.elements |= {member.label: Element(array, place) for place, member in enumerate(new)}
        self._ask()

    def look(self) -> Mapping[str, Doing]:
        """Ask Slurm, handle jobs that have ended, and return what the others do."""
        self._ask()
        for label, member in list(self.waiting.items()):
            if member.is_done:
                del self.waiting[label]
            elif self._is_alive(label):
                self.ended.pop(label, None)
            elif how := self._end(label):
                self.failures.append(failure(member, how, self._output(label)))
                del self.waiting[label]
        asleep = [self.states[label] for label in self.waiting if self._is_pending(label)]
        working = {label: doing(one) for label, one in self.waiting.items() if not self._is_pending(label)}
        if asleep:
            reasons = ", ".join(dict.fromkeys(state.reason for state in asleep))
            begun = len(self.begun)
            working["Slurm"] = Doing(
                f"{len(asleep)} of {begun} runs wait ({reasons})", begun - len(self.waiting), begun
            )
        return working

    def _is_pending(self, label: str) -> bool:
        return label in self.states and self.states[label].name == "PENDING"

    def _end(self, label: str) -> str:
        """Say how the job of an unfinished run ended; empty while its files may not be visible here yet."""
        status = status_of(self.elements[label].array, self.elements[label].place)
        if status:
            return f"failed with status {status}"
        if time.monotonic() - self.ended.setdefault(label, time.monotonic()) < LATE_SECONDS:
            return ""
        if state := self.states.get(label):
            return f"is not done, and its job {state.job} is {state.name}"
        return "is not done, and its job is no longer in Slurm's queue"

    def _output(self, label: str) -> Path:
        return output_of(self.elements[label].array, str(self.elements[label].place))

    def end(self) -> None:
        """Leave the jobs to Slurm."""

    @property
    def left(self) -> str:
        """What is left in the queue, and how to continue."""
        kept = runs(sum(map(self._is_alive, self.waiting)))
        return f"interrupted; {kept} stay in Slurm's queue: the same command waits for them, --cancel cancels them"

    def cancel(self, wanted: Sequence[Member]) -> int:
        """Cancel the members' jobs; running ones save their state. Return their number."""
        self.find()
        if jobs := self.alive(wanted):
            told = _call("scancel", *jobs)
            if told.returncode:
                raise RunFailedError(f"scancel: {_line(told.stderr)}")
        return len(jobs)


def runs(count: int) -> str:
    """Return a count in words, such as `1 run`."""
    return f"{count} run{'' if count == 1 else 's'}"


def require_slurm(asked: Sequence[str]) -> None:
    """Raise an InputError if the machine has no Slurm, or for options of sbatch that compare sets itself."""
    if missing := [name for name in COMMANDS if not shutil.which(name)]:
        raise InputError(
            f"--on slurm needs {', '.join(missing)}: run it where jobs are submitted, with Slurm on the PATH"
        )
    for text in asked:
        option, _, _ = _parts(text)
        if not option or option.startswith("-"):
            raise InputError(f"--slurm {text}: expected OPTION=VALUE, such as partition=gpu")
        if option.replace("_", "-") in OURS:
            raise InputError(f"--slurm {text}: compare sets {option} itself")


def require_not_queued(out: Path, missing: Sequence[Member]) -> None:
    """Raise an InputError if runs to train here are in Slurm's queue, as far as it is visible from here."""
    if (out / FOLDER).is_dir() and shutil.which("squeue"):
        slurm = Slurm(out, (), (), (), 0, tell)
        slurm.find()
        if jobs := slurm.alive(missing):
            raise InputError(
                f"Slurm's queue holds {len(jobs)} of these runs ({', '.join(jobs[:3])}{', ...' if jobs[3:] else ''}): "
                "`--on slurm` waits for them, `--on slurm --cancel` cancels them"
            )


def _parts(text: str) -> tuple[str, str, str]:
    return text.partition("=")


def _call(*words: str, script: str = "") -> "subprocess.CompletedProcess[str]":
    """Call a Slurm command, shielded from our own interruption."""
    return subprocess.run(
        words, input=script, capture_output=True, text=True, errors="replace", check=False, start_new_session=True
    )


def _line(text: str) -> str:
    """Return a command's output as one line."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip()) or "no answer"
