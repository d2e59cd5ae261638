"""A run: its folder, data, networks, checkpoints and observers."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from attrs import Factory, define, evolve, field
from filelock import FileLock
from torch import Tensor

from ganforge.components.plugins import Plugins
from ganforge.data.batches import Batches
from ganforge.data.dataset import Dataset, Sources, Stored, derive
from ganforge.data.reading import oddities
from ganforge.data.split import Split
from ganforge.errors import GanforgeError
from ganforge.recipe.lock import lock_text
from ganforge.recipe.plan import Plan
from ganforge.runs.assemble import assemble, probes_of
from ganforge.runs.changes import changes
from ganforge.runs.clock import Clock
from ganforge.runs.consistency import require_same
from ganforge.runs.interrupts import telling_of_memory
from ganforge.runs.loop import Loop
from ganforge.runs.memory_need import check_memory
from ganforge.runs.metrics import is_finished, rehearse
from ganforge.runs.results import Measured, Results
from ganforge.runs.saving import Saving
from ganforge.runs.trained import LOOKED_AT, Seen, Trained
from ganforge.runs.warm_start import WarmStart
from ganforge.runs.writer import Writer
from ganforge.system.folder import Folder
from ganforge.training import ranks
from ganforge.training.batch_norm import Recalibration, recalibration
from ganforge.training.engine import Engine
from ganforge.training.meter import Meter
from ganforge.training.state import seed_random


@define(eq=False)
class Run:
    """A training run after `step` steps. Observers receive it and must not change it.

    A run writes only into `folder`, through `files`; the lock `held` keeps other processes out of it. It continues from
    the checkpoint `resumed_from`, if there is one; a new run may begin with the weights of `warm_start`. Each rank but
    the first writes into a temporary folder of its own; `home` is the first one's folder. `warnings` holds what was
    found odd so far, `results` what the evaluations found, and `failures` why some of them failed the last time.
    `notes` show later whether data or plugins have changed; `odd` is what was found odd in the data before the run was
    created. `memory` says how much memory the run needs, once it is built. `clock` measures where the time goes, and
    `saving` keeps the checkpoints. Observers may pass slow writing, such as of a picture, to the thread `beside`; its
    errors are raised after the next step.
    """

    files: Folder
    plan: Plan
    plugins: Plugins = field(repr=False)
    device: torch.device
    dataset: Dataset = field(repr=False)
    sources: Mapping[Split, Sources] = field(repr=False)
    held: FileLock = field(repr=False)
    clock: Clock = field(repr=False)
    step: int = 0
    resumed_from: Path | None = None
    notes: Mapping[str, Mapping[str, str]] = field(factory=dict, repr=False)
    odd: Sequence[str] = ()
    warnings: list[str] = field(factory=list)
    results: Results | None = None
    failures: Sequence[GanforgeError] = field(factory=list, repr=False)
    warm_start: WarmStart | None = field(default=None, repr=False)
    home: Path = field(kw_only=True)
    memory: str = field(init=False, default="", repr=False)
    _calibrated_at: int = field(init=False, default=-1, repr=False)
    beside: Writer = field(init=False, factory=Writer, repr=False)
    engine: Engine = field(init=False, repr=False)
    batches: Batches = field(init=False, repr=False)
    meter: Meter = field(init=False, repr=False)
    saving: Saving = field(init=False, default=Factory(Saving, takes_self=True), repr=False)
    _probes: dict[str, Tensor] = field(init=False, repr=False)
    _recalibration: Recalibration | None = field(init=False, default=None, repr=False)
    measured_at: int = field(init=False, default=-1, repr=False)

    @property
    def folder(self) -> Path:
        """The run's folder when it was opened."""
        return self.files.path

    @property
    def done(self) -> bool:
        """Whether nothing is left to do: the last step is done and, if the recipe has evaluations, tested."""
        return is_finished(self.home, self.plan)

    @property
    def over(self) -> bool:
        """Whether no steps are left: the last one is done, or the metric has stopped improving."""
        return self.step >= self.plan.train.steps or self.saving.exhausted

    @property
    def measured(self) -> Measured:
        """The results of evaluations of the current step."""
        measured = self.saving.measured
        return measured if measured.step == self.step else Measured(self.step)

    @property
    def newest(self) -> str:
        """The name of the newest checkpoint."""
        return self.saving.newest

    @property
    def noted(self) -> dict[str, Mapping[str, str]]:
        """The notes on data and code in the locked recipe, to detect later changes."""
        known = self.plugins.known
        used = {choice.component.plugin: known[choice.component.plugin].version for choice in self.plan.choices}
        return {**self.notes, "plugins": {"ganforge": self.plugins.version(), **used}}

    def locked(self, *, passed_on: bool = False) -> str:
        """Return the locked recipe; if it is passed on in weights, without the paths of this user's files."""
        skipped = {f"{split}.{domain}": len(broken) for (split, domain), broken in self._skipped.items()}
        notes = {"device": str(self.device), **self.noted, "skipped": skipped}
        return lock_text(self.plan, notes, passed_on=passed_on)

    @property
    def _skipped(self) -> dict[tuple[Split, str], Sequence[str]]:
        """The messages on skipped broken samples, by split and domain."""
        sources = [(split, *source) for split in self.sources for source in self.sources[split].items()]
        return {(split, name): s.skipped for split, name, s in sources if isinstance(s, Stored) and s.skipped}

    @property
    def trained(self) -> Trained:
        """The current networks, for evaluation."""
        shown = [update.shown for update in self.engine.updates]
        if self._recalibration is not None:
            if self.measured_at != self.step:
                self._recalibration.forget()
                self.measured_at = self.step
            shown.append(self._recalibration.shown)
        return Trained(
            self.plan,
            self.dataset,
            self.engine.scheme,
            self.device,
            self.step,
            tuple(shown),
            watched=self.plan.watched,
            sources=dict(self.sources),
        )

    def calibrate(self) -> None:
        """Measure the statistics of batch normalisation on all ranks, before one rank uses the networks."""
        if self._recalibration is None or ranks.world() == 1 or self._calibrated_at == self.step:
            return
        self._calibrated_at = self.measured_at = self.step
        self._recalibration.forget()
        self._recalibration.together = True
        try:
            with self.trained.evaluating():
                pass
        finally:
            self._recalibration.together = False

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call an observers' hook."""
        for _ in self.plugins.each(hook, run=self, **arguments):
            pass

    def warn(self, message: str) -> None:
        """Record a warning, once, and notify the observers."""
        if message not in self.warnings:
            self.warnings.append(message)
            self.notify("ganforge_warned", message=message)

    @contextmanager
    def sample(self) -> Iterator[Sequence[Seen]]:
        """Yield the coupling's directions with fixed test inputs, in evaluation mode, as `translate` would."""
        trained = self.trained
        with trained.evaluating():
            yield trained.views(self._probes)

    def build(self) -> None:
        """Make the batches and networks, and restore the checkpoint, if there is one."""

        def report(what: str, done: int, total: int) -> None:
            self.notify("ganforge_working", what=what, done=done, total=total)

        plan, sources = self.plan, self.sources["train"]
        seed_random(derive(plan.train.seed, "run"))
        for message in (*self.odd, *oddities(self.sources)):
            self.warn(message)
        with telling_of_memory(plan.train.batch, self.fitting):
            self._probes = probes_of(plan, self.sources[plan.watched])
            self.engine, self.batches = assemble(plan, self.dataset, sources, self.device, report)
            if self.warm_start is not None:
                for line in self.warm_start.apply(plan, self.dataset, self.engine, self.device):
                    self.warn(line)
                self.warm_start = None  # frees its tensors
            if ranks.world() > 1:
                require_same(self)
            resumed = self.resumed_from is not None
            self.memory = check_memory(plan, self.engine, self._one, self._looked_at, self.warn, resumed=resumed)
            if plan.train.norm == "recalibrated":
                self._recalibration = recalibration(plan, self.engine.scheme, sources, self.device)
        self.meter = Meter(self.engine)
        if self.resumed_from is not None:
            self.saving.restore(self.resumed_from)
            self.saving.take_up_best(self.resumed_from)
            for change in changes(plan, self.noted):
                self.warn(change)
        elif plan.evaluations:
            trained = evolve(self.trained, shown=(), together=True)
            with trained.evaluating():
                for split in dict.fromkeys((plan.watched, "test")):
                    rehearse(evolve(trained, watched=split), self.warn)

    def train(self) -> None:
        """Train until the recipe's last step, or until a metric stops improving; then test the last and best state.

        Raises:
            RunFailedError: losses or weights are no longer finite, memory ran out, or the disk is not writable.
            StoppedError: a signal asked to stop; the state is saved.
        """
        Loop(self).train()

    def fitting(self, most: int) -> int:
        """Find a batch that fits into memory, on accelerators only: with a CPU, the system might kill the process."""
        if self.device.type == "cpu" or not hasattr(self, "engine") or ranks.world() > 1:
            return most
        return self.engine.fitting_batch(self.step, self._one, most)

    @property
    def _looked_at(self) -> int:
        """The largest number of samples translated at once outside training steps."""
        sources = self.sources[self.plan.watched].values()
        count = max(s.length if isinstance(s, Stored) else LOOKED_AT for s in sources)
        drawn = self.plan.record.samples if self.plan.record.sample_every else 0
        return min(count, LOOKED_AT if self.plan.evaluations else drawn)

    @property
    def _one(self) -> dict[str, Tensor]:
        """A sample of each field."""
        return {domain: probe[:1].to(self.device) for domain, probe in self._probes.items()}

    def discard(self) -> None:
        """Close a run that was refused before its first step; if it is new, delete its folder."""
        self.close()
        if self.resumed_from is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            with suppress(OSError):  # it holds other runs
                self.folder.parent.rmdir()

    def close(self) -> None:
        """Release the run's folder for other processes."""
        self.saving.close()
        self.held.release()
        self.files.close()
        if not ranks.is_lead():
            shutil.rmtree(self.folder, ignore_errors=True)
