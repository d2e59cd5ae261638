"""A recipe understood: every component found, every setting checked and filled in."""

from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from attrs import Attribute, field, frozen, validators

from ganforge.components.coupling import Coupling, Network
from ganforge.components.registry import Component
from ganforge.data.augment import Augment
from ganforge.recipe.layers import Recipe

Phase = Literal["discriminator", "generator"]


@frozen
class Choice:
    """A component with all of its settings."""

    component: Component
    settings: Mapping[str, Any]

    def make(self, **given: Any) -> Any:
        """Call the factory with what it asks for of `given`, and with the settings."""
        return self.component.factory(*(given[name] for name in self.component.signature.given), **self.settings)


@frozen
class Schedule:
    """A weight that changes at given steps: `values[i]` holds from `steps[i]` on.

    >>> schedule = Schedule([0, 100], [0.01, 0.5])
    >>> schedule.at(99), schedule.at(100)
    (0.01, 0.5)
    """

    steps: list[int]
    values: list[float] = field()

    @values.validator
    def _check(self, _: "Attribute[list[float]]", values: list[float]) -> None:
        if not self.steps or self.steps[0] != 0 or self.steps != sorted(set(self.steps)):
            raise ValueError("steps must ascend from 0")
        if len(values) != len(self.steps):
            raise ValueError(f"{len(self.steps)} steps need as many values, got {len(values)}")

    def at(self, step: int) -> float:
        """Return the weight at a step."""
        return self.values[bisect_right(self.steps, step) - 1]


@frozen
class LossTable:
    """What the engine itself reads of a `[losses.*]` table; every other key is a setting of the loss.

    Attributes:
        weight: factor of the loss in the sum, a number or a schedule.
        on: for an argument of the loss, another tensor of the view than the one of its name.
        phase: the only phase in which the loss counts; by default, all that it has.
    """

    weight: float | Schedule = 1.0
    on: dict[str, str] = field(factory=dict)
    phase: Phase | None = None

    def weight_at(self, step: int) -> float:
        """Return the weight at a step."""
        return self.weight.at(step) if isinstance(self.weight, Schedule) else self.weight


@frozen
class LossPlan:
    """A loss under its role, such as `adversarial`."""

    role: str
    choice: Choice
    table: LossTable

    def asked(self, phase: str) -> dict[str, str] | None:
        """For each argument of the loss in a phase the view's tensor; None where it does not count there."""
        asked = self.choice.component.asked(phase)
        if asked is None or self.table.phase not in (None, phase):
            return None
        return {argument: self.table.on.get(argument, argument) for argument in asked}


@frozen
class Train:
    """`[train]`: how long, how often, how exactly. Intervals are in steps; 0 means never.

    Attributes:
        steps: number of training steps.
        batch: samples of each domain in a step.
        seed: everything random follows from it.
        log_every: interval of log records, each the mean over the interval.
        checkpoint_every: interval of checkpoints; there is always one at the end.
        sample_every: interval of sample pictures.
        evaluate_every: interval of evaluations; the recipe's evaluations always run at the end.
        discriminator_every: interval of discriminator updates.
        generator_every: interval of generator updates.
        alternate: never update both in one step: where both are due, only the rarer one is
            (`discriminator_every = 3, alternate = true` is the rhythm D, G, G).
        precision: of the networks' products: `bf16`, `fp16` (with scaled gradients), `tf32` on CUDA, or
            `fp32`; weights and losses are fp32 always. `auto`: bf16 for pictures where the device has it natively.
        channels_last: memory layout of pictures and their networks' weights; `auto`: where it is faster.
        compile: `trace` records a step's operations once and replays them without autograd's bookkeeping, with the same
            results; `true` has them compiled as well, which takes half a minute and a C++ compiler, or Triton on CUDA;
            `auto`: `trace` for small networks, whose steps are mostly bookkeeping, else `false`.
        cuda_graph: launch a step's recorded operations as CUDA graphs; `auto` is `false`.
        threads: CPU threads, 0 for torch's own choice, but one where a batch is so small that threads would only wait
            for each other (measured on the toy: two are half as fast as one, and far slower on a busy machine).
        keep: number of newest checkpoints that are kept, 0 keeps all.
        samples: number of fixed test inputs of each domain in the sample pictures.
        residency: where training samples are kept: `device`; `host`, the main memory; `disk`, mapped into memory;
            `auto` takes the first in which they fit twice. From `host` and `disk` batches are fetched ahead.
        augment: random changes of training pictures, on the device.
        norm: statistics with which batch normalisation translates outside of training: `recalibrated`, measured anew on
            training samples of the generator's own domain whenever weights are saved or looked at; `running`, the
            averages of the training, in which real and translated inputs mix; `batch`, those of each batch itself.
        best: a metric of the recipe's evaluations, such as `modes.clean`, the highest value of which picks the
            checkpoint `best`; with a minus before it the lowest. It is looked at every `evaluate_every` steps.
        on_divergence: what to do when losses or weights are no longer finite: `stop`; or `rewind` to the newest
            checkpoint and go on from there with other batches, up to three times.
        on_write_error: what to do when the disk is full, or cannot be written: `stop`; or `go_on`, and try again at the
            next checkpoint.
        observers: names of optional observers, such as `csv`.
    """

    steps: int = field(validator=validators.ge(1))
    batch: int = field(validator=validators.ge(1))
    seed: int = field(default=0, validator=validators.ge(0))
    log_every: int = field(default=50, validator=validators.ge(0))
    checkpoint_every: int = field(default=1000, validator=validators.ge(0))
    sample_every: int = field(default=1000, validator=validators.ge(0))
    evaluate_every: int = field(default=0, validator=validators.ge(0))
    discriminator_every: int = field(default=1, validator=validators.ge(1))
    generator_every: int = field(default=1, validator=validators.ge(1))
    alternate: bool = False
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    channels_last: bool | Literal["auto"] = "auto"
    compile: bool | Literal["auto", "trace"] = "auto"
    cuda_graph: bool | Literal["auto"] = "auto"
    threads: int = field(default=0, validator=validators.ge(0))
    keep: int = field(default=3, validator=validators.ge(0))
    samples: int = field(default=8, validator=validators.ge(1))
    residency: Literal["auto", "device", "host", "disk"] = "auto"
    augment: Augment = field(factory=Augment)
    norm: Literal["recalibrated", "running", "batch"] = "recalibrated"
    best: str = ""
    on_divergence: Literal["stop", "rewind"] = "stop"
    on_write_error: Literal["stop", "go_on"] = "stop"
    observers: list[str] = field(factory=list)

    def phases(self, step: int) -> tuple[Phase, ...]:
        """Return the phases that a step plays, in their order.

        >>> ["".join(p[0] for p in Train(9, 1, discriminator_every=3, alternate=True).phases(s)) for s in range(4)]
        ['d', 'g', 'g', 'd']
        """
        discriminator, generator = step % self.discriminator_every == 0, step % self.generator_every == 0
        if self.alternate and discriminator and generator:
            return ("discriminator",) if self.discriminator_every > self.generator_every else ("generator",)
        due: list[tuple[Phase, bool]] = [("discriminator", discriminator), ("generator", generator)]
        return tuple(phase for phase, plays in due if plays)


@frozen
class Plan:
    """Everything that a run needs to know."""

    recipe: Recipe
    dataset: Choice
    coupling_choice: Choice
    coupling: Coupling
    networks: Mapping[str, tuple[Network, Choice]]
    losses: tuple[LossPlan, ...]
    optimizers: Mapping[str, Choice]
    evaluations: Mapping[str, Choice]
    train: Train
    plugin_files: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name
