"""Loading what was trained, from a run's folder, a checkpoint of it, or weights alone."""

import re
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import tomli_w
import torch
from attrs import evolve

from ganforge.components.neighbours import copied_as
from ganforge.components.plugins import Plugins
from ganforge.data.fingerprint import fingerprints
from ganforge.disk import read_text
from ganforge.errors import InputError, nearest
from ganforge.recipe import layers as recipe
from ganforge.recipe.plan import Plan
from ganforge.recipe.resolve import resolve
from ganforge.runs import checkpoint
from ganforge.runs.changes import require_same_data, require_same_run
from ganforge.runs.trained import Trained, recalibration
from ganforge.training import build, norm as norms
from ganforge.training.networks import make_networks

LOCK = "recipe.lock.toml"
LOCAL = ("dataset", "evaluations", "record")  # tables in which a lock tells where files lie


def find_run(path: Path) -> tuple[Path | None, Path]:
    """Find (run folder, checkpoint folder) for either, or for a weights file; an InputError says if it is none."""
    if not path.exists():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(f"no run at '{path}'; {nearest(path.name, beside)}".removesuffix("; "))
    if (path / LOCK).is_file():
        return path, checkpoint.pointed(path / "checkpoints", "latest")
    if path.is_file() and path.name in checkpoint.POINTERS:
        path = checkpoint.pointed(path.parent, path.name)
    folder = path.parent if path.suffix == ".safetensors" else path
    if not any(folder.glob("*.safetensors")):
        runs = sorted(other.name for other in folder.iterdir() if (other / LOCK).is_file()) if folder.is_dir() else []
        hint = f"did you mean '{path / runs[-1]}'?" if runs else f"a run's folder holds {LOCK}"
        raise InputError(f"'{path}' is neither a run nor a checkpoint of one; {hint}")
    run = folder.parent.parent
    return (run if (run / LOCK).is_file() else None), folder


def read_plan(text: str, run: Path | None, plugins: Plugins, name: str, sets: Sequence[str] = ()) -> Plan:
    """Understand a locked recipe; its local plugins are those copied into the run folder, and no others.

    An InputError says which local plugin it names, if there is no run folder to find it in and none was given.
    """
    folder = run or Path()
    locked = recipe.parse(text, name, folder, sets)
    files = [path for path, _, _ in locked.plugin_files()]
    for path in files:
        if path != folder / copied_as(path):
            raise InputError(f"{name}: plugins: a locked recipe's plugins lie in the run's own folder, not at '{path}'")
        if path.stem not in plugins.known and run is None:
            raise InputError(f"these weights need the local plugin '{path.name}': add --plugin {path.name}")
        if path.stem not in plugins.known:
            plugins.load_file(path, alone=True)
    return resolve(locked, plugins.registry, files)


def placed(text: str, run: Path | None) -> str:
    """Return a recipe that was passed on in weights with what the run's own lock tells of where files lie here."""
    with suppress(InputError, ValueError, RecursionError):
        if run is not None:
            lock, passed = tomllib.loads(read_text(run / LOCK)), tomllib.loads(text)
            return tomli_w.dumps(passed | {key: lock[key] for key in LOCAL if key in lock})
    return text


def load_trained(
    path: Path, plugins: Plugins, device: torch.device, norm: norms.Norm | None = None, sets: Sequence[str] = ()
) -> Trained:
    """Load what was trained from a run folder, a checkpoint folder or a weights file onto a device.

    `sets` may say where the data of a run lie now; `norm` says how batch normalisation is to work, if not as the recipe
    says. The data are not needed, unless it is to be recalibrated for weights that were saved without it.
    """
    run, folder = find_run(path)
    present = {file.stem: file for file in sorted(folder.glob("*.safetensors")) if file.stem != "training"}
    if not present:
        raise InputError(f"the checkpoint {folder} holds no weights")
    first = next(iter(present.values()))
    plan = read_plan(placed(checkpoint.read_recipe(first), run), run, plugins, str(first), sets)
    saved = plan.train.norm
    plan = evolve(plan, train=evolve(plan.train, norm=norm or saved))
    dataset = build.make_dataset(plan)
    if require_same_run(plan, sets):
        require_same_data(plan, fingerprints(dataset))
    shapes = build.shapes_of(plan, dataset)
    # A stranger's recipe may ask for networks that no memory holds; so they are not made before the weights fit them.
    with suppress(NotImplementedError), torch.device("meta"):
        for name, network in make_networks(plan, shapes, torch.device("meta")).items():
            if name in present:
                checkpoint.require_fit(present[name], checkpoint.read_tensors(present[name])[0], network)
    networks = {}
    for name, network in make_networks(plan, shapes, device).items():
        if name in present:
            checkpoint.load_weights(present[name], network)
        if name in present or plan.networks[name][0].player is None:
            networks[name] = network
    scheme, held = build.make_scheme(plan, networks, device, {})
    step = re.search(r"step-(\d+)", folder.name)
    trained = Trained(plan, dataset, scheme, device, int(step[1]) if step else 0)
    training = checkpoint.load_training(folder) if (folder / "training.safetensors").exists() else {"held": {}}
    for view, wiring in scheme.wirings.items():
        kept = [name for name in plan.values if f"values.{name}.{view}" in training["held"]]
        for name in (*kept, *wiring.way_to("fake", trained.player)):
            scheme.formula(view, name)
    for label in held.keys() & training["held"].keys():
        held[label].restore(training["held"][label], device)
    if plan.train.norm == "running" and saved == "recalibrated":
        if "beneath" not in training:
            raise InputError(f"'{folder}' holds no training.safetensors, in which the running averages are")
        for name in networks.keys() & training["beneath"].keys():
            covered = training["beneath"][name]
            for key in norms.statistics(networks[name]).keys() & covered.keys():
                networks[name].state_dict()[key].copy_(covered[key])
    if plan.train.norm == "recalibrated" != saved:
        measured = recalibration(plan, scheme, trained.samples("train"), device)
        trained = evolve(trained, shown=(measured.shown,))
    return trained
