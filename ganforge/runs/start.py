"""Beginning a run in a folder of its own, or going on with one; and the device it runs on."""

import shutil
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import evolve
from filelock import FileLock, Timeout

from ganforge.components.plugins import Plugins
from ganforge.data.batches import Batches, Sources, silent
from ganforge.data.dataset import Dataset, Report
from ganforge.disk import clear_aside, write_text
from ganforge.errors import InputError
from ganforge.recipe.lock import lock_text
from ganforge.recipe.plan import Plan
from ganforge.runs import checkpoint
from ganforge.runs.run import Run
from ganforge.runs.trained import LOCK, find_run, read_plan
from ganforge.training import build, numerics
from ganforge.training.engine import Engine

# What a resumed run may change without becoming another one.
CHANGEABLE = (
    "train.steps",
    "record.log_every",
    "record.checkpoint_every",
    "record.sample_every",
    "record.evaluate_every",
    "record.keep",
)


def create(plan: Plan, plugins: Plugins, out: Path, device: torch.device, report: Report = silent) -> Run:
    """Make a new run with the next free number, `out/<recipe>/<NNNN>/`, holding its locked recipe.

    Args:
        plan: what is to be trained.
        plugins: what is loaded.
        out: folder for runs.
        device: where to train.
        report: told of (what, done, total) while data are prepared.

    Raises:
        RecipeError: the recipe's parts do not fit together.
        InputError: the folder cannot be written.
    """
    plan, dataset = settle(plan, device)
    # Nothing is left behind by a run whose data are not there.
    sources = build.read_data(plan, dataset, report)
    folder = _new_folder(out / plan.name)
    files = []
    for path in plan.plugin_files:
        (folder / "plugins").mkdir(exist_ok=True)
        files.append(Path(shutil.copy(path, folder / "plugins")))
    run = Run(folder, evolve(plan, plugin_files=tuple(files)), plugins, device, dataset, sources, held=hold(folder))
    write_text(folder / LOCK, run.lock)
    return run


def settle(plan: Plan, device: torch.device) -> tuple[Plan, Dataset]:
    """Make the data set, prove that all parts fit together, and choose for the device what the recipe leaves `auto`.

    Raises:
        RecipeError: they do not fit.
    """
    dataset = build.make_dataset(plan)
    build.check(plan, dataset)
    compute = numerics.settle(plan.compute, plan.train.batch, dataset.shapes, device)
    return evolve(plan, compute=compute), dataset


def assemble(plan: Plan, dataset: Dataset, sources: Sources, device: torch.device) -> tuple[Engine, Batches]:
    """Make the engine of a settled plan and its batches, with no folder around them: for measurements.

    Args:
        plan: as `settle` returned it.
        dataset: as `settle` returned it.
        sources: the training samples of each domain.
        device: where to train.
    """
    numerics.apply(plan.compute)
    batches = Batches(
        sources,
        batch=plan.train.batch,
        seed=plan.train.seed,
        device=device,
        groups=dataset.groups,
        residency=plan.compute.residency,
        augment=plan.train.augment,
    )
    return build.make_engine(plan, build.check(plan, dataset), batches, build.shapes_of(plan, dataset)), batches


def first_difference(folder: Path, plan: Plan, device: torch.device) -> tuple[str, Any, Any] | None:
    """Compare a settled plan with the run that a folder holds.

    Returns:
        (key, the run's value, the plan's value) of the first setting that makes them two different runs; None where
        none does, or where there is no run.
    """
    if not (folder / LOCK).exists():
        return None
    there = _flat(tomllib.loads((folder / LOCK).read_text(encoding="utf-8")))
    wanted = _flat(tomllib.loads(lock_text(plan, {}, str(device), {})))
    for key in sorted(wanted | there):
        if wanted.get(key) != there.get(key) and key not in CHANGEABLE:
            return key, there.get(key), wanted.get(key)
    return None


def hold(folder: Path) -> FileLock:
    """Keep other processes out of a run's folder; the system lets go when this one ends, however it ends.

    Raises:
        InputError: another one is at work there, or the folder cannot be written.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"another process is at work in {folder}") from None
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}") from error
    return lock


def reopen(
    path: Path,
    plugins: Plugins,
    device: torch.device,
    sets: Sequence[str] = (),
    report: Report = silent,
) -> Run:
    """Open a run to go on exactly where its newest checkpoint stands.

    Args:
        path: the run's folder.
        plugins: what is loaded; the run's own local plugins are added.
        device: where to train.
        sets: overrides of `train.steps` and of what in `[record]` changes nothing that is learnt.
        report: told of (what, done, total) while data are prepared.

    Raises:
        InputError: it is no run, has no checkpoint, or would become another run by what is overridden.
    """
    folder = path if (path / LOCK).is_file() else find_run(path)[0]
    if folder is None:
        raise InputError(f"'{path}' is not a run's folder: it holds no {LOCK}")
    for text in sets:
        if text.partition("=")[0].strip() not in CHANGEABLE:
            raise InputError(
                f"--set {text}: that would be another run; a resumed one may change {', '.join(CHANGEABLE)}"
            )
    plan = read_plan((folder / LOCK).read_text(encoding="utf-8"), folder, plugins, str(folder / LOCK), sets)
    held = hold(folder)
    for place in (folder, folder / "checkpoints"):
        clear_aside(place)
    newest = checkpoint.newest_sound(folder / "checkpoints", lambda text: plugins.say(f"warning: {text}"))
    write_text(folder / "checkpoints" / "latest", newest.name)  # it may have pointed to a damaged one
    dataset = build.make_dataset(plan)
    sources = build.read_data(plan, dataset, report)
    run = Run(folder, plan, plugins, device, dataset, sources, checkpoint.read_step(newest), newest, held=held)
    if sets:
        write_text(folder / LOCK, run.lock)
    return run


def pick_device(name: str) -> torch.device:
    """Return the device of a name; `auto` takes CUDA, else MPS, else the CPU.

    Raises:
        InputError: this machine has no such device.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, there in present.items() if there))
    if not present.get(name.partition(":")[0], False):
        have = ", ".join(device for device, there in present.items() if there)
        raise InputError(f"no device '{name}' here; this machine has: {have}")
    return torch.device(name)


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return every setting of a lock under its dotted key, but not what a run only notes."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if not above and key in ("lock", "plugins"):
            continue
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found


def _new_folder(parent: Path) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        numbers = [int(path.name) for path in parent.iterdir() if path.name.isdigit()]
        number = max(numbers, default=0) + 1
        while True:
            folder = parent / f"{number:04d}"
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
            else:
                return folder
    except OSError as error:
        raise InputError(f"cannot write to {parent}: {error.strerror}", key="out") from error
