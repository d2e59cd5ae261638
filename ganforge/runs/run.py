"""One training: its folder, its loop, its checkpoints, and the observers that look on."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from attrs import define, field
from filelock import FileLock
from torch import Tensor, nn

from ganforge.components.plugins import Plugins
from ganforge.data.batches import Batches, Sources, oddities
from ganforge.data.dataset import Dataset, Split, Stored, derive
from ganforge.disk import UNWRITABLE
from ganforge.errors import DivergedError, InputError, RecipeError, StoppedError
from ganforge.recipe.lock import lock_text
from ganforge.recipe.plan import Plan
from ganforge.runs import checkpoint
from ganforge.runs.assemble import assemble, probes_of
from ganforge.runs.interrupts import Requests, requests, telling_of_memory, unwritable
from ganforge.runs.metrics import Metrics, best_of, evaluate
from ganforge.runs.trained import Seen, Trained, laid_over, recalibration
from ganforge.training.engine import Engine
from ganforge.training.meter import Meter, first_not_finite
from ganforge.training.norm import Recalibration
from ganforge.training.state import looking, random_state, seed_random, set_random_state

TICK_SECONDS = 0.25
UNLOGGED = 1000  # steps after which losses are looked at where no log is wanted
REWINDS = 3


@define(eq=False)
class Run:
    """A training run and where it stands: after `step` steps. Observers get it and only read.

    Everything that it writes is in `folder`, which the lock `held` keeps other processes out of. It goes on from the
    checkpoint `start`, if there is one. What was found odd so far is in `warnings`.
    """

    folder: Path
    plan: Plan
    plugins: Plugins = field(repr=False)
    device: torch.device
    dataset: Dataset = field(repr=False)
    sources: Mapping[Split, Sources] = field(repr=False)
    held: FileLock = field(repr=False)
    step: int = 0
    start: Path | None = None
    warnings: list[str] = field(factory=list)
    metrics: Metrics = field(factory=dict)
    engine: Engine = field(init=False, repr=False)
    _batches: Batches = field(init=False, repr=False)
    _probes: dict[str, Tensor] = field(init=False, repr=False)
    _meter: Meter = field(init=False, repr=False)
    _recalibration: Recalibration | None = field(init=False, default=None, repr=False)
    _measured_at: int = field(init=False, default=-1, repr=False)
    _rewinds: int = field(init=False, default=0, repr=False)
    _best: float | None = field(init=False, default=None, repr=False)
    _logged: tuple[int, float] = field(init=False, default=(0, 0.0), repr=False)

    @property
    def lock(self) -> str:
        """The locked recipe's text."""
        known = self.plugins.known
        skipped = {f"{split}.{domain}": len(broken) for (split, domain), broken in self._skipped.items()}
        used = {choice.component.plugin: known[choice.component.plugin].version for choice in self.plan.choices}
        return lock_text(self.plan, {"ganforge": self.plugins.version(), **used}, str(self.device), skipped)

    @property
    def _skipped(self) -> dict[tuple[Split, str], Sequence[str]]:
        """For a split and a domain what is wrong with each broken sample that is left out."""
        sources = [(split, *source) for split in self.sources for source in self.sources[split].items()]
        return {(split, name): s.skipped for split, name, s in sources if isinstance(s, Stored) and s.skipped}

    @property
    def trained(self) -> Trained:
        """The networks as they are now, for evaluation."""
        shown = [update.shown for update in self.engine.updates]
        if self._recalibration is not None:
            if self._measured_at != self.step:
                self._recalibration.forget()
                self._measured_at = self.step
            shown.append(self._recalibration.shown)
        return Trained(self.plan, self.dataset, self.engine.scheme, self.device, self.step, tuple(shown))

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call an observers' hook."""
        for _ in self.plugins.each(hook, run=self, **arguments):
            pass

    def warn(self, message: str) -> None:
        """Record something odd, once, and tell the observers."""
        if message not in self.warnings:
            self.warnings.append(message)
            self.notify("ganforge_warned", message=message)

    @contextmanager
    def sample(self) -> Iterator[Sequence[Seen]]:
        """Yield the coupling's directions with fixed test inputs, in evaluation mode: what `translate` would give."""
        trained = self.trained
        with trained.evaluating():
            yield trained.views(self._probes)

    def build(self) -> None:
        """Read the data and make the networks; go on from the checkpoint, if there is one."""

        def report(what: str, done: int, total: int) -> None:
            self.notify("ganforge_working", what=what, done=done, total=total)

        plan, sources = self.plan, self.sources["train"]
        seed_random(derive(plan.train.seed, "run"))
        for message in oddities(self.sources):
            self.warn(message)
        with telling_of_memory(plan.train.batch, self._fitting):
            self._probes = probes_of(plan, self.sources["test"])
            self.engine, self._batches = assemble(plan, self.dataset, sources, self.device, report)
            if plan.train.norm == "recalibrated":
                self._recalibration = recalibration(plan, self.engine.scheme, sources, self.device)
        self._meter = Meter(self.engine)
        if self.start is not None:
            self._restore(self.start)

    def train(self) -> None:
        """Train until the recipe's last step, then evaluate.

        A RunFailedError says that losses or weights are no longer finite, that memory ran out, or that the disk cannot
        be written; a StoppedError that it was asked to stop, with its state saved.
        """
        self._logged = (self.step, time.monotonic())
        asked = Requests()
        try:
            self.notify("ganforge_started")
            if self.step == 0 and self.plan.record.sample_every:
                self.notify("ganforge_sampled")
            with telling_of_memory(self.plan.train.batch, self._fitting), requests() as asked:
                self._loop(asked)
            if self.step == self.plan.train.steps and asked.stop is None:
                self.evaluate()
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            raise unwritable(self.folder, error) from error
        finally:
            with suppress(OSError):
                self.notify("ganforge_ended")
        if asked.stop is not None:
            raise StoppedError(asked.stop)

    def _loop(self, asked: Requests) -> None:
        ticked = time.monotonic()
        while self.step < self.plan.train.steps and asked.stop is None:
            self._meter.add(self.step, self.engine.step(self.step, self._batches(self.step)))
            self.step += 1
            if reason := self.engine.recording.reason:
                self.warn(f"steps are computed one by one, not recorded: {reason}")
            try:
                self._after_step(asked)
            except DivergedError as error:
                self._rewind(error)
            except OSError as error:
                if error.errno not in UNWRITABLE or self.plan.record.on_write_error == "stop":
                    raise
                self.warn(f"step {self.step}: {unwritable(self.folder, error)}; going on")
            if time.monotonic() - ticked > TICK_SECONDS:
                ticked = time.monotonic()
                self.notify("ganforge_ticked")

    def _after_step(self, asked: Requests) -> None:
        """Log, draw, evaluate and save what is due."""
        record, last = self.plan.record, self.step == self.plan.train.steps

        def due(every: int) -> bool:
            return every > 0 and (last or self.step % every == 0)

        if due(record.log_every or UNLOGGED):
            self._log()
        if due(record.sample_every):
            self.notify("ganforge_sampled")
        if due(record.evaluate_every) and not last:
            self.evaluate()
        if due(record.checkpoint_every) or last or asked.stop is not None or asked.save:
            asked.save = False
            self.save()

    def _fitting(self, most: int) -> int:
        """Try which batch fits into memory, on an accelerator alone: a CPU's system might kill the process."""
        if self.device.type == "cpu" or not hasattr(self, "engine"):
            return most
        one = {domain: probe[:1].to(self.device) for domain, probe in self._probes.items()}
        return self.engine.fitting_batch(self.step, one, most)

    def _rewind(self, error: DivergedError) -> None:
        """Go back to the newest checkpoint and on from there with other batches, if the recipe says so."""
        if self.plan.train.on_divergence == "stop" or self._rewinds >= REWINDS:
            raise error
        try:
            folder = checkpoint.newest_sound(self.folder / "checkpoints", self.warn)
        except InputError:
            raise error from None
        self.step = checkpoint.read_step(folder)
        self._restore(folder, rewinds=self._rewinds + 1)
        self.warn(f"{error}: back to step {self.step}, and on with other batches ({self._rewinds} of {REWINDS} times)")
        self.notify("ganforge_started")

    def evaluate(self) -> Metrics:
        """Run the recipe's evaluations; write `metrics.json` and, after the last step, the figures."""
        trained = self.trained
        with trained.evaluating():
            self.metrics = evaluate(trained, self.folder, figures=self.step == self.plan.train.steps)
        if self.metrics:
            self.notify("ganforge_evaluated", metrics=self.metrics)
        if self.plan.record.best:
            try:
                value = best_of(self.plan, self.metrics)
            except RecipeError:
                self.save()
                raise
            if self._best is None or value > self._best:
                self._best = value
                self.save(best=True)
        return self.metrics

    @property
    def _learnt(self) -> dict[str, nn.Module]:
        """The networks that a player learns; one that is frozen is not saved, but made anew from its settings."""
        networks = self.engine.networks
        return {name: networks[name] for name in networks if self.plan.networks[name][0].player is not None}

    def save(self, best: bool = False) -> Path:
        """Write a checkpoint, the weights in it ready for use in evaluation mode; `best` if none has a better metric.

        A DivergedError says that losses or weights are no longer finite, and not worth keeping.
        """
        self._require_finite()
        for name, network in self.engine.networks.items():
            if wrong := first_not_finite(network.state_dict()):
                raise DivergedError(f"the weights {name}.{wrong} are no longer finite at step {self.step}")
        training = {
            "players": {name: player.state_dict() for name, player in self.engine.players.items()},
            "held": {label: held.state() for label, held in self.engine.held.items()},
            "random": random_state(),
            "meter": self._meter.state_dict(),
            "best": self._best,
            "rewinds": self._rewinds,
            "plugins": dict(self.plugins.each("ganforge_saving", run=self)),
        }
        trained, parent, keep = self.trained, self.folder / "checkpoints", self.plan.record.keep
        with looking(self.engine.modules, 0), laid_over(trained.networks, trained.shown) as beneath:
            training["beneath"] = beneath
            folder = checkpoint.save(parent, self.step, self._learnt, training, self.lock, keep=keep, best=best)
        self.notify("ganforge_checkpointed", folder=folder)
        return folder

    def _restore(self, folder: Path, rewinds: int | None = None) -> None:
        """Put everything back as a checkpoint has it; after a rewind, go on with the batches of that one."""
        training = checkpoint.load_training(folder)
        for name, network in self._learnt.items():
            checkpoint.load_weights(folder / f"{name}.safetensors", network)
            state = network.state_dict()
            for key, value in training["beneath"][name].items():
                state[key].copy_(value)
        for name, player in self.engine.players.items():
            player.load_state_dict(training["players"][name])
        for label, held in self.engine.held.items():
            held.restore(training["held"].get(label, {}), self.device)
        set_random_state(training["random"])
        self._meter.load_state_dict(training["meter"], self.device)
        self._best, self._measured_at = training["best"], -1
        self._rewinds = training["rewinds"] if rewinds is None else rewinds
        if self._rewinds:
            self._batches.reseed(derive(self.plan.train.seed, "rewind", self._rewinds))
        self.notify("ganforge_restored", states=training["plugins"])

    def close(self) -> None:
        """Let another process have the run's folder."""
        self.held.release()

    def _log(self) -> None:
        """Hand the means since the last record to the observers; this is where the loop waits for the device."""
        self._require_finite()
        means = self._meter.means()
        self._meter.clear()
        before, then = self._logged
        self._logged = (self.step, time.monotonic())
        speed = (self.step - before) / max(self._logged[1] - then, 1e-9)
        rates = {name: player.rate for name, player in self.engine.players.items()}
        record = {"step": self.step, "losses": means, "rates": rates, "steps_per_second": round(speed, 3)}
        if self.plan.record.log_every:
            self.notify("ganforge_logged", record=record)

    def _require_finite(self) -> None:
        if culprit := self._meter.culprit():
            raise DivergedError(
                f"the loss '{culprit.name}' is {culprit.value} at step {culprit.step}; "
                "checkpoints from before are kept. Try a lower learning rate"
            )
