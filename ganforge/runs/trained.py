"""Trained networks with their recipe: what evaluations, sample pictures and translation work on."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from attrs import evolve, field, frozen
from torch import Tensor, nn

from ganforge.data.dataset import Dataset, Drawn, PictureDataset, Stored, derive, random_generator
from ganforge.data.reading import Sources, mean, normal
from ganforge.data.split import Split
from ganforge.errors import InputError, nearest
from ganforge.recipe.plan import Plan, usual
from ganforge.training import batch_norm, build, ranks, sharing
from ganforge.training.networks import make_networks, with_facts
from ganforge.training.state import held_by, looking
from ganforge.training.values import Scheme, Values, Wiring

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOKED_AT = 64  # samples that are translated at a time
CALIBRATION = 512  # samples on which batch normalisation is recalibrated, about


@frozen
class Findings:
    """What an evaluation returns.

    Attributes:
        metrics: numbers by name; one that is not finite is stored as null, and reported.
        figures: pictures, or functions that draw them after the last step only. One named `x_initial`, of the state
            before training, comes first in the row of `x` when recipes are compared.
        about: what makes the numbers comparable: a network, a resizing, how many pictures each is based on.
        warnings: what readers of the numbers should know, such as that they are biased; a sentence each.
    """

    metrics: Mapping[str, float]
    figures: Mapping[str, "Figure | Callable[[], Figure]"] = field(factory=dict)
    about: Mapping[str, str | float] = field(factory=dict)
    warnings: Sequence[str] = ()


class Seen:
    """One direction outside of training: `seen["fake"]`, `"reconstructed" in seen`.

    `name` is such as `AB`, `domains` are where it comes from and leads to, `fields` are the batch's, by value.
    """

    def __init__(self, wiring: Wiring, values: Values, player: str) -> None:
        self.name, self.domains, self.fields = wiring.view.name, wiring.view.domains, wiring.view.fields
        self._wiring, self._values, self._player = wiring, values, player

    def __contains__(self, name: str) -> bool:
        return self._wiring.offers(name, self._player)

    def __getitem__(self, name: str) -> Any:
        """Return a value; it is made on first use. A KeyError says if the direction does not offer it."""
        if name not in self:
            raise KeyError(f"the direction {self.name} offers no '{name}'")
        return self._values.ask(self.name, name, self._player)


@frozen(eq=False)
class Trained:
    """The networks of a run after `step` training steps on `dataset`, in evaluation mode while used through it.

    `plan.train.norm` says how batch normalisation then works. `scheme` holds the networks and how values are made of
    them. Each of `shown` returns tensors that are laid over the weights of a network while it is looked at. `ignored`
    says of networks that are not there why the files that seem to hold them are none of these weights. Where
    `rehearsal` is not 0, evaluations are only tried: on so many samples of each domain at most, and with as little work
    as shows whether they can do it. `watched` is the split whose samples are given for those of the test split: that of
    validation, while a run trains. `sources` are what was read of the data so far. `together` has the ranks of a
    training share what is translated: all of them must then ask for the same.
    """

    plan: Plan
    dataset: Dataset
    scheme: Scheme
    device: torch.device
    step: int
    shown: Sequence[Callable[[str], Mapping[str, Tensor]]] = ()
    ignored: Mapping[str, str] = field(factory=dict)
    rehearsal: int = 0
    watched: Split = "test"
    sources: dict[Split, Sources] = field(factory=dict, repr=False)
    together: bool = False

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """The networks by name."""
        return {name: self.scheme.modules[name] for name in self.plan.networks if name in self.scheme.modules}

    @property
    def player(self) -> str:
        """As whom values are asked for."""
        return usual(self.plan.coupling.players)

    def views(self, batch: Mapping[str, Tensor]) -> list[Seen]:
        """Return the coupling's directions with any batch; use them inside of `evaluating()`.

        Fields that are drawn, and are not in the batch, are drawn for it.
        """
        count = len(next(iter(batch.values()))) if batch else 1
        drawn = {
            name: samples.draw(count, random_generator(0, "draw", name, 0))
            for name, samples in self.drawn.items()
            if name not in batch
        }
        values = Values(self.scheme, {name: value.to(self.device) for name, value in {**batch, **drawn}.items()})
        return [Seen(self.scheme.wirings[view.name], values, self.player) for view in self.plan.coupling.views]

    def samples(self, split: Split) -> Sources:
        """Return the samples of each domain in a split, ready to load, and the fields that are drawn.

        While a run trains, and has samples for validation, it gives these for `test`: its test split stays untouched.
        """
        split = self.watched if split == "test" else split
        if split not in self.sources:
            self.sources.update(build.read_split(self.plan, self.dataset, split))
        return {name: self._few(samples) for name, samples in self.sources[split].items()}

    def _few(self, samples: Stored | Drawn) -> Stored | Drawn:
        """Return the samples, but not more of them than a rehearsal wants."""
        if not self.rehearsal or isinstance(samples, Drawn) or samples.length <= self.rehearsal:
            return samples
        labels = {name: values[: self.rehearsal] for name, values in samples.labels.items()}
        return evolve(samples, length=self.rehearsal, labels=labels)

    def translate(
        self,
        direction: str,
        samples: Tensor,
        batch: int = LOOKED_AT,
        *,
        value: str = "fake",
        seed: int = 0,
        alike: bool = False,
    ) -> Tensor:
        """Translate float [N, *source shape], pictures in [0, 1], to float [N, *target shape] on the CPU, by batches.

        Where a batch's own statistics normalise it, it has no more samples than one of the training.

        Use it inside of `evaluating()`. Another `value` than the translation may be wanted: `reconstructed`, say. What
        is drawn besides follows from `seed`; `alike` gives every sample what the first one is given, such as one style.
        Networks that say `multiple` take pictures of other sizes, too. An InputError says if the coupling has no such
        direction.
        """
        return self._made(direction, value, len(samples), batch, seed, {self.source(direction): samples}, alike=alike)

    def draw(self, direction: str, count: int, batch: int = LOOKED_AT, seed: int = 0) -> Tensor:
        """Make samples of a direction that needs no source, [count, *target shape]; use it inside of `evaluating()`.

        An InputError says if the coupling has no such direction, or if it translates.
        """
        return self._made(direction, "fake", count, batch, seed, {})

    def _made(
        self,
        direction: str,
        value: str,
        count: int,
        batch: int,
        seed: int,
        given: Mapping[str, Tensor],
        *,
        alike: bool = False,
    ) -> Tensor:
        """Make a value of the fields that are given and of those that it needs besides, which must be drawn ones."""
        needed = self._wiring(direction, value).fields_of(value, self.player) - given.keys()
        drawn = self._drawn_of(needed)
        if self.plan.train.norm == "batch":
            batch = min(batch, self.plan.train.batch)
        if missing := sorted(needed - drawn.keys()):
            raise InputError(f"the direction {direction} needs '{missing[0]}', which is neither given nor drawn")
        parts, world = [], ranks.world() if self.together else 1
        for start in range(0, count, batch):
            if start // batch % world != ranks.rank() % world:
                continue
            # Each batch has a seed of its own, so that it is the same whoever makes it.
            torch.manual_seed(self._seed(seed) if start == 0 else derive(self._seed(seed), start))
            stop = min(start + batch, count)
            alone = self.plan.train.norm == "batch" and stop - start == 1 < min(batch, count)
            # A last sample that is alone could not be normalised by its batch: the one before it comes along.
            rows, size = ([start, start - 1], 2) if alone else (slice(start, stop), stop - start)
            fields = {name: samples[rows] for name, samples in given.items()}
            for name, source in drawn.items():
                # A whole batch always, so that a larger count begins with the same samples.
                made = source.draw(batch, random_generator(seed, "draw", name, 0 if alike else start))
                fields[name] = made[:1].expand(size, *made.shape[1:]) if alike else made[:size]
            values = Values(self.scheme, {name: samples.to(self.device) for name, samples in fields.items()})
            made = values.ask(direction, value, self.player).float().cpu()
            parts.append(made[:1] if alone else made)
        return torch.cat(sharing.shared(parts) if world > 1 else parts)

    @cached_property
    def drawn(self) -> Mapping[str, Drawn]:
        """The fields that are drawn afresh, not read: the coupling's noise, and such domains of the data set."""
        found = {name: normal(shape) for name, shape in self.plan.coupling.noise.items()}
        if not isinstance(self.dataset, PictureDataset):  # whose samples are files, which need not be here any more
            with suppress(InputError):
                found |= {name: s for name, s in self.dataset.open("test").items() if isinstance(s, Drawn)}
        return found

    def translates(self, direction: str) -> bool:
        """Whether a direction translates, or only draws; an InputError says if there is no such one."""
        fields = self._wiring(direction).fields_of("fake", self.player)
        return bool(fields - self._drawn_of(fields).keys())

    def _drawn_of(self, fields: set[str]) -> dict[str, Drawn]:
        """Return those of the fields that are drawn; the data set is asked only where the coupling draws not all."""
        noise = {name: normal(shape) for name, shape in self.plan.coupling.noise.items()}
        drawn = noise if fields <= noise.keys() else self.drawn
        return {name: samples for name, samples in drawn.items() if name in fields}

    def source(self, direction: str) -> str:
        """Return the domain whose samples a direction translates; an InputError says if there are none."""
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
        making = [name for name, wiring in self.scheme.wirings.items() if wiring.offers("fake", self.player)]
        return tuple(name for name in making if not self._absent(name))

    def needed(self, direction: str, value: str = "fake") -> set[str]:
        """Return the names of the networks that a direction's translations, samples or other values are made with."""
        return with_facts(self.plan, self.scheme.wirings[direction].networks_of(value, self.player))

    def multiple(self, direction: str) -> int | None:
        """Return what height and width must be multiples of; None if a direction takes the size of the training only.

        A network that takes pictures of any size says so: its attribute `multiple` is the number that their height and
        width must be multiples of, and its attribute `least`, if it has one, the smallest height and width.
        """
        multiples = [getattr(self.networks[name], "multiple", None) for name in self.needed(direction)]
        known = [multiple for multiple in multiples if isinstance(multiple, int)]
        return math.lcm(*known) if len(known) == len(multiples) else None

    def least(self, direction: str) -> int:
        """Return the smallest height and width that a direction takes."""
        return max(int(getattr(self.networks[name], "least", 1)) for name in self.needed(direction))

    def _absent(self, direction: str, value: str = "fake") -> list[str]:
        return sorted(self.needed(direction, value) - self.scheme.modules.keys())

    def _wiring(self, direction: str, value: str = "fake") -> Wiring:
        """Return the wiring of a direction that can be made; an InputError says if none is, or a network lacks."""
        wiring = self.scheme.wirings.get(direction)
        if wiring is None or not wiring.offers("fake", self.player):
            coupling = self.plan.coupling_choice.component.name
            hint = nearest(direction, self.directions)
            raise InputError(f"the coupling '{coupling}' has no generator of direction {direction}; {hint}")
        if absent := self._absent(direction, value):
            what = "" if value == "fake" else f" for '{value}'"
            lacking = f"the direction {direction} needs the network {absent[0]}{what}"
            raise InputError(f"{lacking}: {self.ignored.get(absent[0], 'its weights are not beside the others')}")
        return wiring

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Put the networks into evaluation mode, without gradients, as they are shown, and back again."""
        held = self._held()
        with looking({**self.scheme.modules, **held}, self._seed(0)), laid_over(self.networks, self.shown):
            if self.plan.train.norm == "batch":
                batch_norm.by_batch(self.networks)
            self.scheme.evaluating = True
            try:
                yield
            finally:
                self.scheme.evaluating = False
                for label in self._held().keys() - held.keys():  # made meanwhile, to look at
                    self._held()[label].train()

    def _held(self) -> dict[str, nn.Module]:
        """Return the modules that values hold, as far as they were made."""
        return {f.label: m for f in self.scheme.formulas.values() if (m := held_by(f.made)) is not None}

    def _seed(self, seed: int) -> int:
        """Return the seed of what networks and values draw while they are looked at."""
        return derive(self.plan.train.seed, "look", *([seed] if seed else []))

    def initial(self) -> "Trained":
        """Return the same networks as they were before the first step."""
        sources, shapes = self.samples("train"), build.shapes_of(self.plan, self.dataset)

        def mean_of(domain: str) -> Tensor:
            return mean(sources[domain], self.plan.train.seed, domain)

        networks = make_networks(self.plan, shapes, self.device, mean_of)
        scheme, _ = build.make_scheme(self.plan, networks, self.device, {})
        return evolve(self, scheme=scheme, step=0, shown=(), ignored={}, rehearsal=0)


@contextmanager
def laid_over(
    networks: Mapping[str, nn.Module], shown: Sequence[Callable[[str], Mapping[str, Tensor]]]
) -> Iterator[dict[str, dict[str, Tensor]]]:
    """Lay tensors over networks' weights, layer by layer, and yield what they cover; take them off again."""
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


def recalibration(plan: Plan, scheme: Scheme, sources: Sources, device: torch.device) -> batch_norm.Recalibration:
    """Measure batch normalisation's statistics anew on training samples of each field, as they are stored."""
    batch, found = plan.train.batch, {}
    for name, samples in sources.items():
        random = random_generator(plan.train.seed, "norm", name.partition(".")[0])
        if isinstance(samples, Stored):
            count = max(1, min(samples.length, CALIBRATION) // batch) * batch
            chosen = torch.randperm(samples.length, generator=random)[:count]
            found[name] = samples.load(chosen.tolist())
        else:
            found[name] = samples.draw(max(1, CALIBRATION // batch) * batch, random)
    return batch_norm.Recalibration(scheme, usual(plan.coupling.players), found, batch, device)
