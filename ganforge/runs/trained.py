"""Trained networks with their recipe: what evaluations, sample pictures and translation work on."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from attrs import evolve, field, frozen
from torch import Tensor, nn

from ganforge.components.plugins import Plugins
from ganforge.components.view import View
from ganforge.data.batches import Sources, mean, read
from ganforge.data.dataset import Dataset, Split, Stored, as_float, random_generator
from ganforge.errors import InputError, nearest
from ganforge.recipe import layers as recipe
from ganforge.recipe.plan import Plan
from ganforge.recipe.resolve import resolve
from ganforge.runs import checkpoint
from ganforge.training import build
from ganforge.training import norm as norms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOCK = "recipe.lock.toml"
CALIBRATION = 512  # samples on which batch normalisation is recalibrated, about


@frozen
class Findings:
    """What an evaluation returns.

    Attributes:
        metrics: numbers by name.
        figures: pictures by name, or functions that draw them, called after the last step only. One named `x_initial`,
            of the state before the training, comes first in the row of `x` where recipes are compared.
    """

    metrics: Mapping[str, float]
    figures: Mapping[str, "Figure | Callable[[], Figure]"] = field(factory=dict)


@frozen
class Trained:
    """The networks of a run at some step, in evaluation mode while they are used through it.

    Attributes:
        plan: the recipe, understood; `plan.train.norm` says how batch normalisation works in evaluation mode.
        dataset: what they were trained on.
        networks: by name.
        device: where they are.
        step: number of training steps that are behind them.
        measured: statistics of batch normalisation that are not in the networks, but take effect in evaluation mode.
    """

    plan: Plan
    dataset: Dataset
    networks: Mapping[str, nn.Module]
    device: torch.device
    step: int
    measured: Mapping[str, norms.Statistics] = field(factory=dict, repr=False)

    def views(self, batch: Mapping[str, Tensor]) -> Sequence[View]:
        """Return the coupling's views of any batch; use them inside of `evaluating()`."""
        return self.plan.coupling.views(self.networks, {key: value.to(self.device) for key, value in batch.items()})

    def samples(self, split: Split) -> Sources:
        """Return the samples of each domain in a split, ready to load."""
        return read(self.dataset, split, name=self.plan.name)

    def stored(self, split: Split, domain: str) -> Stored:
        """Return the samples of a domain in a split, which must be the same ones every time.

        Raises:
            InputError: there is no such domain, or its samples are drawn afresh.
        """
        samples = self.samples(split)
        if domain not in samples:
            raise InputError(f"the data set has no domain {domain}; it has {', '.join(samples)}")
        found = samples[domain]
        if not isinstance(found, Stored):
            raise InputError(f"the {split} samples of domain {domain} are drawn afresh; this needs fixed ones")
        return found

    def translate(self, direction: str, samples: Tensor, batch: int = 64) -> Tensor:
        """Translate any number of samples, batch by batch; use it inside of `evaluating()`.

        Args:
            direction: such as `AB`.
            samples: float [N, *source shape], pictures in [0, 1].
            batch: how many at a time.

        Returns:
            float [N, *target shape], on the CPU.

        Raises:
            InputError: the coupling has no generator of that direction.
        """
        generator = self.generator(direction)
        parts = [generator(part.to(self.device)).float().cpu() for part in torch.split(samples, batch)]
        return torch.cat(parts)

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions for which there is a generator, such as `AB`."""
        return tuple(
            network.label
            for network, _ in self.plan.networks.values()
            if network.role == "generator" and network.name in self.networks
        )

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Put the networks into evaluation mode, without gradients, and put them back afterwards."""
        with norms.outside_training(self.networks, self.plan.train.norm, self.measured), torch.no_grad():
            yield

    def generator(self, direction: str) -> nn.Module:
        """Return the generator of a direction such as `AB`.

        Raises:
            InputError: the coupling has none of that direction.
        """
        generators = {
            network.label: network.name for network, _ in self.plan.networks.values() if network.role == "generator"
        }
        if direction not in generators:
            coupling = self.plan.coupling_choice.component.name
            hint = nearest(direction, generators)
            raise InputError(f"the coupling '{coupling}' has no generator of direction {direction}; {hint}")
        if generators[direction] not in self.networks:
            raise InputError(f"{generators[direction]}.safetensors is not beside the other weights")
        return self.networks[generators[direction]]

    def initial(self) -> "Trained":
        """Return the same networks as they were before the first step."""
        sources = self.samples("train")
        networks = build.make_networks(
            self.plan,
            self.dataset.shapes,
            self.device,
            lambda domain: mean(sources[domain], self.plan.train.seed, domain),
        )
        return Trained(self.plan, self.dataset, networks, self.device, 0)


def find_run(path: Path) -> tuple[Path | None, Path]:
    """Find (run folder, checkpoint folder) for a run folder, a checkpoint folder or a weights file.

    Raises:
        InputError: the path is none of these.
    """
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

    Raises:
        InputError: it names a local plugin, and there is no run folder to find it in and none was given.
    """
    locked = recipe.parse(text, name, run or Path(), sets)
    files = []
    for path, _, _ in locked.plugin_files():
        if path.parent != (run or Path()) / "plugins":
            raise InputError(f"{name}: plugins: a locked recipe's plugins lie in the run's own folder, not at '{path}'")
        if path.stem not in plugins.known:
            if run is None:
                raise InputError(f"these weights need the local plugin '{path.name}': add --plugin {path.name}")
            plugins.load_file(path)
        files.append(path)
    return resolve(locked, plugins.registry, files)


def load(path: Path, plugins: Plugins, device: torch.device, norm: norms.Norm | None = None) -> Trained:
    """Load what was trained from a run folder, a checkpoint folder or a weights file.

    The data are not needed, unless batch normalisation is to be recalibrated for weights that were saved without it.

    Args:
        path: what to load.
        plugins: what is loaded.
        device: where to put the networks.
        norm: how batch normalisation is to work, if not as the recipe says.
    """
    run, folder = find_run(path)
    files = sorted(file for file in folder.glob("*.safetensors") if file.stem != "training")
    if not files:
        raise InputError(f"the checkpoint {folder} holds no weights")
    plan = read_plan(checkpoint.read_recipe(files[0]), run, plugins, str(files[0]))
    saved = plan.train.norm
    plan = evolve(plan, train=evolve(plan.train, norm=norm or saved))
    dataset = build.make_dataset(plan)
    present = {file.stem: file for file in files}
    # A stranger's recipe may ask for networks that no memory holds; so they are not made before the weights fit them.
    with suppress(NotImplementedError), torch.device("meta"):
        for name, network in build.make_networks(plan, dataset.shapes, torch.device("meta")).items():
            if name in present:
                checkpoint.require_fit(present[name], checkpoint.read_tensors(present[name])[0], network)
    networks = build.make_networks(plan, dataset.shapes, device)
    for name, network in networks.items():
        if name in present:
            checkpoint.load_weights(present[name], network)
    networks = {name: network for name, network in networks.items() if name in present}
    if plan.train.norm == "running" and saved == "recalibrated":
        for name, values in checkpoint.load_training(folder)["statistics"].items():
            norms.put(networks[name], values)
    step = re.search(r"step-(\d+)", folder.name)
    trained = Trained(plan, dataset, networks, device, int(step[1]) if step else 0)
    if plan.train.norm == "recalibrated" != saved:
        inputs = norm_inputs(plan, trained.samples("train"))
        trained = evolve(trained, measured=measure_norms(plan, networks, inputs, device))
    return trained


def norm_inputs(plan: Plan, sources: Sources) -> dict[str, Tensor]:
    """Return the training samples, as they are stored, on which batch normalisation is recalibrated, by domain."""
    batch, seed = plan.train.batch, plan.train.seed
    found = {}
    for domain, samples in sources.items():
        random = random_generator(seed, "norm", domain)
        if isinstance(samples, Stored):
            count = max(1, min(samples.length, CALIBRATION) // batch) * batch
            chosen = torch.randperm(samples.length, generator=random)[:count]
            found[domain] = samples.load(chosen.tolist())
        else:
            found[domain] = samples.draw(max(1, CALIBRATION // batch) * batch, random)
    return found


def measure_norms(
    plan: Plan, networks: Mapping[str, nn.Module], inputs: Mapping[str, Tensor], device: torch.device
) -> dict[str, norms.Statistics]:
    """Measure the statistics of every generator that has batch normalisation on samples of its own source domain."""
    found: dict[str, norms.Statistics] = {}
    for name, (network, _) in plan.networks.items():
        if network.role == "generator" and name in networks and any(norms.layers(networks[name])):
            parts = torch.split(inputs[network.domains[0]], plan.train.batch)
            found[name] = norms.measure(networks[name], (as_float(part.to(device)) for part in parts))
    return found
