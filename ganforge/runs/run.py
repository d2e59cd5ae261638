"""One training: its folder, its loop, its checkpoints, and the observers that look on."""

import json
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from attrs import define, evolve, field
from filelock import FileLock
from torch import Tensor

from ganforge.components.plugins import Plugins
from ganforge.components.registry import Component
from ganforge.components.view import View
from ganforge.data.batches import Batches, Sources
from ganforge.data.dataset import Dataset, Split, Stored, as_float, derive, random_generator
from ganforge.disk import UNWRITABLE, write_text
from ganforge.errors import DivergedError, InputError, RecipeError, RunFailedError, StoppedError, nearest
from ganforge.recipe.lock import lock_text
from ganforge.recipe.plan import Plan
from ganforge.runs import checkpoint, signals
from ganforge.runs.trained import Trained, measure_norms, norm_inputs
from ganforge.training import build, numerics
from ganforge.training import norm as norms
from ganforge.training.engine import Engine
from ganforge.training.meter import Meter, first_not_finite

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
    _norm_inputs: dict[str, Tensor] = field(init=False, repr=False)
    _measured: tuple[int, dict[str, norms.Statistics]] = field(init=False, default=(-1, {}), repr=False)
    _rewinds: int = field(init=False, default=0, repr=False)
    _best: float | None = field(init=False, default=None, repr=False)
    _logged: tuple[int, float] = field(init=False, default=(0, 0.0), repr=False)

    @property
    def lock(self) -> str:
        """The locked recipe's text."""
        used = {"ganforge": self.plugins.version()}
        for component in self._components():
            used[component.plugin] = self.plugins.known[component.plugin].version
        skipped = {
            f"{split}.{domain}": len(samples.skipped)
            for split, sources in self.sources.items()
            for domain, samples in sources.items()
            if isinstance(samples, Stored) and samples.skipped
        }
        return lock_text(self.plan, used, str(self.device), skipped)

    def _components(self) -> list[Component]:
        """Every component that the recipe names."""
        plan = self.plan
        choices = [plan.dataset, plan.coupling_choice, *(choice for _, choice in plan.networks.values())]
        choices += [loss.choice for loss in plan.losses]
        choices += [*plan.optimizers.values(), *plan.evaluations.values()]
        return [choice.component for choice in choices]

    @property
    def trained(self) -> Trained:
        """The networks as they are now, for evaluation."""
        networks = self.engine.networks
        if self.plan.train.norm == "recalibrated" and self._measured[0] != self.step:
            self._measured = (self.step, measure_norms(self.plan, networks, self._norm_inputs, self.device))
        return Trained(self.plan, self.dataset, networks, self.device, self.step, self._measured[1])

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
    def sample(self) -> Iterator[Sequence[View]]:
        """Yield the coupling's views of fixed test inputs, in evaluation mode: what `translate` would give."""
        with self.trained.evaluating():
            yield self.trained.views(self._probes)

    def build(self) -> None:
        """Read the data and make the networks; go on from the checkpoint, if there is one."""
        numerics.apply(self.plan.train)
        terms = build.check(self.plan, self.dataset)
        self._record_only_own()
        checkpoint.seed_random(derive(self.plan.train.seed, "run"))

        def report(what: str, done: int, total: int) -> None:
            self.notify("ganforge_working", what=what, done=done, total=total)

        train = self.plan.train
        self._probes = {}
        self._tell_of_skipped()
        with self._telling_of_memory(), build.located(self.plan, ("dataset",)):
            self._batches = Batches(
                self.sources["train"],
                batch=train.batch,
                seed=train.seed,
                device=self.device,
                paired=self.dataset.paired,
                residency=train.residency,
                augment=train.augment,
                report=report,
            )
            for domain, samples in self.sources["test"].items():
                if isinstance(samples, Stored):
                    self._probes[domain] = as_float(samples.load(range(min(train.samples, samples.length))))
                else:
                    self._probes[domain] = samples.draw(train.samples, random_generator(train.seed, "probe", domain))
            self._norm_inputs = norm_inputs(self.plan, self.sources["train"]) if train.norm == "recalibrated" else {}
        size = min(len(probe) for probe in self._probes.values())
        self._probes = {domain: probe[:size] for domain, probe in self._probes.items()}
        self.engine = build.make_engine(self.plan, terms, self._batches, self.dataset.shapes)
        self._meter = Meter(self.engine)
        if self.start is not None:
            self._restore(self.start)

    def _record_only_own(self) -> None:
        """Leave a step unrecorded that holds a stranger's component: what its Python does in between would be lost."""
        strangers = sorted({plugin.name for plugin in self.plugins.foreign()} & {c.plugin for c in self._components()})
        if strangers and self.plan.train.compile == "trace":
            self.plan = evolve(self.plan, train=evolve(self.plan.train, compile=False))
            self.warn(f"steps are computed one by one, not recorded: components of {', '.join(strangers)} take part")

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
        train = self.plan.train
        self._logged = (self.step, time.monotonic())
        asked = signals.Requests()
        try:
            self.notify("ganforge_started")
            if self.step == 0:
                self._sample(train.sample_every)
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
            if self.engine.unrecordable:
                self.warn(f"steps are computed one by one, not recorded: {self.engine.unrecordable}")
            try:
                self._after_step(asked)
            except DivergedError as error:
                self._rewind(error)
            except OSError as error:
                if error.errno not in UNWRITABLE or train.on_write_error == "stop":
                    raise
                self.warn(f"step {self.step}: {self._unwritable(error)}; going on")
            if time.monotonic() - ticked > TICK_SECONDS:
                ticked = time.monotonic()
                self.notify("ganforge_ticked")

    def _after_step(self, asked: signals.Requests) -> None:
        """Log, draw, evaluate and save what is due."""
        train = self.plan.train
        last = self.step == train.steps
        if _due(train.log_every or UNLOGGED, self.step) or last:
            self._log(silent=not train.log_every)
        if _due(train.sample_every, self.step) or last:
            self._sample(train.sample_every)
        if _due(train.evaluate_every, self.step) and not last:
            self.evaluate()
        if _due(train.checkpoint_every, self.step) or last or asked.stop is not None or asked.save:
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
        if self.plan.train.best and self._is_best():
            self.save(best=True)
        return self.metrics

    def _is_best(self) -> bool:
        """Whether the metric that picks the best checkpoint is better than ever; it is then remembered."""
        name = self.plan.train.best
        found = {f"{role}.{metric}": value for role, part in self.metrics.items() for metric, value in part.items()}
        fitting = [key for key in found if name.removeprefix("-") in (key, key.partition(".")[2])]
        if len(fitting) != 1:
            self.save()
            problem = f"{len(fitting) or 'no'} metrics are called '{name.removeprefix('-')}'"
            raise RecipeError([self.plan.recipe.problem(("train", "best"), problem, nearest(name, found))])
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
            "optimizers": {phase: optimizer.state_dict() for phase, optimizer in self.engine.optimizers.items()},
            "scalers": {phase: scaler.state_dict() for phase, scaler in self.engine.scalers.items()},
            "random": checkpoint.random_state(),
            "meter": self._meter.state_dict(),
            "statistics": {name: norms.statistics(network) for name, network in self.engine.networks.items()},
            "best": self._best,
            "rewinds": self._rewinds,
            "plugins": dict(self.plugins.each("ganforge_saving", run=self)),
        }
        with self.trained.evaluating():
            folder = checkpoint.save(
                self.folder / "checkpoints",
                self.step,
                self.engine.networks,
                training,
                self.lock,
                keep=self.plan.train.keep,
                best=best,
            )
        self.notify("ganforge_checkpointed", folder=folder)
        return folder

    def _restore(self, folder: Path) -> None:
        training = checkpoint.load_training(folder)
        for name, network in self.engine.networks.items():
            checkpoint.load_weights(folder / f"{name}.safetensors", network)
            norms.put(network, training["statistics"][name])
        for phase, optimizer in self.engine.optimizers.items():
            optimizer.load_state_dict(training["optimizers"][phase])
            _lay_out_alike(optimizer)
            self.engine.scalers[phase].load_state_dict(training["scalers"][phase])
        checkpoint.set_random_state(training["random"])
        self._meter.load_state_dict(training["meter"], self.device)
        self._best = training["best"]
        self._take_other_batches(training["rewinds"])
        self._measured = (-1, {})
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
        record = {"step": self.step, "losses": means, "steps_per_second": round(speed, 3)}
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
        with build.located(trained.plan, ("evaluations", role)):
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


def _lay_out_alike(optimizer: torch.optim.Optimizer) -> None:
    """Give loaded averages the memory layout of their parameters, on which fused optimizers rely."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter).copy_(value)


def _due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0
