"""Communication between the processes of a training, its ranks; a single process is rank 0 of 1.

torchrun starts the ranks (its environment variables are read here), and torch.distributed connects them: NCCL between
CUDA devices, gloo between CPUs. How they share a batch is in `sharing`.
"""

import json
import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from attrs import define

from ganforge.errors import GanforgeError, InputError, RunFailedError
from ganforge.training import launched

RESTARTS = "TORCHELASTIC_RESTART_COUNT"
TIMEOUT = "GANFORGE_TIMEOUT"  # seconds that a rank waits for the others in a step
PATIENCE = timedelta(days=30)  # while one rank works alone, such as to prepare data
GRACE_SECONDS = 3.0  # for all waiting ranks to report that they wait


class LostRankError(RunFailedError):
    """Another rank is gone."""


class SilentRankError(LostRankError):
    """Another rank does not respond."""


@define
class _Group:
    """The ranks that this process is connected to.

    Attributes:
        rank: the rank of this process.
        world: the number of ranks.
        store: a key-value store that all ranks share.
        lasting: a store that survives when torchrun restarts all ranks, as far as torchrun's own store does.
        control: the process group for everything but gradients.
        seconds: how long to wait for other ranks in a step.
        count: the number of exchanges so far.
        where: what this process is doing, for errors.
        memory: shared memory in which the launcher reads the step.
    """

    rank: int
    world: int
    store: Any
    lasting: Any
    control: Any
    seconds: float
    count: int = 0
    where: str = "before the first step"
    memory: mmap.mmap | None = None


_group: _Group | None = None


def rank() -> int:
    """Return the rank of this process."""
    return _group.rank if _group else 0


def world() -> int:
    """Return the number of ranks."""
    return _group.world if _group else 1


def is_lead() -> bool:
    """Return whether this process is rank 0, which writes files and prints."""
    return rank() == 0


def wanted() -> int:
    """Return the number of ranks that torchrun has started; 1 if it did not start this process."""
    words = [os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")]
    return int(words[0]) if all(words) and words[0].isdecimal() else 1


def control() -> Any:
    """Return the process group between CPUs, for everything but gradients."""
    return _group and _group.control


def local() -> int:
    """Return the rank of this process on its machine."""
    return int(os.environ.get("LOCAL_RANK", 0)) if wanted() > 1 else 0


def beside() -> int:
    """Return the number of ranks on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if wanted() > 1 else 1


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Connect to the other ranks, if torchrun has started several.

    Raises:
        InputError: the connection fails, for example because this torch lacks a backend.
    """
    global _group
    if wanted() < 2:
        yield
        return
    seconds = _seconds()
    try:
        met = dist.rendezvous("env://", timeout=timedelta(seconds=seconds))  # type: ignore[attr-defined]
        store, number, count = next(met)
        # torchrun keeps its store when it restarts ranks: keys from before must only be visible in `lasting`.
        lasting = dist.PrefixStore("lasting", store)  # type: ignore[attr-defined]
        store = dist.PrefixStore(os.environ.get(RESTARTS, "0"), store)  # type: ignore[attr-defined]
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            store=dist.PrefixStore("default", store),  # type: ignore[attr-defined]
            rank=number,
            world_size=count,
            # Longer on CUDA, so that `control`, whose errors say more, times out first.
            timeout=timedelta(seconds=seconds * (1 + (device.type == "cuda"))),
        )
        control = dist.new_group(backend="gloo", timeout=timedelta(seconds=seconds))
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"rank {os.environ['RANK']} cannot connect to the others: {reason}") from error
    told = dist.PrefixStore("ganforge", store)  # type: ignore[attr-defined]
    _group = _Group(number, count, told, lasting, control, seconds, memory=launched.tell_process(number))
    try:
        yield
        meet("the end")
        dist.destroy_process_group()  # not after an error: it would wait for ranks that are gone
    finally:
        _group = None


def _seconds() -> float:
    text = os.environ.get(TIMEOUT, "300")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < PATIENCE.total_seconds():
        raise InputError(f"{TIMEOUT}: expected a number of seconds, got '{text}'")
    return seconds


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Wrap an operation of all ranks: `what` names it in errors.

    Raises:
        LostRankError: another rank is gone, or does not respond in time.
    """
    try:
        yield
    except GanforgeError:
        raise
    except RuntimeError as error:
        if _group is None:
            raise
        text = str(error).lower()
        if "timed out" in text or "timeout" in text:
            raise SilentRankError(_missing(_group, what)) from error
        if any(word in text for word in ("connection", "peer", "socket", "nccl", "gloo")):
            raise LostRankError(f"{_group.where}: another rank is gone ({what})") from error
        raise


def _missing(group: _Group, what: str) -> str:
    """Return a message that names the ranks which do not respond."""
    group.store.set(f"stuck/{group.rank}", what)
    time.sleep(GRACE_SECONDS)
    silent = [str(other) for other in range(group.world) if not group.store.check([f"stuck/{other}"])]
    who = f"rank {', '.join(silent)} did" if silent else "all ranks are waiting, but the others did"
    return f"{group.where}: {who} not respond within {group.seconds:.0f} s ({what}); {TIMEOUT} sets how long to wait"


def at(where: str, step: int = 0) -> None:
    """Set what this process is doing, such as `step 57`, for errors."""
    if _group:
        _group.where = where
        if _group.memory and step:
            launched.tell_step(_group.memory, step)


def remember(name: str, text: str) -> None:
    """Store a text for the ranks that torchrun starts if it restarts all of them."""
    if _group:
        _group.lasting.set(name, text)


def remembered(name: str) -> str:
    """Return a text that was stored before a restart; "" if there is none."""
    return _group.lasting.get(name).decode() if _group and _group.lasting.check([name]) else ""


def report(error: GanforgeError, further: Sequence[str]) -> bool:
    """Report an error to the launcher, which prints it; return False if there is no launcher."""
    if wanted() < 2:
        return False
    weight = -1 if isinstance(error, SilentRankError) else int(isinstance(error, LostRankError))
    return launched.tell_error(os.environ["RANK"], error, further, weight)


def exchange(what: str, value: Any) -> list[Any]:
    """Return the value of every rank, which must be JSON; all ranks must call this, in the same order.

    Raise a LostRankError if a rank is gone.
    """
    if _group is None:
        return [value]
    group, number = _group, _group.count
    group.count += 1
    with doing(what):
        group.store.set(f"{number}/{group.rank}", json.dumps(value))
        keys = [f"{number}/{other}" for other in range(group.world)]
        group.store.wait(keys, timedelta(seconds=group.seconds))
        found = [json.loads(group.store.get(key)) for key in keys]
    if number:  # all ranks have read the exchange before
        group.store.delete_key(f"{number - 1}/{group.rank}")
    return found


def meet(what: str) -> None:
    """Wait until all ranks are here, for as long as it takes: one of them may have worked alone."""
    if _group is None:
        return
    with doing(what):
        number = _group.count
        _group.count += 1
        _group.store.set(f"{number}/{_group.rank}", "")
        _group.store.wait([f"{number}/{other}" for other in range(_group.world)], PATIENCE)


@contextmanager
def in_turn(what: str, say: Callable[[str], None]) -> Iterator[None]:
    """Let rank 0 go first, then one rank of each other machine, then all others, so that work is done only once.

    All ranks must call this. A rank that fails reports its own error; whatever started the ranks ends those that wait
    for it. Other machines pass what they wait for to `say`.
    """
    if _group is None:
        yield
        return
    group, number = _group, _group.count
    group.count += 1
    turns = [group.rank == 0, local() == 0, True]
    turn = turns.index(True)
    hosts = [int(other) for other in exchange(f"{what}, whose turn it is", turn)]
    before = [f"{number}/done/{other}" for other, its in enumerate(hosts) if its < turn]
    if before:
        if local() == 0:
            say(f"waiting for rank 0: {what}")
        with doing(what):
            group.store.wait(before, PATIENCE)
    yield
    group.store.set(f"{number}/done/{group.rank}", "")


class Flags:
    """Numbers whose maximum over the ranks is known one call later, so that no rank waits for communication.

    Every rank must call `agree` in every step.
    """

    def __init__(self, count: int) -> None:
        self._sent = torch.zeros(count, dtype=torch.int64)
        self._work: Any = None

    def agree(self, mine: Sequence[int]) -> list[int]:
        """Send numbers; return the maximum of each over the ranks, from the previous call."""
        if _group is None:
            return list(mine)
        found = self.last()
        self._sent = torch.tensor(list(mine), dtype=torch.int64)
        with doing("whether to continue"):
            self._work = dist.all_reduce(self._sent, dist.ReduceOp.MAX, group=_group.control, async_op=True)
        return found

    def last(self) -> list[int]:
        """Wait for the last communication and return its result."""
        if self._work is not None:
            with doing("whether to continue"):
                self._work.wait()
            self._work = None
        return [int(number) for number in self._sent]
