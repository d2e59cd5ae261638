"""Load trained networks from a run's folder, a checkpoint, or weights alone."""

import os
import re
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomli_w
import torch
from attrs import evolve, frozen
from torch import nn

from ganforge.components.plugin_folders import copied_as
from ganforge.components.plugins import Plugins
from ganforge.errors import InputError, nearest
from ganforge.recipe import layers as recipe
from ganforge.recipe.plan import Plan
from ganforge.recipe.resolve import resolve
from ganforge.runs import checkpoint
from ganforge.runs.changes import require_same_networks
from ganforge.runs.fit import load_networks
from ganforge.runs.log import LOCK as LOCK
from ganforge.runs.trained import Trained
from ganforge.runs.weights import Weights, find_weights
from ganforge.system.disk import read_text
from ganforge.system.folder import leads_out
from ganforge.training import batch_norm, build
from ganforge.training.batch_norm import recalibration
from ganforge.training.meter import first_not_finite
from ganforge.training.networks import META, with_facts

LOCAL = ("dataset", "evaluations", "observers", "record")  # tables of a lock that may contain local paths
CHECKPOINTS = "checkpoints"
POINTER_BYTES = 64  # largest size of the pointers `latest` and `best`


def located(path: Path, plugins: Plugins) -> Path:
    """Return the path of weights: the path itself, or the folder that a plugin returns for a name such as `hub:NAME`.

    Raise an InputError or a RunFailedError if the plugin that knows the name cannot load it.
    """
    if os.path.exists(path) or not re.match(recipe.NAME, str(path)):
        return path
    return next((Path(found) for _, found in plugins.each("ganforge_locate", name=str(path))), path)


def find_run(path: Path) -> tuple[Path | None, Path]:
    """Return (run folder, checkpoint folder) for either, or for a weights file; raise an InputError for other paths."""
    if not os.path.exists(path):  # also False for names that no file can have
        there = path.parent.iterdir() if path.parent.is_dir() else ()
        beside = [other.name for other in there if other.is_dir() or other.suffix == ".safetensors"]
        raise InputError(f"no run at '{path}'; {nearest(path.name, beside)}".removesuffix("; "))
    if (path / LOCK).is_file():
        return path, checkpoint.pointed(path / CHECKPOINTS, "latest")
    if _is_pointer(path):
        path = checkpoint.pointed(path.parent, path.name)
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and not any(folder.glob("*.safetensors")):
        runs = sorted(other.name for other in folder.iterdir() if (other / LOCK).is_file())
        hint = f"did you mean '{path / runs[-1]}'?" if runs else f"a run's folder holds {LOCK}"
        raise InputError(f"'{path}' is neither a run nor a checkpoint; {hint}")
    run = folder.parent.parent
    return (run if folder.parent.name == CHECKPOINTS and (run / LOCK).is_file() else None), folder


def _is_pointer(path: Path) -> bool:
    return path.is_file() and path.name in checkpoint.POINTERS and path.stat().st_size <= POINTER_BYTES


def read_plan(text: str, run: Path | None, plugins: Plugins, name: str, sets: Sequence[str] = ()) -> Plan:
    """Resolve a locked recipe; its local plugins are the copies in the run's folder, and no others.

    Raise an InputError if it needs a local plugin, but there is no run folder and `--plugin` does not give it.
    """
    folder = run or Path()
    locked = recipe.parse(text, name, folder, sets)
    files = [path for path, _, _ in locked.plugin_files()]
    for path in files:
        if path != folder / copied_as(path):
            raise InputError(f"{name}: plugins: a locked recipe's plugins are in the run's own folder, not at '{path}'")
        if path.stem not in plugins.known and run is None:
            raise InputError(f"these weights need the local plugin '{path.name}': add --plugin {path.name}")
        if path.stem not in plugins.known:
            plugins.load_file(path, alone=True)
    return resolve(locked, plugins.registry, files)


def placed(text: str, run: Path | None) -> str:
    """Return a recipe from weights, with local paths taken from the run's own lock."""
    with suppress(InputError, ValueError, RecursionError):
        if run is not None:
            lock, passed = tomllib.loads(read_text(run / LOCK)), tomllib.loads(text)
            return tomli_w.dumps(passed | {key: lock[key] for key in LOCAL if key in lock})
    return text


def _is_of(run: Path, text: str) -> bool:
    """Return whether a recipe in weights is that of a run: other files may be among its checkpoints."""
    with suppress(InputError, ValueError, RecursionError):
        lock, passed = tomllib.loads(read_text(run / LOCK)), tomllib.loads(text)
        changeable = {*LOCAL, "train", "compute", "lock"}
        return all(lock.get(key) == passed.get(key) for key in (lock.keys() | passed.keys()) - changeable)
    return False


@frozen(eq=False)
class Saved:
    """A training as described by its files and their recipe; no weights are loaded yet.

    Attributes:
        outline: gives directions, data set and step; its networks are empty.
        weights: the files.
        norm: the kind of batch normalisation statistics in the files.
        say: called with messages for the user.
    """

    outline: Trained
    weights: Weights
    norm: batch_norm.Norm
    say: Callable[[str], None]

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions whose networks exist; if a file was named, those that use its network."""
        outline, mine = self.outline, self.weights.head.network
        return tuple(d for d in outline.directions if not self.weights.named or mine in outline.needed(d))

    def load(self, device: torch.device, direction: str | None = None) -> Trained:
        """Load all networks, or those of one direction, onto a device; warn if weights are not finite.

        Raises:
            InputError: weights are damaged, do not fit their recipe, or are larger than memory.
        """
        plan, dataset = self.outline.plan, self.outline.dataset
        anew = plan.train.norm == "recalibrated" != self.norm
        names = self._sound() if direction is None or anew else self.outline.needed(direction)
        files = {name: self.weights.files[name] for name in plan.networks if name in names & self.weights.files.keys()}
        chosen = evolve(plan, networks={name: plan.networks[name] for name in plan.networks if name in names})
        networks = load_networks(chosen, build.shapes_of(plan, dataset), files, device)
        for name, network in networks.items():
            if wrong := first_not_finite(network.state_dict()):
                self.say(f"warning: the weights {name}.{wrong} contain non-finite numbers")
        scheme, held = build.make_scheme(plan, networks, device, {})
        trained = Trained(plan, dataset, scheme, device, self.outline.step, (), self.weights.ignored)
        training = self.training()
        for view, wiring in scheme.wirings.items():
            if direction in (None, view):
                kept = [name for name in plan.values if f"values.{name}.{view}" in training["held"]]
                for name in (*(() if direction else kept), *wiring.way_to("fake", trained.player)):
                    scheme.formula(view, name)
        for label in held.keys() & training["held"].keys():
            held[label].restore(training["held"][label], device)
        if plan.train.norm == "running" and self.norm == "recalibrated":
            self._uncover(networks, training)
        if anew:
            measured = recalibration(plan, scheme, trained.samples("train"), device)
            trained = evolve(trained, shown=(measured.shown,))
        return trained

    def _sound(self) -> set[str]:
        """Return the existing networks whose facts exist, too."""
        there = self.outline.networks.keys()
        return {name for name in there if with_facts(self.outline.plan, [name]) <= there}

    def training(self) -> Any:
        """Return the state saved with these weights; empty if the files beside them belong to others."""
        folder = self.weights.folder
        if not (folder / "training.safetensors").exists():
            return {"held": {}}
        if self.weights.named:
            try:
                files = checkpoint.read_state(folder)["files"]
            except InputError as error:
                self.say(f"warning: {error}; the weights are loaded without it")
                return {"held": {}}
            if self.weights.head.digest not in files.values():
                return {"held": {}}
        return checkpoint.load_training(folder)

    def _uncover(self, networks: dict[str, nn.Module], training: Any) -> None:
        """Restore the running averages that recalibrated statistics replaced."""
        keeping = {name: kept for name, network in networks.items() if (kept := batch_norm.statistics(network))}
        if keeping and "beneath" not in training:
            message = f"'{self.weights.folder}' has no training.safetensors, which contains the running averages"
            raise InputError(message)
        for name, kept in keeping.items():
            covered = training["beneath"].get(name, {})
            for key in kept.keys() & covered.keys():
                networks[name].state_dict()[key].copy_(covered[key])


def find_saved(path: Path, plugins: Plugins, norm: batch_norm.Norm | None = None, sets: Sequence[str] = ()) -> Saved:
    """Find a training in a run, a checkpoint, a weights file or a folder of weights, without loading its networks.

    The path may also be a name that a plugin knows, such as `hub:NAME`. A weights file says itself which network it
    contains. `norm` overrides the recipe's `train.norm`; `sets` may set the place of the data, or other data. Raise an
    InputError if something is missing, damaged or ambiguous.
    """
    path = located(path, plugins)
    run, folder = find_run(path)
    weights = find_weights(folder, None if path.is_dir() or _is_pointer(path) else path)
    for file in weights.files.values():
        if run is not None and leads_out(file, run):
            raise InputError(f"{file} is a link that leads out of the run's folder")
    if run is not None and weights.named and not _is_of(run, weights.head.recipe):
        run = None
    require_same_networks(sets)
    try:
        plan = read_plan(placed(weights.head.recipe, run), run, plugins, str(weights.first), sets)
    except RecursionError as error:
        raise InputError(f"{weights.first}: its recipe is nested too deeply") from error
    for name in plan.networks.keys() - weights.files.keys() & weights.ignored.keys():
        if not weights.named:
            raise InputError(weights.ignored[name])
    if weights.head.network not in plan.networks:
        raise InputError(f"{weights.first} contains the network '{weights.head.network}', which its recipe lacks")
    saved = plan.train.norm
    plan = evolve(plan, train=evolve(plan.train, norm=norm or saved))
    there = [name for name, (network, _) in plan.networks.items() if name in weights.files or network.player is None]
    scheme, _ = build.make_scheme(plan, {name: nn.Identity() for name in there}, META, {})
    dataset = build.make_dataset(plan)
    outline = Trained(plan, dataset, scheme, META, weights.head.step, (), weights.ignored)
    return Saved(outline, weights, saved, plugins.say)


def load_trained(
    path: Path, plugins: Plugins, device: torch.device, norm: batch_norm.Norm | None = None, sets: Sequence[str] = ()
) -> Trained:
    """Load all networks of a training, which `find_saved` finds, onto a device.

    `sets` may set the place of the data, or other data; `norm` overrides the recipe's `train.norm`. The data are needed
    only to recalibrate weights that were saved without recalibration.
    """
    return find_saved(path, plugins, norm, sets).load(device)
