"""What the processes of one training, its ranks, do together; a process that is alone is rank 0 of 1.

torchrun says who there is (its environment variables are read here), and torch.distributed carries what they tell each
other: NCCL between CUDA devices, gloo between CPUs. What they share of a batch is in `sharing`.
"""

import json
import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from attrs import define

from ganforge.errors import GanforgeError, InputError, RunFailedError

TOLD = "GANFORGE_RANKS"  # the folder in which ranks tell `ganforge run --devices` how they are
RESTARTS = "TORCHELASTIC_RESTART_COUNT"
TIMEOUT = "GANFORGE_TIMEOUT"  # seconds that a rank waits for the others in one step
PATIENCE = timedelta(days=30)  # where one rank works alone, as while data are prepared
DIGITS = 20  # of a step
GRACE_SECONDS = 3.0  # in which all ranks that wait in vain say so


class LostRankError(RunFailedError):
    """Another rank is gone."""


class SilentRankError(LostRankError):
    """Another rank does not answer."""


@define
class _Group:
    """The ranks that this process has met.

    Attributes:
        rank: of this process.
        world: how many ranks there are.
        store: where each may leave words for the others.
        lasting: where words stay when torchrun starts all ranks again, as far as its store does.
        control: carries what is no gradient.
        count: of what was exchanged.
        where: what this process does, for errors.
        memory: where the launcher looks for the step.
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
    """Return which rank this process is."""
    return _group.rank if _group else 0


def world() -> int:
    """Return how many ranks there are."""
    return _group.world if _group else 1


def is_lead() -> bool:
    """Whether this process is the one that writes and tells."""
    return rank() == 0


def wanted() -> int:
    """Return how many ranks torchrun has started; 1 where it did not start this process."""
    words = [os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")]
    return int(words[0]) if all(words) and words[0].isdecimal() else 1


def control() -> Any:
    """Return the group of torch.distributed that carries what is no gradient, between CPUs."""
    return _group and _group.control


def local() -> int:
    """Return which rank of its own machine this process is."""
    return int(os.environ.get("LOCAL_RANK", 0)) if wanted() > 1 else 0


def beside() -> int:
    """Return how many ranks share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if wanted() > 1 else 1


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Meet the other ranks, where torchrun has started several.

    Raises:
        InputError: they cannot be met, as where this torch has no way to.
    """
    global _group
    if wanted() < 2:
        yield
        return
    seconds = _seconds()
    try:
        met = dist.rendezvous("env://", timeout=timedelta(seconds=seconds))  # type: ignore[attr-defined]
        store, number, count = next(met)
        # torchrun keeps its store when it starts ranks again: what was said before must not be heard, but where it is
        # asked for.
        lasting = dist.PrefixStore("lasting", store)  # type: ignore[attr-defined]
        store = dist.PrefixStore(os.environ.get(RESTARTS, "0"), store)  # type: ignore[attr-defined]
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            store=dist.PrefixStore("default", store),  # type: ignore[attr-defined]
            rank=number,
            world_size=count,
            timeout=timedelta(seconds=seconds * (1 + (device.type == "cuda"))),  # control tells more, so it is first
        )
        control = dist.new_group(backend="gloo", timeout=timedelta(seconds=seconds))
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"rank {os.environ['RANK']} cannot meet the others: {reason}") from error
    told = dist.PrefixStore("ganforge", store)  # type: ignore[attr-defined]
    _group = _Group(number, count, told, lasting, control, seconds, memory=_memory(number))
    try:
        yield
        meet("the end")
        dist.destroy_process_group()  # not after an error: it would wait for those who are gone
    finally:
        _group = None


def _seconds() -> float:
    text = os.environ.get(TIMEOUT, "300")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < PATIENCE.total_seconds():
        raise InputError(f"{TIMEOUT}: expected seconds, got '{text}'")
    return seconds


@contextmanager
def doing(what: str) -> Iterator[None]:
    """While ranks wait for each other: say what for, where one does not come.

    Raises:
        LostRankError: one is gone, or does not answer in time.
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
    """Say which ranks do not wait as well."""
    group.store.set(f"stuck/{group.rank}", what)
    time.sleep(GRACE_SECONDS)
    silent = [str(other) for other in range(group.world) if not group.store.check([f"stuck/{other}"])]
    who = f"rank {', '.join(silent)} did" if silent else "all ranks wait, but none did"
    return f"{group.where}: {who} not answer within {group.seconds:.0f} s ({what}); {TIMEOUT} sets how long to wait"


def at(where: str, step: int = 0) -> None:
    """Remember what this process does, such as `step 57`."""
    if _group:
        _group.where = where
        if _group.memory and step:
            _group.memory[:] = b"%-*d" % (DIGITS, step)


def _memory(number: int) -> mmap.mmap | None:
    """Tell the launcher, if there is one, which process this rank is, and have it see at which step it is."""
    if TOLD not in os.environ:
        return None
    place = Path(os.environ[TOLD])
    (place / f"{number}.pid").write_text(str(os.getpid()))
    (place / f"{number}.step").write_bytes(b"%-*d" % (DIGITS, 0))
    with (place / f"{number}.step").open("r+b") as file:
        return mmap.mmap(file.fileno(), DIGITS)


def tell_run(folder: Path) -> None:
    """Tell the launcher, if there is one, where the run is."""
    if TOLD in os.environ and is_lead():
        (Path(os.environ[TOLD]) / "run").write_text(str(folder.absolute()))


def remember(name: str, text: str) -> None:
    """Keep a word for the ranks that torchrun starts if it starts all of them again."""
    if _group:
        _group.lasting.set(name, text)


def remembered(name: str) -> str:
    """Return a word that was kept before the ranks were started again; "" where there is none."""
    return _group.lasting.get(name).decode() if _group and _group.lasting.check([name]) else ""


def report(error: GanforgeError, further: Sequence[str]) -> bool:
    """Leave it to the launcher to say what went wrong, if there is one; return whether there is."""
    if wanted() < 2 or TOLD not in os.environ:
        return False
    about = {
        "lines": list(map(str, error.args)),
        "further": list(further),
        "status": error.status,
        "weight": -1 if isinstance(error, SilentRankError) else int(isinstance(error, LostRankError)),
    }
    with suppress(OSError):
        (Path(os.environ[TOLD]) / f"{os.environ['RANK']}.error").write_text(json.dumps(about))
        return True
    return False


def exchange(what: str, value: Any) -> list[Any]:
    """Return what each rank gives, something that JSON holds; all of them must ask, in the same order.

    A LostRankError says that a rank is gone.
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
    if number:  # everybody has read what was exchanged before
        group.store.delete_key(f"{number - 1}/{group.rank}")
    return found


def meet(what: str) -> None:
    """Wait, however long, until all ranks are here: one of them may have worked alone."""
    if _group is None:
        return
    with doing(what):
        number = _group.count
        _group.count += 1
        _group.store.set(f"{number}/{_group.rank}", "")
        _group.store.wait([f"{number}/{other}" for other in range(_group.world)], PATIENCE)


@contextmanager
def in_turn(what: str, say: Callable[[str], None]) -> Iterator[None]:
    """Let rank 0 go first, then one rank of each other machine, then all others: what is prepared is prepared once.

    All must come. What goes wrong on one is told by it; whoever waits for it is ended by what started them all. `say`
    is told what another machine waits for.
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
            say(f"waits for rank 0: {what}")
        with doing(what):
            group.store.wait(before, PATIENCE)
    yield
    group.store.set(f"{number}/done/{group.rank}", "")


class Flags:
    """Numbers that any rank may raise, known to all one call later: nobody waits for what is on its way.

    Every rank must call in every step.
    """

    def __init__(self, count: int) -> None:
        self._sent = torch.zeros(count, dtype=torch.int64)
        self._work: Any = None

    def agree(self, mine: Sequence[int]) -> list[int]:
        """Return the largest of each number over the ranks, of the call before; send these."""
        if _group is None:
            return list(mine)
        found = self.last()
        self._sent = torch.tensor(list(mine), dtype=torch.int64)
        with doing("whether to go on"):
            self._work = dist.all_reduce(self._sent, dist.ReduceOp.MAX, group=_group.control, async_op=True)
        return found

    def last(self) -> list[int]:
        """Wait for what was sent, and return it."""
        if self._work is not None:
            with doing("whether to go on"):
                self._work.wait()
            self._work = None
        return [int(number) for number in self._sent]
