"""Trained networks with their recipe, for evaluations, sample pictures and translation."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

import torch
from attrs import evolve, field, frozen
from torch import Tensor, nn

from ganforge.data.dataset import Dataset, Drawn, PictureDataset, Sources, Stored, derive, random_generator
from ganforge.data.reading import mean, normal
from ganforge.data.split import Split
from ganforge.errors import InputError, nearest
from ganforge.recipe.plan import Plan, usual
from ganforge.training import batch_norm, build, ranks, sharing
from ganforge.training.networks import make_networks, with_facts
from ganforge.training.state import held_by, laid_over, looking
from ganforge.training.values import Scheme, Values
from ganforge.training.wiring import Wiring

LOOKED_AT = 64  # samples translated at a time


class Seen:
    """A direction outside training: `seen["fake"]`, `"reconstructed" in seen`.

    `name` is the direction, such as `AB`, `domains` are source and target, and `fields` maps values to batch fields.
    """

    def __init__(self, wiring: Wiring, values: Values, player: str) -> None:
        self.name, self.domains, self.fields = wiring.view.name, wiring.view.domains, wiring.view.fields
        self._wiring, self._values, self._player = wiring, values, player

    def __contains__(self, name: str) -> bool:
        return self._wiring.offers(name, self._player)

    def __getitem__(self, name: str) -> Any:
        """Return a value, computed on first use; raise a KeyError if the direction does not offer it."""
        if name not in self:
            raise KeyError(f"the direction {self.name} offers no '{name}'")
        return self._values.ask(self.name, name, self._player)


@frozen(eq=False)
class Trained:
    """The networks of a run after `step` training steps on `dataset`, in evaluation mode inside `evaluating()`.

    `plan.train.norm` says how batch normalisation then works. `scheme` holds the networks and computes values. Each
    function in `shown` returns tensors that replace weights of a network outside training. `ignored` says, for missing
    networks, why files that seem to contain them were ignored. If `rehearsal` is not 0, evaluations are only tried: on
    at most that many samples of each domain, and with as little work as possible. `watched` is the split that replaces
    the test split: `validation`, while a run trains. `sources` are the data read so far. With `together`, the ranks of
    a training share translations: all of them must then ask for the same.
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
        """The player for which values are computed."""
        return usual(self.plan.coupling.players)

    def views(self, batch: Mapping[str, Tensor]) -> list[Seen]:
        """Return the coupling's directions for a batch; use them inside `evaluating()`.

        Drawn fields that are not in the batch are added.
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

        While a run with validation samples trains, it returns these for `test`: the test split stays unused.
        """
        split = self.watched if split == "test" else split
        if split not in self.sources:
            self.sources.update(build.read_split(self.plan, self.dataset, split))
        return {name: self._few(samples) for name, samples in self.sources[split].items()}

    def _few(self, samples: Stored | Drawn) -> Stored | Drawn:
        """Return the samples, limited to those of a rehearsal."""
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

        With `train.norm = "batch"`, a batch has at most as many samples as in training.

        Use it inside `evaluating()`. `value` may name another value, such as `reconstructed`. Random inputs follow from
        `seed`; with `alike`, all samples get those of the first one, such as the same style. Networks with the
        attribute `multiple` also take pictures of other sizes. Raise an InputError if the coupling has no such
        direction.
        """
        return self._made(direction, value, len(samples), batch, seed, {self.source(direction): samples}, alike=alike)

    def draw(self, direction: str, count: int, batch: int = LOOKED_AT, seed: int = 0) -> Tensor:
        """Generate samples of a direction without a source, [count, *target shape]; use it inside `evaluating()`.

        Raise an InputError if the coupling has no such direction, or if it translates.
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
        """Compute a value from the given fields and the other fields that it needs, which must be drawn ones."""
        needed = self._wiring(direction, value).fields_of(value, self.player) - given.keys()
        drawn = self._drawn_of(needed)
        if self.plan.train.norm == "batch":
            batch = min(batch, self.plan.train.batch)
        if missing := sorted(needed - drawn.keys()):
            raise InputError(f"the direction {direction} needs the field '{missing[0]}', neither given nor drawn")
        parts, world = [], ranks.world() if self.together else 1
        for start in range(0, count, batch):
            if start // batch % world != ranks.rank() % world:
                continue
            # Each batch has its own seed, so that it is the same on any rank.
            torch.manual_seed(self._seed(seed) if start == 0 else derive(self._seed(seed), start))
            stop = min(start + batch, count)
            alone = self.plan.train.norm == "batch" and stop - start == 1 < min(batch, count)
            # A batch of one sample cannot be normalised by its own statistics: add the sample before it.
            rows, size = ([start, start - 1], 2) if alone else (slice(start, stop), stop - start)
            fields = {name: samples[rows] for name, samples in given.items()}
            for name, source in drawn.items():
                # Always draw a whole batch, so that a larger count begins with the same samples.
                made = source.draw(batch, random_generator(seed, "draw", name, 0 if alike else start))
                fields[name] = made[:1].expand(size, *made.shape[1:]) if alike else made[:size]
            values = Values(self.scheme, {name: samples.to(self.device) for name, samples in fields.items()})
            made = values.ask(direction, value, self.player).float().cpu()
            parts.append(made[:1] if alone else made)
        return torch.cat(sharing.shared(parts) if world > 1 else parts)

    @cached_property
    def drawn(self) -> Mapping[str, Drawn]:
        """The fields that are drawn, not read: the coupling's noise, and drawn domains of the data set."""
        found = {name: normal(shape) for name, shape in self.plan.coupling.noise.items()}
        if not isinstance(self.dataset, PictureDataset):  # whose samples are files, which may be gone
            with suppress(InputError):
                found |= {name: s for name, s in self.dataset.open("test").items() if isinstance(s, Drawn)}
        return found

    def translates(self, direction: str) -> bool:
        """Return whether a direction translates or only draws; raise an InputError if it does not exist."""
        fields = self._wiring(direction).fields_of("fake", self.player)
        return bool(fields - self._drawn_of(fields).keys())

    def _drawn_of(self, fields: set[str]) -> dict[str, Drawn]:
        """Return the drawn fields among `fields`; the data set is opened only if the coupling does not draw all."""
        noise = {name: normal(shape) for name, shape in self.plan.coupling.noise.items()}
        drawn = noise if fields <= noise.keys() else self.drawn
        return {name: samples for name, samples in drawn.items() if name in fields}

    def source(self, direction: str) -> str:
        """Return the source domain of a direction; raise an InputError if it only draws."""
        view = self._wiring(direction).view
        if not self.translates(direction) or "source" not in view.fields:
            raise InputError(f"the direction {direction} does not translate, it draws; see `ganforge draw`")
        return view.fields["source"]

    def target(self, direction: str) -> str:
        """Return the target domain of a direction."""
        return self._wiring(direction).view.domains[-1]

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions whose networks exist, such as `AB`."""
        making = [name for name, wiring in self.scheme.wirings.items() if wiring.offers("fake", self.player)]
        return tuple(name for name in making if not self._absent(name))

    def needed(self, direction: str, value: str = "fake") -> set[str]:
        """Return the names of the networks that a value of a direction needs."""
        return with_facts(self.plan, self.scheme.wirings[direction].networks_of(value, self.player))

    def multiple(self, direction: str) -> int | None:
        """Return the number that height and width must be multiples of; None if only the training's size works.

        Networks for any size have the attribute `multiple`, which height and width must be multiples of, and possibly
        `least`, their minimum.
        """
        multiples = [getattr(self.networks[name], "multiple", None) for name in self.needed(direction)]
        known = [multiple for multiple in multiples if isinstance(multiple, int)]
        return math.lcm(*known) if len(known) == len(multiples) else None

    def least(self, direction: str) -> int:
        """Return the smallest height and width that a direction accepts."""
        return max(int(getattr(self.networks[name], "least", 1)) for name in self.needed(direction))

    def _absent(self, direction: str, value: str = "fake") -> list[str]:
        return sorted(self.needed(direction, value) - self.scheme.modules.keys())

    def _wiring(self, direction: str, value: str = "fake") -> Wiring:
        """Return the wiring of a direction; raise an InputError if it does not exist, or a network is missing."""
        wiring = self.scheme.wirings.get(direction)
        if wiring is None or not wiring.offers("fake", self.player):
            coupling = self.plan.coupling_choice.component.name
            hint = nearest(direction, self.directions)
            raise InputError(f"the coupling '{coupling}' has no generator for the direction {direction}; {hint}")
        if absent := self._absent(direction, value):
            what = "" if value == "fake" else f" for '{value}'"
            lacking = f"the direction {direction} needs the network {absent[0]}{what}"
            raise InputError(f"{lacking}: {self.ignored.get(absent[0], 'its weights are missing')}")
        return wiring

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Put the networks into evaluation mode without gradients, with the tensors of `shown`, and restore them."""
        held = self._held()
        with looking({**self.scheme.modules, **held}, self._seed(0)), laid_over(self.networks, self.shown):
            if self.plan.train.norm == "batch":
                batch_norm.by_batch(self.networks)
            self.scheme.evaluating = True
            try:
                yield
            finally:
                self.scheme.evaluating = False
                for label in self._held().keys() - held.keys():  # created within the context
                    self._held()[label].train()

    def _held(self) -> dict[str, nn.Module]:
        """Return the modules of the values that exist so far."""
        return {f.label: m for f in self.scheme.formulas.values() if (m := held_by(f.made)) is not None}

    def _seed(self, seed: int) -> int:
        """Return the seed of random numbers outside training."""
        return derive(self.plan.train.seed, "look", *([seed] if seed else []))

    def initial(self) -> "Trained":
        """Return the networks as they were before the first step."""
        sources, shapes = self.samples("train"), build.shapes_of(self.plan, self.dataset)

        def mean_of(domain: str) -> Tensor:
            return mean(sources[domain], self.plan.train.seed, domain)

        networks = make_networks(self.plan, shapes, self.device, mean_of)
        scheme, _ = build.make_scheme(self.plan, networks, self.device, {})
        return evolve(self, scheme=scheme, step=0, shown=(), ignored={}, rehearsal=0)
