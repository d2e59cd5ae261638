"""Trainings on this machine: some at a time, each in its own process, which saves and ends when we do."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from attrs import define, field

from ganforge import count_cores
from ganforge_compare import PARENT
from ganforge_compare.comparison import Member, require_free
from ganforge_compare.display import Doing
from ganforge_compare.work.task import doing, failure, task_of

STOP_SECONDS = 60.0  # for a training to save its state after the current step

# Windows starts a program in between, which would look like the parent.
_PARENT = {PARENT: str(os.getpid())} if os.name == "posix" else {}


@define
class Worker:
    """A process that trains one member."""

    member: Member
    process: "subprocess.Popen[bytes]"


@define
class Local:
    """Trains here.

    Attributes:
        options: command-line options to pass on.
        devices: options that name the devices of a run.
        jobs: how many at a time.
    """

    options: Sequence[str]
    devices: Sequence[str]
    jobs: int
    waiting: list[Member] = field(init=False, factory=list)
    working: list[Worker] = field(init=False, factory=list)
    failures: list[str] = field(init=False, factory=list)
    threads: int = field(init=False, default=1)
    seconds = 0.5
    left = "interrupted; run the same command again to continue"

    def begin(self, missing: Sequence[Member]) -> None:
        """Note the members to train."""
        require_free(missing)
        self.jobs = max(1, min(self.jobs, len(missing)))
        self.threads = max(1, count_cores() // self.jobs)
        self.waiting = list(missing)

    def look(self) -> Mapping[str, Doing]:
        """Handle trainings that have ended, start others, and return what each does."""
        for worker in [worker for worker in self.working if worker.process.poll() is not None]:
            self.working.remove(worker)
            if status := worker.process.returncode:
                ended = (
                    f"failed with status {status}" if status > 0 else f"was killed by {signal.Signals(-status).name}"
                )
                self.failures.append(failure(worker.member, ended))
        while self.waiting and len(self.working) < self.jobs:
            self.working.append(self._start(self.waiting.pop(0)))
        return {worker.member.label: doing(worker.member) for worker in self.working}

    def _start(self, member: Member) -> Worker:
        """Start or resume a training."""
        words, file = task_of(member, self.options, self.devices).prepare()
        with file:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ganforge", *words],  # modules in the current folder must not hide others
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # an interruption is passed on once, by us
                env={**os.environ, "OMP_NUM_THREADS": str(self.threads), **_PARENT},
            )
        return Worker(member, process)

    def end(self) -> None:
        """Make trainings save their state and end; kill those that take too long."""
        for worker in self.working:
            worker.process.terminate()
        until = time.monotonic() + STOP_SECONDS
        for worker in self.working:
            try:
                worker.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
