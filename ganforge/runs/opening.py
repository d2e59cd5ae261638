"""Open a run: create its folder, or reopen it to resume."""

import errno
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch
from attrs import evolve
from filelock import FileLock, Timeout

from ganforge.components.plugin_folders import copy_plugins
from ganforge.components.plugins import Plugins
from ganforge.data.dataset import Report
from ganforge.data.reading import silent
from ganforge.errors import InputError
from ganforge.recipe.lock import lock_text
from ganforge.recipe.plan import Plan
from ganforge.runs import checkpoint
from ganforge.runs.assemble import require_parts, settle
from ganforge.runs.changes import changes, notes_of, require_same_data, require_same_run, started_from
from ganforge.runs.clock import Clock
from ganforge.runs.load import LOCK, find_run, read_plan
from ganforge.runs.run import Run
from ganforge.runs.warm_start import find_warm_start
from ganforge.system.disk import read_text
from ganforge.system.folder import Folder
from ganforge.training import build, launched, ranks

RUN = "run"  # the key under which ranks remember it


def create(plan: Plan, plugins: Plugins, out: Path, device: torch.device, report: Report = silent) -> Run:
    """Create a run with the next free number, `out/<recipe>/<NNNN>/`, and write its locked recipe.

    `report` is called with (what, done, total) while data are prepared. Raise a RecipeError if parts of the recipe do
    not fit together, an InputError if the folder or the locked recipe cannot be written.
    """
    clock = Clock("start")
    plan, dataset = settle(plan, device)
    # First, so that a run with missing data or an unwritable recipe leaves nothing behind.
    lock_text(plan, {})
    warm_start = find_warm_start(plan, dataset, plugins)
    with ranks.in_turn("preparing the data", plugins.say):
        plan, dataset, decided, sources = build.decide_and_read(plan, dataset, report)
    for line in decided.said if ranks.is_lead() else ():
        plugins.say(line)
    with ExitStack() as opened:
        folder = opened.enter_context(Folder(_new_folder(out / plan.name) if ranks.is_lead() else _passing()))
        home = Path(ranks.exchange("the run's folder", str(folder.path.absolute()))[0])
        held = hold(folder.path)
        opened.callback(held.release)
        plan = evolve(plan, plugin_files=tuple(copy_plugins(plan.plugin_files, folder.path / "plugins")))
        notes = notes_of(folder.path, plan, sources)
        if warm_start is not None:
            notes["start"] = dict(warm_start.digests)
        # A locked recipe says what it was trained on, and repeats its run only with the same.
        odd = [*decided.odd, *(f"this does not repeat the locked run: {change}" for change in changes(plan, notes))]
        facts: dict[str, Any] = {"notes": notes, "odd": odd, "warm_start": warm_start, "home": home}
        run = Run(folder, plan, plugins, device, dataset, sources, held, clock, **facts)
        folder.write(LOCK, run.locked())
        if ranks.is_lead():
            ranks.remember(RUN, str(home))
        opened.pop_all()  # the run closes them
    return run


def earlier_run() -> Path | None:
    """Return the run that the ranks began before torchrun restarted them, if it has a checkpoint.

    If a rank is gone, torchrun restarts all remaining ones.
    """
    found = ranks.remembered(RUN)
    there = bool(found) and checkpoint.named(Path(found), "latest") is not None
    return Path(found) if ranks.exchange("whether to continue a run", there)[0] else None


def hold(folder: Path) -> FileLock:
    """Lock a run's folder; the system releases the lock when this process ends, however it ends.

    Raise an InputError if another process holds the lock, or if the folder is not writable.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"another process is using {folder}") from None
    except OSError as error:
        reason = "its .lock is a link" if error.errno == errno.ELOOP else error.strerror
        raise InputError(f"cannot write to {folder}: {reason}") from error
    return lock


def reopen(
    path: Path, plugins: Plugins, device: torch.device, sets: Sequence[str] = (), report: Report = silent
) -> Run:
    """Open the run at `path` to resume exactly from its newest checkpoint, with its own copies of local plugins.

    `sets` may override `train.steps`, settings of `[record]` that do not affect the training, observers, and the place
    of the data. `report` is called with (what, done, total) while data are prepared. Raise an InputError if it is not a
    run, has no checkpoint, or if the overrides would change the run.
    """
    clock = Clock("start")
    folder = path if (path / LOCK).is_file() else find_run(path)[0]
    if folder is None:
        raise InputError(f"'{path}' is not a run's folder: it has no {LOCK}")
    lock = folder / LOCK
    text = read_text(lock)
    plan = read_plan(text, folder, plugins, str(lock), sets)
    moved = require_same_run(plan, sets)
    with ExitStack() as opened:
        files = opened.enter_context(Folder(folder if ranks.is_lead() else _passing()))
        held = hold(files.path)
        opened.callback(held.release)
        try:
            if ranks.is_lead():
                files.clear()
                newest = checkpoint.newest_sound(folder / "checkpoints", lambda text: plugins.say(f"warning: {text}"))
                with files.folder("checkpoints") as checkpoints:
                    checkpoints.write("latest", newest.name)  # it may have pointed to a damaged checkpoint
            name = ranks.exchange("the checkpoint", newest.name if ranks.is_lead() else "")[0]
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror}") from error
        newest = folder / "checkpoints" / name
        dataset = build.make_dataset(plan)
        if moved:
            require_same_data(plan, dataset)
        require_parts(plan)
        with ranks.in_turn("preparing the data", plugins.say):
            sources = build.read_data(plan, dataset, report)
        notes = {**notes_of(folder, plan, sources), **started_from(plan)}
        facts: dict[str, Any] = {
            "step": checkpoint.read_step(newest),
            "resumed_from": newest,
            "notes": notes,
            "home": folder,
        }
        run = Run(files, plan, plugins, device, dataset, sources, held, clock, **facts)
        if sets and not run.done:
            files.write(LOCK, run.locked())
        opened.pop_all()  # the run closes them
    return run


def _passing() -> Path:
    """Make a temporary folder for a rank that writes nothing permanent."""
    return Path(tempfile.mkdtemp(prefix="ganforge-rank-", dir=launched.folder()))


def _new_folder(parent: Path) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)  # which a refused run may delete again at any time
        number = max((int(path.name) for path in parent.iterdir() if path.name.isdigit()), default=0)
        while True:
            number += 1
            with suppress(FileExistsError):
                folder = parent / f"{number:04d}"
                folder.mkdir(parents=True)
                return folder
    except OSError as error:
        raise InputError(f"cannot write to {parent}: {error.strerror}", key="out") from error
