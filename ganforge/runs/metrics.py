"""What a run's evaluations find: its metrics, its figures, and whether it is better than ever."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ganforge.disk import write_text
from ganforge.errors import InputError, RecipeError, nearest
from ganforge.recipe.plan import Plan
from ganforge.runs import checkpoint
from ganforge.runs.log import read_metrics
from ganforge.runs.trained import Trained

Metrics = dict[str, dict[str, float]]


def evaluate(trained: Trained, folder: Path, *, figures: bool = True) -> Metrics:
    """Run the recipe's evaluations on trained networks; write `metrics.json` and `figures/*.png` into the folder."""
    found: Metrics = {}
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


def is_finished(folder: Path, plan: Plan) -> bool:
    """Whether a run's last step is saved, and evaluated where the recipe has evaluations."""
    with suppress(InputError):
        if checkpoint.read_step(checkpoint.pointed(folder / "checkpoints", "latest")) >= plan.train.steps:
            return not plan.evaluations or bool(read_metrics(folder).get("step", 0) >= plan.train.steps)
    return False


def best_of(plan: Plan, metrics: Mapping[str, Mapping[str, float]]) -> float:
    """Return the metric that picks the best checkpoint, the higher the better; a RecipeError says if it is not one."""
    name, wanted = plan.record.best, plan.record.best.removeprefix("-")
    found = {f"{role}.{metric}": value for role, part in metrics.items() for metric, value in part.items()}
    fitting = [value for key, value in found.items() if wanted in (key, key.partition(".")[2])]
    if len(fitting) != 1:
        problem = f"{len(fitting) or 'no'} metrics are called '{wanted}'"
        raise RecipeError([plan.recipe.problem(("record", "best"), problem, nearest(name, found))])
    return -fitting[0] if name.startswith("-") else fitting[0]
