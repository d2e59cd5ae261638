"""Trained networks with their recipe: what evaluations, sample pictures and translation work on."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from attrs import evolve, field, frozen
from torch import Tensor, nn

from ganforge.components.plugins import Plugins
from ganforge.data.batches import Sources, mean, normal, read
from ganforge.data.dataset import Dataset, Drawn, PictureDataset, Split, Stored, derive, random_generator
from ganforge.errors import InputError, nearest
from ganforge.recipe import layers as recipe
from ganforge.recipe.plan import Plan, usual
from ganforge.recipe.resolve import resolve
from ganforge.runs import checkpoint
from ganforge.training import build
from ganforge.training import norm as norms
from ganforge.training.networks import make_networks
from ganforge.training.state import held_by, looking
from ganforge.training.values import Scheme, Values, Wiring

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


class Seen:
    """One direction as it is seen outside of training: `seen["fake"]`, `"reconstructed" in seen`.

    Attributes:
        name: the direction, such as `AB`.
        domains: where it comes from and where it leads to.
        fields: for each value the field of the batch that it is.
    """

    def __init__(self, wiring: Wiring, values: Values, player: str) -> None:
        self.name, self.domains, self.fields = wiring.view.name, wiring.view.domains, wiring.view.fields
        self._wiring, self._values, self._player = wiring, values, player

    def __contains__(self, name: str) -> bool:
        return self._wiring.offers(name, self._player)

    def __getitem__(self, name: str) -> Any:
        """Return a value; it is made on first use.

        Raises:
            KeyError: the direction does not offer it.
        """
        if name not in self:
            raise KeyError(f"the direction {self.name} offers no '{name}'")
        return self._values.ask(self.name, name, self._player)


@frozen(eq=False)
class Trained:
    """The networks of a run at some step, in evaluation mode while they are used through it.

    Attributes:
        plan: the recipe, understood; `plan.train.norm` says how batch normalisation works in evaluation mode.
        dataset: what they were trained on.
        scheme: the networks, and how values are made of them.
        device: where they are.
        step: number of training steps that are behind them.
        shown: each returns tensors that are laid over the weights of a network while it is looked at.
    """

    plan: Plan
    dataset: Dataset
    scheme: Scheme
    device: torch.device
    step: int
    shown: Sequence[Callable[[str], Mapping[str, Tensor]]] = ()

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """The networks by name."""
        return {name: self.scheme.modules[name] for name in self.plan.networks if name in self.scheme.modules}

    @property
    def player(self) -> str:
        """As whom values are asked for."""
        return usual(self.plan.coupling.players)

    def views(self, batch: Mapping[str, Tensor]) -> list[Seen]:
        """Return the coupling's directions with any batch; use them inside of `evaluating()`."""
        values = Values(self.scheme, {key: value.to(self.device) for key, value in batch.items()})
        return [Seen(self.scheme.wirings[view.name], values, self.player) for view in self.plan.coupling.views]

    def samples(self, split: Split) -> Sources:
        """Return the samples of each domain in a split, ready to load, and the fields that are drawn."""
        noise = {field: normal(shape) for field, shape in self.plan.coupling.noise.items()}
        return {**noise, **read(self.dataset, split, name=self.plan.name, labels=build.labels_of(self.plan))}

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

    def translate(
        self, direction: str, samples: Tensor, batch: int = 64, *, value: str = "fake", seed: int = 0
    ) -> Tensor:
        """Translate any number of samples, batch by batch; use it inside of `evaluating()`.

        Args:
            direction: such as `AB`.
            samples: float [N, *source shape], pictures in [0, 1].
            batch: how many at a time.
            value: what is wanted, if not the translation: `reconstructed`, say.
            seed: of what is drawn besides.

        Returns:
            float [N, *target shape], on the CPU.

        Raises:
            InputError: the coupling has no such direction.
        """
        return self._made(direction, value, len(samples), batch, seed, {self.source(direction): samples})

    def draw(self, direction: str, count: int, batch: int = 64, seed: int = 0) -> Tensor:
        """Make samples of a direction that needs no source, [count, *target shape]; use it inside of `evaluating()`.

        Raises:
            InputError: the coupling has no such direction, or it translates.
        """
        return self._made(direction, "fake", count, batch, seed, {})

    def _made(
        self, direction: str, value: str, count: int, batch: int, seed: int, given: Mapping[str, Tensor]
    ) -> Tensor:
        drawn = self._drawn(direction, value, given)
        parts = []
        for start in range(0, count, batch):
            stop = min(start + batch, count)
            fields = {name: samples[start:stop] for name, samples in given.items()}
            for name, source in drawn.items():
                # A whole batch always, so that a larger count begins with the same samples.
                fields[name] = source.draw(batch, random_generator(seed, "draw", name, start))[: stop - start]
            values = Values(self.scheme, {name: samples.to(self.device) for name, samples in fields.items()})
            parts.append(values.ask(direction, value, self.player).float().cpu())
        return torch.cat(parts)

    def _drawn(self, direction: str, value: str, given: Mapping[str, Tensor]) -> dict[str, Drawn]:
        """Return the fields that a value needs besides those that are given; they must be drawn ones."""
        needed = self._wiring(direction).fields_of(value, self.player) - given.keys()
        found = {name: samples for name, samples in self.drawn.items() if name in needed}
        if missing := sorted(needed - found.keys()):
            raise InputError(f"the direction {direction} needs '{missing[0]}', which is neither given nor drawn")
        return found

    @cached_property
    def drawn(self) -> Mapping[str, Drawn]:
        """The fields that are drawn afresh, not read: the coupling's noise, and such domains of the data set."""
        found = {name: normal(shape) for name, shape in self.plan.coupling.noise.items()}
        if not isinstance(self.dataset, PictureDataset):  # whose samples are files, which need not be here any more
            with suppress(InputError):
                found |= {name: s for name, s in self.dataset.open("test").items() if isinstance(s, Drawn)}
        return found

    def translates(self, direction: str) -> bool:
        """Whether a direction translates samples of a domain; else it only draws.

        Raises:
            InputError: the coupling has no such direction.
        """
        return bool(self._wiring(direction).fields_of("fake", self.player) - self.drawn.keys())

    def source(self, direction: str) -> str:
        """Return the domain whose samples a direction translates.

        Raises:
            InputError: the coupling has no such direction, or it translates nothing.
        """
        view = self._wiring(direction).view
        if not self.translates(direction) or "source" not in view.fields:
            raise InputError(f"the direction {direction} translates nothing: it draws; see `ganforge draw`")
        return view.fields["source"]

    def target(self, direction: str) -> str:
        """Return the domain that a direction leads to."""
        return self._wiring(direction).view.domains[-1]

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions whose networks are there, such as `AB`."""
        return tuple(
            name
            for name, wiring in self.scheme.wirings.items()
            if wiring.offers("fake", self.player) and not self._absent(name)
        )

    def _absent(self, direction: str) -> list[str]:
        wired = self.scheme.wirings[direction].view.networks
        names = self.scheme.through(direction, "fake", self.player) & set(wired.values())
        return sorted(names - self.scheme.modules.keys())

    def _wiring(self, direction: str) -> Wiring:
        """Return the wiring of a direction that can be translated.

        Raises:
            InputError: there is none, or a network is missing.
        """
        wiring = self.scheme.wirings.get(direction)
        if wiring is None or not wiring.offers("fake", self.player):
            coupling = self.plan.coupling_choice.component.name
            hint = nearest(direction, self.directions)
            raise InputError(f"the coupling '{coupling}' has no generator of direction {direction}; {hint}")
        if absent := self._absent(direction):
            raise InputError(f"{absent[0]}.safetensors is not beside the other weights")
        return wiring

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Put the networks into evaluation mode, without gradients, as they are shown, and back again."""
        modules = dict(self.scheme.modules)
        modules |= {f.label: m for f in self.scheme.formulas.values() if (m := held_by(f.made)) is not None}
        with looking(modules, derive(self.plan.train.seed, "look")), laid_over(self.networks, self.shown):
            if self.plan.train.norm == "batch":
                norms.by_batch(self.networks)
            yield

    def initial(self) -> "Trained":
        """Return the same networks as they were before the first step."""
        sources = self.samples("train")
        networks = make_networks(
            self.plan,
            build.shapes_of(self.plan, self.dataset),
            self.device,
            lambda domain: mean(sources[domain], self.plan.train.seed, domain),
        )
        scheme, _ = build.make_scheme(self.plan, networks, self.device, {})
        return Trained(self.plan, self.dataset, scheme, self.device, 0)


@contextmanager
def laid_over(
    networks: Mapping[str, nn.Module], shown: Sequence[Callable[[str], Mapping[str, Tensor]]]
) -> Iterator[dict[str, dict[str, Tensor]]]:
    """Lay tensors over the weights of networks, one layer after the other; take them off again.

    Yields:
        What lies beneath: for each network the tensors that were covered.
    """
    beneath: dict[str, dict[str, Tensor]] = {name: {} for name in networks}
    try:
        for show in shown:
            for name, network in networks.items():
                state = network.state_dict()
                for key, value in show(name).items():
                    beneath[name].setdefault(key, state[key].detach().clone())
                    state[key].data.copy_(value)
        yield beneath
    finally:
        for name, covered in beneath.items():
            state = networks[name].state_dict()
            for key, value in covered.items():
                state[key].data.copy_(value)


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


def load_trained(path: Path, plugins: Plugins, device: torch.device, norm: norms.Norm | None = None) -> Trained:
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
    shapes = build.shapes_of(plan, dataset)
    present = {file.stem: file for file in files}
    # A stranger's recipe may ask for networks that no memory holds; so they are not made before the weights fit them.
    with suppress(NotImplementedError), torch.device("meta"):
        for name, network in make_networks(plan, shapes, torch.device("meta")).items():
            if name in present:
                checkpoint.require_fit(present[name], checkpoint.read_tensors(present[name])[0], network)
    networks = make_networks(plan, shapes, device)
    for name, network in networks.items():
        if name in present:
            checkpoint.load_weights(present[name], network)
    frozen = {name for name, (network, _) in plan.networks.items() if network.player is None}
    networks = {name: network for name, network in networks.items() if name in present or name in frozen}
    step = re.search(r"step-(\d+)", folder.name)
    scheme, held = build.make_scheme(plan, networks, device, {})
    training = checkpoint.load_training(folder) if (folder / "training.safetensors").exists() else {}
    for view, wiring in scheme.wirings.items():
        kept = [name for name in plan.values if f"values.{name}.{view}" in training.get("held", {})]
        for name in (*kept, *wiring.way_to("fake", usual(plan.coupling.players))):
            scheme.formula(view, name)
    for label, state in training.get("held", {}).items():
        if label in held:
            held[label].restore(state, device)
    if plan.train.norm == "running" and saved == "recalibrated":
        for name, covered in training["beneath"].items():
            for key in norms.statistics(networks[name]).keys() & covered.keys():
                networks[name].state_dict()[key].copy_(covered[key])
    trained = Trained(plan, dataset, scheme, device, int(step[1]) if step else 0)
    if plan.train.norm == "recalibrated" != saved:
        inputs = norm_inputs(plan, trained.samples("train"))
        measure = norms.Recalibration(scheme, trained.player, inputs, plan.train.batch, device)
        trained = evolve(trained, shown=(measure.shown,))
    return trained


def norm_inputs(plan: Plan, sources: Sources) -> dict[str, Tensor]:
    """Return the training samples, as they are stored, on which batch normalisation is recalibrated, by field."""
    batch, seed = plan.train.batch, plan.train.seed
    found = {}
    for name, samples in sources.items():
        random = random_generator(seed, "norm", name.partition(".")[0])
        if isinstance(samples, Stored):
            count = max(1, min(samples.length, CALIBRATION) // batch) * batch
            chosen = torch.randperm(samples.length, generator=random)[:count]
            found[name] = samples.load(chosen.tolist())
        else:
            found[name] = samples.draw(max(1, CALIBRATION // batch) * batch, random)
    return found
