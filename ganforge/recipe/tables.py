"""The keys of a recipe's tables that the engine reads itself; every other key is a setting of a component."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen, validators

from ganforge.components.schedule import Number
from ganforge.data.augment import Augment


@frozen
class LossTable:
    """The keys of a `[losses.*]` table that the engine reads, besides `use`; every other key is a setting of the loss.

    Attributes:
        weight: factor in the sum, a number or a schedule; while it is 0, the loss is not computed.
        on: binds an argument to a value of another name.
        player: the only player for which the loss counts; by default, all players that it has a method for. A function
            counts for the generator, or for the coupling's last player if there is no generator.
    """

    weight: Number = 1.0
    on: dict[str, str] = field(factory=dict)
    player: str | None = None


@frozen
class ValueTable:
    """The keys of a `[values.*]` table that the engine reads, besides `use`; every other key is a setting of the value.

    Attributes:
        on: binds an argument to a value of another name.
        lasts: whether it lasts for the whole step, whatever is updated in between; by default, as registered.
    """

    on: dict[str, str] = field(factory=dict)
    lasts: bool | None = None


def _share(_: object, attribute: Any, value: Any) -> None:
    """0 < x < 1, "own", or a folder."""
    if isinstance(value, float) and not 0 < value < 1:
        raise ValueError(f"{attribute.name} must be between 0 and 1")


@frozen
class DataTable:
    """The keys of `[dataset]` that the engine reads, besides `use`; every other key is a setting of the data set.

    Attributes:
        validation: samples that choose the checkpoint `best` and are never trained on: a share of the training samples,
            such as 0.05; a folder; or `own`, those that come with the data. Samples that belong together stay together.
            During training, evaluations and sample pictures use these; the test split is used after the last step.
    """

    validation: float | Literal["own"] | Path | None = field(default=None, validator=_share)


@frozen
class Train:
    """`[train]`: settings that change the result. Intervals are in steps.

    Attributes:
        steps: number of training steps.
        batch: samples of each domain in a step.
        seed: seed of all random numbers.
        every: interval of each player's updates; 1 by default.
        alternate: never update two players in one step: if several are due, only the rarest one is updated
            (`every = { discriminator = 3 }, alternate = true` gives the rhythm D, G, G).
        augment: random changes of training pictures, on the device.
        accumulate: process a batch in this many equal parts, one after the other, to save memory: gradients are
            averaged over the parts before an optimizer steps. Batch normalisation, and losses over a whole batch, see
            each part alone.
        patience: end the run after this many evaluations in a row without an improvement of `record.best`; 0 disables
            this.
        norm: statistics of batch normalisation outside training: `recalibrated`, measured on training samples of the
            generator's own domain whenever weights are saved or used; `running`, the averages of the training, in which
            real and translated inputs mix; `batch`, those of each batch itself.
        on_divergence: what to do when losses or weights are no longer finite: `stop`; or `rewind` to the newest
            checkpoint and continue from there with other batches, up to three times.
        start: a run, a checkpoint, a weights file or a folder of weights to start from, relative to the recipe's file,
            or a name such as `hub:NAME`. It gives the initial state of networks, values and losses; optimizers and the
            step count start from scratch.
        start_lenient: leave out, with a warning, what of `start` is missing or does not fit, instead of stopping.
    """

    steps: int = field(validator=validators.ge(1))
    batch: int = field(validator=validators.ge(1))
    seed: int = field(default=0, validator=validators.ge(0))
    every: dict[str, int] = field(
        factory=dict, validator=validators.deep_mapping(validators.instance_of(str), validators.ge(1))
    )
    alternate: bool = False
    augment: Augment = field(factory=Augment)
    accumulate: int = field(default=1, validator=validators.ge(1))
    patience: int = field(default=0, validator=validators.ge(0))
    norm: Literal["recalibrated", "running", "batch"] = "recalibrated"
    on_divergence: Literal["stop", "rewind"] = "stop"
    start: str | None = None
    start_lenient: bool = False

    def playing(self, players: Sequence[str], step: int) -> tuple[str, ...]:
        """Return the players that play in a step, in the coupling's order.

        >>> train = Train(9, 1, every={"discriminator": 3}, alternate=True)
        >>> ["".join(train.playing(("discriminator", "generator"), step))[0] for step in range(4)]
        ['d', 'g', 'g', 'd']
        """
        every = {player: self.every.get(player, 1) for player in players}
        due = [player for player in players if step % every[player] == 0]
        if self.alternate and due:
            rarest = max(every[player] for player in due)
            due = [player for player in due if every[player] == rarest]
        return tuple(due)


@frozen
class Compute:
    """`[compute]`: how the training is computed.

    Attributes:
        precision: precision of the networks' products: `bf16`, `fp16` (with gradient scaling), `tf32` on CUDA, or
            `fp32`; weights and losses are always fp32. `auto`: bf16 for pictures if the device supports it natively.
        channels_last: memory layout of pictures and their networks' weights; `auto`: where it is faster. On a CPU, some
            functions are then computed by other algorithms, equal within rounding; `false` leaves all to torch.
        compile: `trace` records a step's operations once and replays them without autograd's overhead, with the same
            results; `true` also compiles them, which takes half a minute and a C++ compiler, or Triton on CUDA;
            `auto`: `trace` for small networks, whose steps are mostly overhead, else `false`.
        cuda_graph: launch a step's recorded operations as CUDA graphs, on two streams if that is faster. `auto`: on
            CUDA, where they give what the unrecorded step gives, whose memory must fit beside them; else `false`.
        threads: CPU threads; 0 is torch's default, but one thread for small batches, where threads would only wait for
            each other (measured on the toy: two are half as fast as one, and far slower on a busy machine).
        residency: where training samples are kept: `device`; `host`, the main memory; `disk`, mapped into memory;
            `auto` is the first in which they fit twice. From `host` and `disk`, batches are fetched ahead.
        sync_norm: if several devices share a batch, whether batch normalisation uses the statistics of the whole batch,
            so that the number of devices does not matter; or, which is faster, those of each device's samples.
    """

    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    channels_last: bool | Literal["auto"] = "auto"
    compile: bool | Literal["auto", "trace"] = "auto"
    cuda_graph: bool | Literal["auto"] = "auto"
    threads: int = field(default=0, validator=validators.ge(0))
    residency: Literal["auto", "device", "host", "disk"] = "auto"
    sync_norm: bool = True


@frozen
class Record:
    """`[record]`: what is recorded and when, besides its `observers`. Intervals are in steps; 0 means never.

    Attributes:
        log_every: interval of log records, each the mean over the interval.
        checkpoint_every: interval of checkpoints; there is always one at the end.
        sample_every: interval of sample pictures.
        evaluate_every: interval of evaluations; the recipe's evaluations always run at the end.
        keep: number of newest checkpoints to keep; 0 keeps all.
        samples: number of fixed test inputs of each domain in the sample pictures.
        best: a metric of the recipe's evaluations, such as `modes.clean`, whose highest value selects the checkpoint
            `best`; with a minus before it, the lowest. It is measured every `evaluate_every` steps on the samples of
            `dataset.validation`; if that is not set, on a twentieth of the training samples.
        on_write_error: what to do when the disk is full or not writable: `stop`; or `go_on`, and try again at the next
            checkpoint.
    """

    log_every: int = field(default=50, validator=validators.ge(0))
    checkpoint_every: int = field(default=1000, validator=validators.ge(0))
    sample_every: int = field(default=1000, validator=validators.ge(0))
    evaluate_every: int = field(default=0, validator=validators.ge(0))
    keep: int = field(default=3, validator=validators.ge(0))
    samples: int = field(default=8, validator=validators.ge(1))
    best: str = ""
    on_write_error: Literal["stop", "go_on"] = "stop"
