"""What a run saves: its checkpoints, each step once, which of them is the best, and what is put back from them."""

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve
from torch import nn

from ganforge.data.dataset import derive
from ganforge.data.split import Split
from ganforge.errors import DivergedError, InputError, RecipeError
from ganforge.folder import Folder
from ganforge.runs import checkpoint
from ganforge.runs.metrics import Evaluated, best_of
from ganforge.runs.results import METRICS, Measured, Metrics, Results
from ganforge.runs.trained import laid_over
from ganforge.training.meter import first_not_finite
from ganforge.training.state import looking, random_state, set_random_state

if TYPE_CHECKING:
    from ganforge.runs.run import Run


class Saving:
    """The checkpoints of a run.

    A step is done once its checkpoint has its name, and evaluated once that holds the metrics, whatever else was
    written before: so a run may be killed at any moment.

    Attributes:
        newest: the name of the newest checkpoint.
        saved_at: the step that it is of.
        measured: what evaluations found of the step that was evaluated last.
        best: the best value of the metric `record.best` so far; the higher, the better.
        waited: how many evaluations in a row have found nothing better.
        rewinds: how often the run went back.
    """

    def __init__(self, run: "Run") -> None:
        self._run = run
        self.newest, self.saved_at, self.measured = "", -1, Measured(-1)
        self.best, self.waited, self.rewinds = -math.inf, 0, 0

    @cached_property
    def _folder(self) -> Folder:
        return self._run.files.folder("checkpoints", create=True)

    @property
    def _learnt(self) -> Mapping[str, nn.Module]:
        """The networks that a player learns; one that is frozen is not saved, but made anew from its settings."""
        networks, plan = self._run.engine.networks, self._run.plan
        return {name: networks[name] for name in networks if plan.networks[name][0].player is not None}

    def save(self, best: bool = False) -> None:
        """Write a checkpoint, unless this step has one; `best` if none has a better metric.

        Its weights are ready for use in evaluation mode. A DivergedError says that losses or weights are no longer
        finite, and not worth keeping.
        """
        with self._run.clock.on("saving"):
            if self.saved_at != self._run.step:
                self._write()
            if best:
                self._folder.write("best", self.newest)
            checkpoint.prune(self._folder, self.newest, self._run.plan.record.keep)

    def _write(self) -> None:
        run = self._run
        self.require_finite()
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
            recipe = run.locked(passed_on=True)
            folder = checkpoint.save(self._folder, run.step, self._learnt, training, recipe, run.measured)
        self.newest, self.saved_at = folder.name, run.step
        run.notify("ganforge_checkpointed", folder=folder)

    def restore(self, folder: Path, rewinds: int | None = None) -> None:
        """Put everything back as a checkpoint has it; after a rewind, go on with the batches of that one.

        An InputError says that the checkpoint is not of this recipe.
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
        """Whether the metric has not improved for as long as the recipe waits."""
        return 0 < self._run.plan.train.patience <= self.waited

    @property
    def best_one(self) -> Path | None:
        """The checkpoint with the best metric, if there is one."""
        return checkpoint.named(self._run.folder, "best")

    def evaluated(self, split: Split, found: Evaluated) -> Measured:
        """Keep what evaluations found of the current step on a split, and its checkpoint if it is best; return it."""
        self.measured = self._run.measured.with_split(split, found.metrics, found.about, list(found.failed))
        if split == "validation" and (value := self._value(found.metrics)) is not None:
            self.waited += 1
            if value > self.best:
                self.best, self.waited = value, 0
                self.save(best=True)
            self.measured = evolve(self.measured, stopped=self.exhausted)
        if self.saved_at == self._run.step:  # only now is the step all done
            self._folder.write(f"{self.newest}/{METRICS}", Results(self.measured).text())
        return self.measured

    def tested(self, folder: Path, found: Evaluated) -> Measured:
        """Keep what evaluations found of a checkpoint on the test split; return all that is known of it."""
        measured = checkpoint.measured(folder).with_split("test", found.metrics, found.about, list(found.failed))
        self._folder.write(f"{folder.name}/{METRICS}", Results(measured).text())
        return measured

    def take_up_best(self, start: Path) -> None:
        """Find the best metrics so far: also those of a run that was killed before it noted that they are."""
        states = [start] if self.best_one is None else [self.best_one, start]
        for folder in states:
            value = self._value(checkpoint.measured(folder).metrics.get("validation", {}))
            if value is not None and value > self.best:
                self.best = value
                self._folder.write("best", folder.name)

    def _value(self, metrics: Metrics) -> float | None:
        """Return how good metrics are, the higher the better; None where the one that chooses is not among them."""
        plan = self._run.plan
        try:
            return best_of(plan, metrics) if plan.record.best and metrics else None
        except RecipeError as error:  # the evaluation failed, or its metrics are not always the same ones
            self._run.warn(str(error))
            return None

    def require_finite(self) -> None:
        """Refuse with a DivergedError to go on where losses are no longer finite."""
        if culprit := self._run.meter.culprit():
            raise DivergedError(
                f"the loss '{culprit.name}' is {culprit.value} at step {culprit.step}; "
                "checkpoints from before are kept. Try a lower learning rate"
            )
