"""Evaluate a run: on validation samples during training, on the test split after the last step."""

from typing import TYPE_CHECKING

from attrs import evolve

from ganforge.data.split import Split
from ganforge.runs import checkpoint
from ganforge.runs.load import find_saved
from ganforge.runs.metrics import Evaluated, evaluate
from ganforge.runs.results import METRICS, Measured, Results
from ganforge.training import ranks

if TYPE_CHECKING:
    from ganforge.runs.run import Run


def evaluate_split(run: "Run", split: Split) -> Measured:
    """Run the recipe's evaluations on a split; write `metrics.json`, and figures of the test split at the end.

    Return all results of the current step.
    """
    trained = evolve(run.trained, watched=split, together=True)
    with trained.evaluating():
        found = evaluate(trained, run.files if split == "test" and run.over else None)
    run.failures = list(found.failed.values())
    _tell(run, found)
    if found.metrics:
        run.notify("ganforge_evaluated", metrics=found.metrics, split=split)
    saving = run.saving
    measured = saving.evaluated(split, found)
    best = saving.best_one
    _keep(run, measured, checkpoint.measured(best) if best else None)
    if split != "test" and saving.exhausted:
        by, waited = run.plan.record.best, saving.waited
        run.warn(f"stopped at step {run.step}: '{by}' did not improve in {waited} evaluations")
    return measured


def evaluate_test_split(run: "Run") -> None:
    """Evaluate the last state on the test split, and the best one if it is another."""
    last = run.measured if run.measured.is_whole("test") else evaluate_split(run, "test")
    saving, best = run.saving, run.saving.best_one
    if best is None:
        if run.plan.record.best and ranks.is_lead():
            run.warn(f"there is no best checkpoint: '{run.plan.record.best}' was never a finite number")
        _keep(run, last, None)
        return
    known = last if best.name == saving.newest else checkpoint.measured(best)
    if not known.is_whole("test") and known is not last:
        trained = evolve(find_saved(best, run.plugins).load(run.device), sources=dict(run.sources))
        with trained.evaluating():
            found = evaluate(trained, run.files, "figures/best")
        run.failures = [*run.failures, *found.failed.values()]
        _tell(run, found)
        known = saving.tested(best, found)
    _keep(run, last, known)


def _tell(run: "Run", found: Evaluated) -> None:
    for warning in (*found.warnings, *map(str, found.failed.values())):
        run.warn(warning)


def _keep(run: "Run", last: Measured, best: Measured | None) -> None:
    """Write the results of the current step and of the best one so far."""
    run.results = Results(last, best, run.plan.record.best) if best else Results(last)
    if last:
        run.files.write(METRICS, run.results.text())
