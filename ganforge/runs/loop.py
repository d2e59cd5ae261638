"""The training loop of a run: steps, and what is due after them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ganforge.errors import DivergedError, InputError, StoppedError
from ganforge.runs import checkpoint, evaluation
from ganforge.runs.interrupts import Agreement, Requests, requests, telling_of_memory, unwritable
from ganforge.system.disk import UNWRITABLE
from ganforge.training import ranks

if TYPE_CHECKING:
    from ganforge.runs.run import Run

TICK_SECONDS = 0.25
UNLOGGED = 1000  # interval of checks for finite losses without a log
REWINDS = 3


class Loop:
    """Trains a run that is built.

    Args:
        run: the run.
    """

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._logged = (run.step, time.monotonic())
        self._unwritable = ""

    def train(self) -> None:
        """Train as `Run.train` says."""
        run, asked = self._run, Requests()
        run.clock.turn_to("steps")
        ranks.at(f"step {run.step + 1}", run.step + 1)
        try:
            run.notify("ganforge_started")
            if run.step == 0 and run.plan.record.sample_every:
                run.calibrate()
                self._sample()
            with requests() as signals:
                asked = signals
                try:
                    with telling_of_memory(run.plan.train.batch, run.fitting):
                        asked = self._steps(Agreement(signals))
                finally:
                    self._settle()
                if run.over and asked.stop is None and run.plan.evaluations:
                    signals.at_once = True
                    ranks.at("the test")
                    with run.clock.on("evaluation"):
                        evaluation.evaluate_test_split(run)
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            raise unwritable(run.folder, error) from error
        finally:
            run.clock.turn_to("the end")
            with suppress(OSError):
                run.notify("ganforge_ended")
        if asked.stop is not None:
            ranks.meet("the end")  # if one leaves while rank 0 is saving, the launcher terminates rank 0
            raise StoppedError(asked.stop)

    def _steps(self, agreement: Agreement) -> Requests:
        """Train until the end, or until a signal asks to stop; return the requests."""
        run, ticked, asked = self._run, time.monotonic(), Requests()
        while not run.over and asked.stop is None:
            run.meter.add(run.step, run.engine.step(run.step, run.batches(run.step)))
            run.step += 1
            asked = agreement.after(run.step)
            if reason := run.engine.recording.reason:
                run.warn(f"steps are not recorded: {reason}")
            if run.beside.done:
                with self._told_where_unwritable():
                    run.beside.settle()
            if run.saving.unsettled:
                with self._told_where_unwritable():
                    run.saving.settle()
            try:
                with self._told_where_unwritable():
                    self._after_step(asked)
            except DivergedError as error:
                self._rewind(error)
            if time.monotonic() - ticked > TICK_SECONDS:
                ticked = time.monotonic()
                run.notify("ganforge_ticked")
        if asked.stop is not None:  # the signal may have come after the last check
            run.saving.save()
        self._settle()
        return asked

    def _settle(self) -> None:
        """Wait for all background writing."""
        for settle in (self._run.beside.settle, self._run.saving.settle):
            with self._told_where_unwritable():
                settle()

    @contextmanager
    def _told_where_unwritable(self) -> Iterator[None]:
        """If the disk is not writable, warn and continue, if the recipe says so."""
        run = self._run
        try:
            yield
        except OSError as error:
            if error.errno not in UNWRITABLE or run.plan.record.on_write_error == "stop":
                raise
            told = str(unwritable(run.folder, error))
            if told != self._unwritable:  # it names the newest checkpoint, so this warns once for each
                self._unwritable = told
                run.warn(f"step {run.step}: {told}; continuing")

    def _after_step(self, asked: Requests) -> None:
        """Log, sample, evaluate and save if due: a run resumed from here does not log or sample this step again."""
        run, record = self._run, self._run.plan.record
        last = run.step == run.plan.train.steps

        def due(every: int) -> bool:
            return every > 0 and (last or run.step % every == 0)

        if due(record.log_every or UNLOGGED):
            self._log()
        split = run.plan.watched
        saves = due(record.checkpoint_every) or last or asked.stop is not None or asked.save
        if saves or due(record.sample_every) or due(record.evaluate_every):
            run.calibrate()
        if sampled := due(record.sample_every):
            self._sample()
        if (due(record.evaluate_every) and not last) or (last and split != "test" and run.plan.evaluations):
            with run.clock.on("evaluation"):
                evaluation.evaluate_split(run, split)
            last = run.over
        if due(record.sample_every) and not sampled:  # the evaluation has exhausted the patience
            self._sample()
        if saves or last or asked.save:
            asked.save = False
            run.saving.save()

    def _sample(self) -> None:
        """Let the observers draw sample pictures."""
        with self._run.clock.on("samples"):
            self._run.notify("ganforge_sampled")

    def _log(self) -> None:
        """Pass the mean losses since the last record to the observers; here the loop waits for the device."""
        run = self._run
        run.saving.require_finite()
        means = run.meter.means()
        run.meter.clear()
        before, then = self._logged
        self._logged = (run.step, time.monotonic())
        speed = (run.step - before) / max(self._logged[1] - then, 1e-9)
        rates = {name: player.rate for name, player in run.engine.players.items()}
        record = {"step": run.step, "losses": means, "rates": rates, "steps_per_second": round(speed, 3)}
        if run.plan.record.log_every:
            with run.clock.on("log"):
                run.notify("ganforge_logged", record=record)

    def _rewind(self, error: DivergedError) -> None:
        """Go back to the newest checkpoint and continue with other batches, if the recipe says so."""
        run = self._run
        self._settle()
        if run.plan.train.on_divergence == "stop" or run.saving.rewinds >= REWINDS:
            raise error
        ranks.meet("going back to a checkpoint")  # rank 0 may still have been writing it
        try:
            folder = checkpoint.newest_sound(run.home / "checkpoints", run.warn)
        except InputError:
            raise error from None
        run.step = checkpoint.read_step(folder)
        run.saving.rewinds += 1
        run.saving.restore(folder, rewinds=run.saving.rewinds)
        rewinds = f"{run.saving.rewinds} of {REWINDS} times"
        run.warn(f"{error}: back to step {run.step}, continuing with other batches ({rewinds})")
        run.notify("ganforge_started")
