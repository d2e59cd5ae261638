"""One training: its folder, its loop, its checkpoints, and the observers that look on."""

import json
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from attrs import define, field
from filelock import FileLock
from torch import Tensor

from ganforge.components.plugins import Plugins
from ganforge.components.registry import Component
from ganforge.data.batches import Batches, Sources
from ganforge.data.dataset import Dataset, Split, Stored, as_float, derive, random_generator
from ganforge.disk import UNWRITABLE, write_text
from ganforge.errors import DivergedError, InputError, RecipeError, RunFailedError, StoppedError, nearest
from ganforge.recipe.lock import lock_text
from ganforge.recipe.plan import Plan, usual
from ganforge.runs import checkpoint, signals
from ganforge.runs.trained import Seen, Trained, laid_over, norm_inputs
from ganforge.training import build, numerics
from ganforge.training import norm as norms
from ganforge.training.engine import Engine
from ganforge.training.meter import Meter, first_not_finite
from ganforge.training.state import looking, random_state, seed_random, set_random_state

TICK_SECONDS = 0.25
UNLOGGED = 1000  # steps after which losses are looked at where no log is wanted
REWINDS = 3


@define(eq=False)
class Run:
    """A training run and where it stands. Observers get it and only read.

    Attributes:
        folder: everything the run writes is in here.
        plan: its recipe, understood.
        step: number of steps that are done.
        start: the checkpoint from which it goes on.
        held: the lock that keeps other processes out of the folder.
        warnings: what was found odd so far.
    """

    folder: Path
    plan: Plan
    plugins: Plugins = field(repr=False)
    device: torch.device
    dataset: Dataset = field(repr=False)
    sources: Mapping[Split, Sources] = field(repr=False)
    step: int = 0
    start: Path | None = None
    warnings: list[str] = field(factory=list)
    metrics: dict[str, dict[str, float]] = field(factory=dict)
    held: FileLock | None = field(default=None, repr=False)
    engine: Engine = field(init=False, repr=False)
    _batches: Batches = field(init=False, repr=False)
    _probes: dict[str, Tensor] = field(init=False, repr=False)
    _meter: Meter = field(init=False, repr=False)
    _recalibration: norms.Recalibration | None = field(init=False, default=None, repr=False)
    _measured_at: int = field(init=False, default=-1, repr=False)
    _rewinds: int = field(init=False, default=0, repr=False)
    _best: float | None = field(init=False, default=None, repr=False)
    _logged: tuple[int, float] = field(init=False, default=(0, 0.0), repr=False)

    @property
    def lock(self) -> str:
        """The locked recipe's text."""
        used = {"ganforge": self.plugins.version()}
        for component in [*self._components(), *(choice.component for choice in self.plan.observers.values())]:
            used[component.plugin] = self.plugins.known[component.plugin].version
        skipped = {
            f"{split}.{domain}": len(samples.skipped)
            for split, sources in self.sources.items()
            for domain, samples in sources.items()
            if isinstance(samples, Stored) and samples.skipped
        }
        return lock_text(self.plan, used, str(self.device), skipped)

    def _components(self) -> list[Component]:
        """Every component that the recipe names, but those that only look on."""
        plan = self.plan
        choices = [plan.dataset, plan.coupling_choice, *(choice for _, choice in plan.networks.values())]
        choices += [value.choice for value in plan.values.values() if value.of_recipe]
        choices += [loss.choice for loss in plan.losses]
        choices += [*plan.updates.values(), *plan.optimizers.values(), *plan.evaluations.values()]
        return [choice.component for choice in choices]

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
        numerics.apply(self.plan.compute)
        bound = build.check(self.plan, self.dataset)
        seed_random(derive(self.plan.train.seed, "run"))

        def report(what: str, done: int, total: int) -> None:
            self.notify("ganforge_working", what=what, done=done, total=total)

        train, samples_shown = self.plan.train, self.plan.record.samples
        self._probes = {}
        self._tell_of_skipped()
        with self._telling_of_memory(), self.plan.located(("dataset",)):
            self._batches = Batches(
                self.sources["train"],
                batch=train.batch,
                seed=train.seed,
                device=self.device,
                groups=self.dataset.groups,
                residency=self.plan.compute.residency,
                augment=train.augment,
                report=report,
            )
            for domain, samples in self.sources["test"].items():
                if isinstance(samples, Stored):
                    self._probes[domain] = as_float(samples.load(range(min(samples_shown, samples.length))))
                else:
                    self._probes[domain] = samples.draw(samples_shown, random_generator(train.seed, "probe", domain))
        size = min(len(probe) for probe in self._probes.values())
        self._probes = {domain: probe[:size] for domain, probe in self._probes.items()}
        self.engine = build.make_engine(self.plan, bound, self._batches, build.shapes_of(self.plan, self.dataset))
        if train.norm == "recalibrated":
            with self._telling_of_memory():
                inputs = norm_inputs(self.plan, self.sources["train"])
            player = usual(self.plan.coupling.players)
            self._recalibration = norms.Recalibration(self.engine.scheme, player, inputs, train.batch, self.device)
        self._meter = Meter(self.engine)
        if self.start is not None:
            self._restore(self.start)

    def _tell_of_skipped(self) -> None:
        for split, sources in self.sources.items():
            for domain, samples in sources.items():
                if isinstance(samples, Stored) and samples.skipped:
                    first = "; ".join(samples.skipped[:3])
                    self.warn(f"{len(samples.skipped)} broken samples of {split} {domain} are skipped: {first}")

    def train(self) -> None:
        """Train until the recipe's last step, then evaluate.

        Raises:
            RunFailedError: losses or weights are no longer finite, memory ran out, or the disk cannot be written.
            StoppedError: it was asked to stop; its state is saved.
        """
        train, record = self.plan.train, self.plan.record
        self._logged = (self.step, time.monotonic())
        asked = signals.Requests()
        try:
            self.notify("ganforge_started")
            if self.step == 0:
                self._sample(record.sample_every)
            with self._telling_of_memory(), signals.requests() as asked:
                self._loop(asked)
            if self.step == train.steps and asked.stop is None:
                self.evaluate()
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            raise self._unwritable(error) from error
        finally:
            with suppress(OSError):
                self.notify("ganforge_ended")
        if asked.stop is not None:
            raise StoppedError(asked.stop)

    def _loop(self, asked: signals.Requests) -> None:
        train = self.plan.train
        ticked = time.monotonic()
        while self.step < train.steps and asked.stop is None:
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
                self.warn(f"step {self.step}: {self._unwritable(error)}; going on")
            if time.monotonic() - ticked > TICK_SECONDS:
                ticked = time.monotonic()
                self.notify("ganforge_ticked")

    def _after_step(self, asked: signals.Requests) -> None:
        """Log, draw, evaluate and save what is due."""
        record = self.plan.record
        last = self.step == self.plan.train.steps
        if _due(record.log_every or UNLOGGED, self.step) or last:
            self._log(silent=not record.log_every)
        if _due(record.sample_every, self.step) or last:
            self._sample(record.sample_every)
        if _due(record.evaluate_every, self.step) and not last:
            self.evaluate()
        if _due(record.checkpoint_every, self.step) or last or asked.stop is not None or asked.save:
            asked.save = False
            self.save()

    @contextmanager
    def _telling_of_memory(self) -> Iterator[None]:
        """Say which batch would fit, where memory runs out; only an accelerator is tried, a CPU's system might kill."""
        try:
            yield
        except Exception as error:
            if not numerics.out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)  # they hold what filled the memory
            batch = self.plan.train.batch
            fitting = max(1, batch // 2)
            if self.device.type != "cpu" and hasattr(self, "engine"):
                one = {domain: probe[:1].to(self.device) for domain, probe in self._probes.items()}
                fitting = self.engine.fitting_batch(self.step, one, fitting)
            raise RunFailedError(f"out of memory at batch {batch}: try --set train.batch={fitting}") from None

    def _unwritable(self, error: OSError) -> RunFailedError:
        reason = f"cannot write to {self.folder}: {error.strerror}"
        try:
            kept = checkpoint.pointed(self.folder / "checkpoints", "latest").name
        except InputError:
            return RunFailedError(f"{reason}; there is no checkpoint yet")
        return RunFailedError(f"{reason}; the newest checkpoint is {kept}")

    def _rewind(self, error: DivergedError) -> None:
        """Go back to the newest checkpoint and on from there with other batches, if the recipe says so."""
        if self.plan.train.on_divergence == "stop" or self._rewinds >= REWINDS:
            raise error
        try:
            folder = checkpoint.newest_sound(self.folder / "checkpoints", self.warn)
        except InputError:
            raise error from None
        rewinds, self.step = self._rewinds + 1, checkpoint.read_step(folder)
        self._restore(folder)
        self._take_other_batches(rewinds)
        self.warn(f"{error}: back to step {self.step}, and on with other batches ({rewinds} of {REWINDS} times)")
        self.notify("ganforge_started")

    def _take_other_batches(self, rewinds: int) -> None:
        self._rewinds = rewinds
        if rewinds:
            self._batches.reseed(derive(self.plan.train.seed, "rewind", rewinds))

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Run the recipe's evaluations; write `metrics.json` and, after the last step, the figures."""
        trained = self.trained
        with trained.evaluating():
            self.metrics = evaluate(trained, self.folder, figures=self.step == self.plan.train.steps)
        if self.metrics:
            self.notify("ganforge_evaluated", metrics=self.metrics)
        if self.plan.record.best and self._is_best():
            self.save(best=True)
        return self.metrics

    def _is_best(self) -> bool:
        """Whether the metric that picks the best checkpoint is better than ever; it is then remembered."""
        name = self.plan.record.best
        found = {f"{role}.{metric}": value for role, part in self.metrics.items() for metric, value in part.items()}
        fitting = [key for key in found if name.removeprefix("-") in (key, key.partition(".")[2])]
        if len(fitting) != 1:
            self.save()
            problem = f"{len(fitting) or 'no'} metrics are called '{name.removeprefix('-')}'"
            raise RecipeError([self.plan.recipe.problem(("record", "best"), problem, nearest(name, found))])
        value = -found[fitting[0]] if name.startswith("-") else found[fitting[0]]
        if self._best is not None and not value > self._best:
            return False
        self._best = value
        return True

    def save(self, best: bool = False) -> Path:
        """Write a checkpoint; the weights in it are ready for use in evaluation mode.

        Args:
            best: whether it has the best metric so far.

        Raises:
            DivergedError: losses or weights are no longer finite, and not worth keeping.
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
        trained = self.trained
        with looking(self.engine.modules, 0), laid_over(trained.networks, trained.shown) as beneath:
            folder = checkpoint.save(
                self.folder / "checkpoints",
                self.step,
                {name: network for name, network in trained.networks.items() if self._is_saved(name)},
                {**training, "beneath": beneath},
                self.lock,
                keep=self.plan.record.keep,
                best=best,
            )
        self.notify("ganforge_checkpointed", folder=folder)
        return folder

    def _is_saved(self, name: str) -> bool:
        """Whether a network is learnt by a player; one that is frozen is made anew from its settings."""
        return self.plan.networks[name][0].player is not None

    def _restore(self, folder: Path) -> None:
        training = checkpoint.load_training(folder)
        for name, network in self.engine.networks.items():
            if self._is_saved(name):
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
        self._best = training["best"]
        self._take_other_batches(training["rewinds"])
        self._measured_at = -1
        self.notify("ganforge_restored", states=training["plugins"])

    def close(self) -> None:
        """Let another process have the run's folder."""
        if self.held is not None:
            self.held.release()

    def _log(self, silent: bool = False) -> None:
        """Hand the means since the last record to the observers; this is where the loop waits for the device."""
        self._require_finite()
        means = self._meter.means()
        self._meter.clear()
        before, then = self._logged
        self._logged = (self.step, time.monotonic())
        speed = (self.step - before) / max(self._logged[1] - then, 1e-9)
        rates = {name: player.rate for name, player in self.engine.players.items()}
        record = {"step": self.step, "losses": means, "rates": rates, "steps_per_second": round(speed, 3)}
        if not silent:
            self.notify("ganforge_logged", record=record)

    def _require_finite(self) -> None:
        if culprit := self._meter.culprit():
            raise DivergedError(
                f"the loss '{culprit.name}' is {culprit.value} at step {culprit.step}; "
                "checkpoints from before are kept. Try a lower learning rate"
            )

    def _sample(self, every: int) -> None:
        if every:
            self.notify("ganforge_sampled")


def evaluate(trained: Trained, folder: Path, *, figures: bool = True) -> dict[str, dict[str, float]]:
    """Run the recipe's evaluations on trained networks; write `metrics.json` and `figures/*.png` into the folder."""
    found: dict[str, dict[str, float]] = {}
    for role, choice in trained.plan.evaluations.items():
        with trained.plan.located(("evaluations", role)):
            findings = choice.make(trained=trained)
        found[role] = {name: float(value) for name, value in findings.metrics.items()}
        for name, drawn in findings.figures.items() if figures else ():
            (folder / "figures").mkdir(exist_ok=True)
            figure = drawn() if callable(drawn) else drawn
            figure.savefig(folder / "figures" / f"{name}.png", dpi=150)
    if found:
        write_text(folder / "metrics.json", json.dumps({"step": trained.step, **found}, indent=2) + "\n")
    return found


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return what a run's `metrics.json` holds: the step and each evaluation's metrics; nothing if it is not there."""
    with suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        return found
    return {}


def is_finished(folder: Path, plan: Plan) -> bool:
    """Whether a run's last step is saved, and evaluated where the recipe has evaluations."""
    with suppress(InputError):
        if checkpoint.read_step(checkpoint.pointed(folder / "checkpoints", "latest")) >= plan.train.steps:
            return not plan.evaluations or bool(read_metrics(folder).get("step", 0) >= plan.train.steps)
    return False


def _due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0
