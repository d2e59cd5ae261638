"""What this process may use of the host: its memory, and its cores."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from attrs import frozen

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


@frozen
class Room:
    """Bytes of memory that are free, and that would be if no other process used any."""

    free: float
    whole: float


def free_memory() -> float:
    """Return the bytes of the host's memory that this process may still use; infinite if the system does not say."""
    return max(0.0, min((room.free for room in _rooms()), default=math.inf))


def whole_memory() -> float:
    """Return the bytes of the host's memory that this process may use at most; infinite if the system does not say."""
    return min((room.whole for room in _rooms()), default=math.inf)


def resident_memory(name: str = "VmRSS") -> float | None:
    """Return the bytes of the host's memory that this process uses, or its peak (`VmHWM`); None if unknown."""
    with suppress(OSError, ValueError, KeyError):
        return _fields(PROC / "self" / "status")[name]
    return None


def in_gib(size: float, digits: int = 1) -> str:
    """Format a number of bytes in GiB.

    >>> in_gib(1.5 * 2**40)
    '1,536.0 GiB'
    """
    return f"{size / 2**30:,.{digits}f} GiB"


def _rooms() -> Iterator[Room]:
    """Yield the limits of the machine, of control groups (containers, Slurm), and of `ulimit -v`."""
    with suppress(OSError, ValueError, KeyError):
        machine = _fields(PROC / "meminfo")
        yield Room(machine["MemAvailable"], machine["MemTotal"])
    with suppress(OSError):
        for line in (PROC / "self" / "cgroup").read_text(encoding="utf-8").splitlines():
            _, kinds, path = line.split(":", 2)
            if not kinds:
                yield from _groups(GROUPS, path, "memory.max", "memory.current", "inactive_file")
            elif "memory" in kinds.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                yield from _groups(GROUPS / "memory", path, *names)
    with suppress(ImportError, OSError, ValueError, KeyError):
        import resource

        limit, taken = resource.getrlimit(resource.RLIMIT_AS)[0], _fields(PROC / "self" / "status")
        if limit != resource.RLIM_INFINITY:
            yield Room(limit - taken["VmSize"], limit - taken["VmSize"] + taken["VmRSS"])


def _groups(root: Path, path: str, most: str, now: str, cached: str) -> Iterator[Room]:
    """Yield the limits of a control group and of those around it; `cached` names memory that can be reclaimed."""
    inner = root / path.strip("/")
    for folder in (inner, *(outer for outer in inner.parents if outer.is_relative_to(root))):
        with suppress(OSError, ValueError):
            limit = int((folder / most).read_text(encoding="ascii"))
            taken = int((folder / now).read_text(encoding="ascii"))
            stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
            yield Room(limit - taken + int(stat.get(cached, 0)), limit)


def _fields(path: Path) -> dict[str, float]:
    """Read the fields of a /proc file that are in kB; return them in bytes."""
    lines = [line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    return {line[0].rstrip(":"): 1024.0 * int(line[1]) for line in lines if len(line) == 3 and line[2] == "kB"}


def count_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
