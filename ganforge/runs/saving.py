"""Save and restore the checkpoints of a run, and keep track of the best one."""

import math
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve
from torch import nn

from ganforge.data.dataset import derive
from ganforge.data.split import Split
from ganforge.errors import DivergedError, InputError, RecipeError
from ganforge.runs import checkpoint
from ganforge.runs.metrics import Evaluated, best_of
from ganforge.runs.results import METRICS, Measured, Metrics, Results
from ganforge.runs.writer import Copies, Writer
from ganforge.system.folder import Folder
from ganforge.training import ranks
from ganforge.training.meter import first_not_finite
from ganforge.training.state import laid_over, looking, random_state, set_random_state

if TYPE_CHECKING:
    from ganforge.runs.run import Run


class Saving:
    """The checkpoints of a run.

    A step is done once its checkpoint has its final name, and evaluated once the checkpoint contains the metrics,
    whatever else was written before: so a run may be killed at any moment. A thread writes checkpoints, from copies,
    while the run continues.

    Attributes:
        newest: the name of the newest written checkpoint.
        saved_at: the step of the newest checkpoint, which may still be being written.
        measured: the results of the step that was evaluated last.
        best: the best value of the metric `record.best` so far; higher is better.
        waited: the number of evaluations in a row without an improvement.
        rewinds: how often the run went back.
    """

    def __init__(self, run: "Run") -> None:
        self._run = run
        self.newest, self.saved_at, self.measured = "", -1, Measured(-1)
        self.best, self.waited, self.rewinds = -math.inf, 0, 0
        self._writer, self._copies = Writer(), Copies()

    @cached_property
    def _folder(self) -> Folder:
        return self._run.files.folder("checkpoints", create=True)

    @property
    def _learnt(self) -> Mapping[str, nn.Module]:
        """The networks with a player; frozen ones are not saved, but made again from their settings."""
        networks, plan = self._run.engine.networks, self._run.plan
        return {name: networks[name] for name in networks if plan.networks[name][0].player is not None}

    def save(self, best: bool = False) -> None:
        """Start writing a checkpoint, unless this step has one; `best` if no other has a better metric.

        Its weights are ready for use in evaluation mode.

        Raises:
            DivergedError: losses or weights are no longer finite, so that they are not saved.
            OSError: the previous checkpoint could not be written.
        """
        try:
            self.settle()
        finally:  # even if the previous one could not be written
            if self.saved_at == self._run.step:
                self._sort(self.newest, best)
            else:
                self.require_finite()
                with self._run.clock.on("saving"):
                    self._begin(best)

    def close(self) -> None:
        """Release the folder of the checkpoints, after the last one is written."""
        self._writer.wait()
        if "_folder" in vars(self):
            self._folder.close()

    def settle(self) -> None:
        """Wait until the checkpoint is written, and notify observers; raise an OSError if it cannot be written."""
        with self._run.clock.on("saving"):
            try:
                self._writer.settle()
            except OSError:
                self.saved_at = -1
                raise

    @property
    def unsettled(self) -> bool:
        """Whether a finished or failed write awaits `settle`."""
        return self._writer.done

    def _begin(self, best: bool) -> None:
        """Copy the content of a checkpoint and start writing it."""
        run = self._run
        for name, network in run.engine.networks.items():
            if wrong := first_not_finite(network.state_dict()):
                raise DivergedError(f"the weights {name}.{wrong} are no longer finite at step {run.step}")
        training = {
            "players": {name: player.state_dict() for name, player in run.engine.players.items()},
            "held": {label: held.state() for label, held in run.engine.held.items()},
            "random": random_state(),
            "meter": run.meter.state_dict(),
            "rewinds": self.rewinds,
            "waited": self.waited,
            "plugins": dict(run.plugins.each("ganforge_saving", run=run)),
        }
        trained = run.trained
        with looking(run.engine.modules, 0), laid_over(trained.networks, trained.shown) as beneath:
            training["beneath"] = beneath
            if not ranks.is_lead():  # rank 0 has the same state and writes it
                self.saved_at = run.step
                return
            state = {name: network.state_dict() for name, network in self._learnt.items()}, training
            copied = self._copies.fit(state)
            weights, training = self._copies.of(state) if copied else state
            parent, step, recipe, measured = self._folder, run.step, run.locked(passed_on=True), run.measured

            def write() -> None:
                run.beside.wait()  # a run resumed from here does not draw this step's sample picture again
                folder = checkpoint.save(parent, step, weights, training, recipe, measured)
                self._sort(folder.name, best)

            self.saved_at = step
            self._writer.begin(write, partial(self._tell, parent.path / checkpoint.name_of(step)))
            if not copied:
                self._writer.wait()

    def _sort(self, newest: str, best: bool) -> None:
        """Point `best` to the newest checkpoint, if it is the best, and delete older ones."""
        if best:
            self._folder.write("best", newest)
        checkpoint.prune(self._folder, newest, self._run.plan.record.keep)

    def _tell(self, folder: Path) -> None:
        self.newest = folder.name
        self._run.notify("ganforge_checkpointed", folder=folder)

    def restore(self, folder: Path, rewinds: int | None = None) -> None:
        """Restore everything from a checkpoint; after the rewind number `rewinds`, use that rewind's batches.

        Raise an InputError if the checkpoint does not fit the recipe.
        """
        run, training = self._run, checkpoint.load_training(folder)
        try:
            for name, network in self._learnt.items():
                checkpoint.load_weights(folder / f"{name}.safetensors", network)
                state = network.state_dict()
                for key, value in training["beneath"][name].items():
                    state[key].copy_(value)
            for name, player in run.engine.players.items():
                player.load_state_dict(training["players"][name])
            for label, held in run.engine.held.items():
                held.restore(training["held"].get(label, {}), run.device)
            set_random_state(training["random"])
            run.meter.load_state_dict(training["meter"], run.device)
            self.rewinds = training["rewinds"] if rewinds is None else rewinds
            self.waited, states = training["waited"], training["plugins"]
        except (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
            raise InputError(f"the state in {folder} does not fit its recipe: {error}") from error
        self.measured = checkpoint.measured(folder)
        self.newest, self.saved_at = folder.name, run.step
        if self.rewinds:
            run.batches.reseed(derive(run.plan.train.seed, "rewind", self.rewinds))
        run.measured_at = -1
        run.notify("ganforge_restored", states=states)

    @property
    def exhausted(self) -> bool:
        """Whether the recipe's patience is exhausted."""
        return 0 < self._run.plan.train.patience <= self.waited

    @property
    def best_one(self) -> Path | None:
        """The checkpoint with the best metric, if there is one; waits until it is written."""
        self.settle()
        return checkpoint.named(self._run.folder, "best")

    def evaluated(self, split: Split, found: Evaluated) -> Measured:
        """Store the results of the current step on a split, and save a checkpoint if it is best; return the results."""
        self.measured = self._run.measured.with_split(split, found.metrics, found.about, list(found.failed))
        if split == "validation" and (value := self._value(found.metrics)) is not None:
            value = ranks.exchange("the metric", value)[0]  # rounding may differ between machines
            self.waited += 1
            if value > self.best:
                self.best, self.waited = value, 0
                self.save(best=True)
            self.measured = evolve(self.measured, stopped=self.exhausted)
        self.settle()
        if self.saved_at == self._run.step and ranks.is_lead():  # only now is the step complete
            self._folder.write(f"{self.newest}/{METRICS}", Results(self.measured).text())
        return self.measured

    def tested(self, folder: Path, found: Evaluated) -> Measured:
        """Store the results of a checkpoint on the test split; return all of its results."""
        measured = checkpoint.measured(folder).with_split("test", found.metrics, found.about, list(found.failed))
        self._folder.write(f"{folder.name}/{METRICS}", Results(measured).text())
        return measured

    def take_up_best(self, start: Path) -> None:
        """Find the best metric so far, and delete older checkpoints, even if the run was killed before it did that."""
        states = [start] if self.best_one is None else [self.best_one, start]
        for folder in states:
            value = self._value(checkpoint.measured(folder).metrics.get("validation", {}))
            if value is not None and value > self.best:
                self.best = value
                self._folder.write("best", folder.name)
        self.best = ranks.exchange("the best one", self.best)[0]
        checkpoint.prune(self._folder, start.name, self._run.plan.record.keep)

    def _value(self, metrics: Metrics) -> float | None:
        """Return the metric that chooses the best checkpoint, higher is better; None if it is missing."""
        plan = self._run.plan
        try:
            return best_of(plan, metrics) if plan.record.best and metrics else None
        except RecipeError as error:  # the evaluation failed, or its metrics vary
            self._run.warn(str(error))
            return None

    def require_finite(self) -> None:
        """Raise a DivergedError if losses are no longer finite."""
        if culprit := self._run.meter.culprit():
            kept = "earlier checkpoints are kept; " if self.newest else ""
            raise DivergedError(
                f"the loss '{culprit.name}' is {culprit.value} at step {culprit.step}; {kept}try a lower learning rate"
            )
