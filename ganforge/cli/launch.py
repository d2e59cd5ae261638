"""Train with several processes on this machine, its ranks: start them by torchrun's launcher, report as one command."""

import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from ganforge.cli.common import say
from ganforge.errors import GanforgeError, InputError, RunFailedError, StoppedError
from ganforge.system.memory import count_cores
from ganforge.training import launched


def count_devices(devices: str, device: str) -> int:
    """Return the number of ranks that `--devices` asks for.

    Raises:
        InputError: it is not a number, or this machine has fewer devices.
    """
    import torch

    from ganforge.runs.assemble import pick_device

    place = pick_device(device)
    here = torch.cuda.device_count() if place.type == "cuda" and place.index is None else 1
    if devices == "auto":
        return here
    if not devices.isdecimal() or not int(devices):
        raise InputError(f"--devices: expected a number or 'auto', got '{devices}'")
    count = int(devices)
    if count > 1 and place.type not in ("cpu", "cuda"):
        raise InputError(f"--devices {count}: several devices must be CUDA devices or CPUs, not '{place.type}'")
    if count > 1 and place.index is not None:
        raise InputError(f"--devices {count}: '{device}' is a single device")
    if place.type == "cpu" and count > (cores := count_cores()):
        say(f"{count} processes share {cores} cores: useful for tests, but slower than one process")
    if place.type == "cuda" and count > here:
        raise InputError(f"--devices {count}: this machine has {here} CUDA device{'s'[: here != 1]}")
    return count


def launch(count: int, words: Sequence[str]) -> None:
    """Run this command again as several ranks, and wait for them.

    Args:
        count: number of ranks.
        words: the arguments of the command line.

    Raises:
        GanforgeError: a rank failed; the message says which one, in which step and why.
        StoppedError: a signal asked to stop, and all ranks have stopped.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from ganforge.runs.interrupts import STOPPING, handling

    for name in ("torch.distributed", "torch.distributed.elastic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # failures are reported below
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(),
        signals_to_handle="SIGQUIT",  # `pass_on` handles the others
    )
    asked: list[int] = []
    with tempfile.TemporaryDirectory(prefix="ganforge-ranks-") as folder:
        told = Path(folder)

        def pass_on(number: int, frame: FrameType | None) -> None:
            ranks = list(launched.processes(told))
            for rank in ranks:
                with suppress(OSError):
                    os.kill(rank, number)
            if number != getattr(signal, "SIGUSR1", 0):
                asked.append(number)
                if not ranks:  # they are still starting
                    raise StoppedError(number)

        os.environ[launched.TOLD] = folder
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _loopback())
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, count_cores() // count)))
        with handling(dict.fromkeys((*STOPPING, "SIGUSR1"), pass_on)):
            try:
                elastic_launch(config, sys.executable)("-P", "-m", "ganforge", *words)
            except ChildFailedError as error:
                exits = {rank: failure.exitcode for rank, failure in error.failures.items()}
                # Once one rank has ended, the launcher terminates the others.
                stopped = {status for number in (*asked[:1], signal.SIGTERM) for status in (-number, 128 + number)}
                if not asked or not set(exits.values()) <= stopped:
                    raise _failure(told, exits, count) from None
    if asked:
        raise StoppedError(asked[0])


def _loopback() -> str:
    import socket

    names = [name for _, name in socket.if_nameindex()]
    return next((name for name in names if name in ("lo", "lo0")), names[0] if names else "")


def _failure(told: Path, exits: dict[int, int], count: int) -> GanforgeError:
    """Return the error of the rank that failed first, not because of another rank: which one, in which step and why."""
    reports = launched.errors_of(told)
    # A rank that timed out knows more than the one that was then killed; one that lost another rank knows less.
    culprits = sorted((about["weight"], rank) for rank, about in reports.items())
    # Ranks that ended by SIGTERM were terminated because another one was gone.
    for rank, status in sorted(exits.items(), key=lambda one: (one[1] == -signal.SIGTERM, one[0])):
        if rank not in reports and (not culprits or culprits[0][0] >= 0):
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"failed with status {status}"
            if status == -signal.SIGKILL:
                how += " (the system does this when memory runs out)"
            return RunFailedError(f"rank {rank} {how}{_step(told, rank)}{_kept(told, count)}")
    weight, rank = culprits[0]
    about = reports[rank]
    first, *rest = about["lines"]
    if not weight and sum(other == 0 for other, _ in culprits) == 1:
        first = f"rank {rank}{_step(told, rank)}: {first}"
    error = GanforgeError(first if about["status"] == InputError.status else f"{first}{_kept(told, count)}", *rest)
    error.status, error.further = about["status"], about["further"]
    return error


def _step(told: Path, rank: int) -> str:
    """Return in which step a rank was, as text."""
    step = launched.step_of(told, rank)
    return f" in step {step}" if step else " before the first step"


def _kept(told: Path, count: int) -> str:
    """Return how to continue, as text."""
    from ganforge.runs.checkpoint import named

    with suppress(OSError):
        if run := launched.run_of(told):
            if newest := named(run, "latest"):
                return f"; the last checkpoint is {newest.name}: ganforge resume {run} --devices {count}"
            return f"; {run} has no checkpoint yet"
    return ""


def without(option: str, words: Sequence[str]) -> list[str]:
    """Remove an option and its value from a command line.

    >>> without("--devices", ["run", "--devices", "4", "toy", "--devices=2"])
    ['run', 'toy']
    """
    left, rest = [], iter(words)
    for word in rest:
        if word == option:
            next(rest, None)
        elif not word.startswith(f"{option}="):
            left.append(word)
    return left
