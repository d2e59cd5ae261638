"""What a run saves: its checkpoints, each step once, which of them is the best, and what is put back from them."""

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
from ganforge.folder import Folder
from ganforge.runs import checkpoint
from ganforge.runs.metrics import Evaluated, best_of
from ganforge.runs.results import METRICS, Measured, Metrics, Results
from ganforge.runs.trained import laid_over
from ganforge.runs.writer import Copies, Writer
from ganforge.training import ranks
from ganforge.training.meter import first_not_finite
from ganforge.training.state import looking, random_state, set_random_state

if TYPE_CHECKING:
    from ganforge.runs.run import Run


class Saving:
    """The checkpoints of a run.

    A step is done once its checkpoint has its name, and evaluated once that holds the metrics, whatever else was
    written before: so a run may be killed at any moment. A thread writes it, from copies, while the run goes on.

    Attributes:
        newest: the name of the newest checkpoint that is written.
        saved_at: the step of the newest one, which may still be written.
        measured: what evaluations found of the step that was evaluated last.
        best: the best value of the metric `record.best` so far; the higher, the better.
        waited: how many evaluations in a row have found nothing better.
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
        """The networks that a player learns; one that is frozen is not saved, but made anew from its settings."""
        networks, plan = self._run.engine.networks, self._run.plan
        return {name: networks[name] for name in networks if plan.networks[name][0].player is not None}

    def save(self, best: bool = False) -> None:
        """Have a checkpoint written, unless this step has one; `best` if none has a better metric.

        Its weights are ready for use in evaluation mode. A DivergedError says that losses or weights are no longer
        finite, and not worth keeping; an OSError that the checkpoint before could not be written.
        """
        try:
            self.settle()
        finally:  # also where the one before could not be written: this one may be
            if self.saved_at == self._run.step:
                self._sort(self.newest, best)
            else:
                self.require_finite()
                with self._run.clock.on("saving"):
                    self._begin(best)

    def settle(self) -> None:
        """Wait until what is to be written is, and tell of it; an OSError says that it cannot be."""
        with self._run.clock.on("saving"):
            try:
                self._writer.settle()
            except OSError:
                self.saved_at = -1
                raise

    @property
    def unsettled(self) -> bool:
        """Whether something was written that is not told of yet, or could not be written."""
        return self._writer.done

    def _begin(self, best: bool) -> None:
        """Copy all that makes a checkpoint, and begin to write it."""
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
            if not ranks.is_lead():  # which has the same, and writes it
                self.saved_at = run.step
                return
            state = {name: network.state_dict() for name, network in self._learnt.items()}, training
            copied = self._copies.fit(state)
            weights, training = self._copies.of(state) if copied else state
            parent, step, recipe, measured = self._folder, run.step, run.locked(passed_on=True), run.measured

            def write() -> None:
                run.beside.wait()  # the step's sample picture is not drawn again by who goes on from here
                folder = checkpoint.save(parent, step, weights, training, recipe, measured)
                self._sort(folder.name, best)

            self.saved_at = step
            self._writer.begin(write, partial(self._tell, parent.path / checkpoint.name_of(step)))
            if not copied:
                self._writer.wait()

    def _sort(self, newest: str, best: bool) -> None:
        """Point to the newest checkpoint as the best one, if it is, and delete older ones."""
        if best:
            self._folder.write("best", newest)
        checkpoint.prune(self._folder, newest, self._run.plan.record.keep)

    def _tell(self, folder: Path) -> None:
        self.newest = folder.name
        self._run.notify("ganforge_checkpointed", folder=folder)

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
        """The checkpoint with the best metric, if there is one, once it is written."""
        self.settle()
        return checkpoint.named(self._run.folder, "best")

    def evaluated(self, split: Split, found: Evaluated) -> Measured:
        """Keep what evaluations found of the current step on a split, and its checkpoint if it is best; return it."""
        self.measured = self._run.measured.with_split(split, found.metrics, found.about, list(found.failed))
        if split == "validation" and (value := self._value(found.metrics)) is not None:
            value = ranks.exchange("how good it is", value)[0]  # rounding may differ from machine to machine
            self.waited += 1
            if value > self.best:
                self.best, self.waited = value, 0
                self.save(best=True)
            self.measured = evolve(self.measured, stopped=self.exhausted)
        self.settle()
        if self.saved_at == self._run.step and ranks.is_lead():  # only now is the step all done
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
        self.best = ranks.exchange("the best one", self.best)[0]

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
