"""What ranks tell `ganforge run --devices`, which launched them: files in a folder that an environment variable names.

Each rank has files RANK.pid, RANK.step and RANK.error; the first one names its run in the file `run`.
"""

import json
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ganforge.errors import GanforgeError

TOLD = "GANFORGE_RANKS"  # the folder
DIGITS = 20  # of a step number


def folder() -> Path | None:
    """Return the folder; None if this process was not launched."""
    return Path(os.environ[TOLD]) if TOLD in os.environ else None


def tell_process(rank: int) -> mmap.mmap | None:
    """Name this rank's process; return the memory for `tell_step`."""
    if (place := folder()) is None:
        return None
    (place / f"{rank}.pid").write_text(str(os.getpid()))
    (place / f"{rank}.step").write_bytes(b"%-*d" % (DIGITS, 0))
    with (place / f"{rank}.step").open("r+b") as file:
        return mmap.mmap(file.fileno(), DIGITS)


def tell_step(memory: mmap.mmap, step: int) -> None:
    """Tell in which step a rank is, counted from 1, without a system call."""
    memory[:] = b"%-*d" % (DIGITS, step)


def tell_run(run: Path) -> None:
    """Tell where the run is."""
    if place := folder():
        (place / "run").write_text(str(run.absolute()))


def tell_error(rank: str, error: GanforgeError, further: Sequence[str], weight: int) -> bool:
    """Tell why a rank ends, for the launcher to print; return False if that fails.

    Args:
        rank: the rank.
        error: the error.
        further: lines to print after it.
        weight: how much the error may only follow from another rank's; the launcher prints the one with the lowest.
    """
    told = {"lines": list(map(str, error.args)), "further": list(further), "status": error.status, "weight": weight}
    with suppress(OSError):
        if place := folder():
            (place / f"{rank}.error").write_text(json.dumps(told))
            return True
    return False


def processes(place: Path) -> Iterator[int]:
    """Yield the processes of the ranks that have started."""
    for path in place.glob("*.pid"):
        with suppress(OSError, ValueError):
            yield int(path.read_text())


def step_of(place: Path, rank: int) -> int:
    """Return in which step a rank was, counted from 1; 0 if in none."""
    with suppress(OSError, ValueError):
        return int((place / f"{rank}.step").read_bytes().rstrip(b"\0"))
    return 0


def run_of(place: Path) -> Path | None:
    """Return where the run is; None if no rank has told."""
    with suppress(OSError):
        return Path((place / "run").read_text())
    return None


def errors_of(place: Path) -> Mapping[int, Mapping[str, Any]]:
    """Return what `tell_error` was given, by rank."""
    found = {}
    for path in place.glob("*.error"):
        with suppress(OSError, ValueError):
            found[int(path.stem)] = json.loads(path.read_text())
    return found
