"""Run evaluations: their metrics and figures, and the metric that chooses the best checkpoint."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from ganforge.components.guard import brief, contained
from ganforge.errors import GanforgeError, InputError, PluginError, RecipeError, nearest
from ganforge.recipe.plan import Choice, Plan
from ganforge.runs import checkpoint
from ganforge.runs.results import Measured, read_results
from ganforge.runs.trained import Trained
from ganforge.system.folder import Folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW = 16  # samples per domain for trying evaluations before the training


@frozen
class Findings:
    """The result of an evaluation.

    Attributes:
        metrics: numbers by name; non-finite ones are stored as null and reported.
        figures: figures, or functions that draw them, called only after the last step. A figure `x_initial`, of the
            state before training, comes first in the row of `x` when recipes are compared.
        about: facts that make the numbers comparable: a network, a resizing, the number of pictures.
        warnings: caveats for readers of the numbers, such as a bias; one sentence each.
    """

    metrics: Mapping[str, float]
    figures: Mapping[str, "Figure | Callable[[], Figure]"] = field(factory=dict)
    about: Mapping[str, str | float] = field(factory=dict)
    warnings: Sequence[str] = ()


@frozen
class Evaluated:
    """The results of the recipe's evaluations, by role.

    Attributes:
        metrics: numbers by name.
        about: facts that make the numbers comparable.
        warnings: warnings for readers of the numbers.
        failed: errors of failed evaluations; the others still run.
    """

    metrics: dict[str, Mapping[str, float]] = field(factory=dict)
    about: dict[str, Mapping[str, str | float]] = field(factory=dict)
    warnings: list[str] = field(factory=list)
    failed: dict[str, GanforgeError] = field(factory=dict)


def evaluate(trained: Trained, folder: Folder | None = None, figures: str = "figures") -> Evaluated:
    """Run the recipe's evaluations on trained networks; write `figures/*.png` into a folder, if given."""
    found = Evaluated()
    for role, choice in trained.plan.evaluations.items():
        try:
            findings = _ask(trained, role, choice)
            found.metrics[role], found.about[role] = findings.metrics, findings.about
            found.warnings.extend(f"{role}: {warning}" for warning in findings.warnings)
            for name, value in findings.metrics.items():
                if not math.isfinite(value):
                    found.warnings.append(f"the metric {role}.{name} is not finite")
            if folder is not None:
                for name, drawn in findings.figures.items():
                    folder.write(f"{figures}/{name}.png", _as_png(role, drawn))
        except GanforgeError as error:
            found.failed[role] = error
    return found


def rehearse(trained: Trained, warn: Callable[[str], None]) -> None:
    """Try every evaluation before the training, on a few samples, or on all if these do not suffice.

    Other errors are only warnings, since untrained networks may cause them.

    Raises:
        RecipeError: an evaluation lacks something, or none measures what `record.best` names.
        PluginError: one does not return `Findings` with numbers.
    """
    found: dict[str, Mapping[str, float]] = {}
    for role, choice in trained.plan.evaluations.items():
        try:
            try:
                findings = _ask(evolve(trained, rehearsal=FEW), role, choice)
            except GanforgeError:
                findings = _ask(evolve(trained, rehearsal=sys.maxsize), role, choice)
            found[role] = findings.metrics
        except PluginError as error:
            if error.__cause__ is None:
                raise
            warn(f"{error}. This was a trial before the training, which continues")
    if trained.plan.record.best and found.keys() == trained.plan.evaluations.keys():
        best_of(trained.plan, found)


def _ask(trained: Trained, role: str, choice: Choice) -> Findings:
    """Run one evaluation and convert its metrics to floats.

    Raises:
        RecipeError: it lacks something.
        PluginError: it fails otherwise, or does not return `Findings` with numbers.
    """
    try:
        with trained.plan.located(("evaluations", role)), contained():
            findings = choice.make(trained=trained)
    except RecipeError:
        raise
    except Exception as error:
        raise PluginError(f"evaluation '{role}' failed: {brief(error)}") from error
    if not isinstance(findings, Findings):
        got = f"{type(findings).__name__}, expected ganforge.Findings"
        raise PluginError(f"evaluation '{role}' ({choice.component.written}) returns {got}")
    try:
        metrics = {str(name): float(value) for name, value in findings.metrics.items()}
        about = {str(name): value if isinstance(value, str) else float(value) for name, value in findings.about.items()}
        return Findings(metrics, findings.figures, _whole(about), [str(one) for one in findings.warnings])
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        where = f"evaluation '{role}' ({choice.component.written})"
        raise PluginError(f"{where} returns metrics that are not numbers: {error}") from None


def _whole(about: Mapping[str, str | float]) -> dict[str, str | float]:
    """Convert whole numbers, such as counts, to integers."""
    return {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in about.items()}


def _as_png(role: str, drawn: Any) -> bytes:
    """Draw a figure and return it as PNG; raise a PluginError if it cannot be drawn."""
    buffer = BytesIO()
    try:
        with contained():
            figure = drawn() if callable(drawn) else drawn
            figure.savefig(buffer, format="png", dpi=150)
    except Exception as error:
        raise PluginError(f"evaluation '{role}' failed to draw: {brief(error)}") from error
    return buffer.getvalue()


def is_finished(folder: Path, plan: Plan) -> bool:
    """Return whether a run's last step is saved and, if the recipe has evaluations, tested along with the best one."""
    with suppress(InputError):
        newest = checkpoint.pointed(folder / "checkpoints", "latest")
        steps, found = checkpoint.read_step(newest), checkpoint.measured(newest)
        if steps > plan.train.steps:
            return True
        over = steps == plan.train.steps or bool(plan.train.patience and found.stopped)
        if not plan.evaluations or not over:
            return over
        # Checkpoints show whether evaluations failed; the run's own file, written last, shows that all is written.
        results = read_results(folder)
        states = [found, results.last if results and results.last.step == steps else Measured(steps)]
        if best := checkpoint.named(folder, "best"):
            states += [checkpoint.measured(best), (results.best if results else None) or Measured(steps)]
        return all(state.is_whole("test") for state in states)
    return False


def best_of(plan: Plan, metrics: Mapping[str, Mapping[str, float]]) -> float:
    """Return the metric that chooses the best checkpoint; higher is better, and non-finite values are the worst.

    Raise a RecipeError if `record.best` does not name exactly one metric.
    """
    name, wanted = plan.record.best, plan.record.best.removeprefix("-")
    found = {f"{role}.{metric}": value for role, part in metrics.items() for metric, value in part.items()}
    fitting = [value for key, value in found.items() if wanted in (key, key.partition(".")[2])]
    if len(fitting) != 1:
        problem = f"{len(fitting) or 'no'} metrics are called '{wanted}'"
        raise RecipeError([plan.recipe.problem(("record", "best"), problem, nearest(name, found))])
    value = -fitting[0] if name.startswith("-") else fitting[0]
    return value if math.isfinite(value) else -math.inf
