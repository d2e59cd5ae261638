"""`ganforge evaluate`."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge import (
    METRICS,
    AsJson,
    Device,
    GanforgeError,
    InputError,
    NormName,
    PluginFiles,
    complete_run,
    plugins_with,
    print_results,
    tell,
)

if TYPE_CHECKING:
    from ganforge import Folder, Measured, Trained

PACK = "recipe.toml"  # which a pack has, and no run
Evaluated = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's or checkpoint's folder, or weights.", autocompletion=complete_run)
]
_moved = typer.Option("--set", metavar="KEY=VALUE", help="dataset.root=DIR, or other evaluations; repeatable.")
_out = typer.Option(metavar="DIR", help="Folder for metrics.json and figures; by default RUN, if no --set is given.")


def evaluate(
    context: typer.Context,
    run: Evaluated,
    out: Annotated[Path | None, _out] = None,
    sets: Annotated[list[str] | None, _moved] = None,
    norm: NormName = None,
    plugin: PluginFiles = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Run the recipe's evaluations on a run's newest checkpoint and on its best one, or on weights."""
    plugins = plugins_with(context, plugin)
    from ganforge import Folder, Results, load_trained, named, other_data, pick_device, read_results

    trained = load_trained(run, plugins, pick_device(device), norm, sets or ())
    best, newest = (named(run, pointer) for pointer in ("best", "latest"))
    others = other_data(trained.plan, trained.dataset, sets or ()) if trained.plan.evaluations else ""
    own = trained.plan.recipe.table.get("train", {}).get("norm")
    if norm is not None and norm != own:
        others = "; ".join([*filter(None, [others]), f"train.norm is {own}, not {norm}"])
    if others:
        plugins.say(f"note: these are not the run's own metrics: {others}")
    target = out or (run if run.is_dir() and not (run / PACK).exists() and not others else None)
    failures: list[GanforgeError] = []
    try:
        with ExitStack() as stack:
            folder = None
            if target is not None:  # packs and the metrics on the run's own data are not overwritten
                target.mkdir(parents=True, exist_ok=True)
                folder = stack.enter_context(Folder(target))
            known = read_results(run) if run.is_dir() else None
            last = _measure(trained, folder, "figures", known.last if known else None, failures, plugins.say)
            results = Results(last)
            if best == newest is not None:
                results = Results(last, last, trained.plan.record.best)
            elif best is not None:
                loaded = load_trained(best, plugins, trained.device, norm, sets or ())
                before = known.best if known else None
                found = _measure(loaded, folder, "figures/best", before, failures, plugins.say)
                results = Results(last, found, trained.plan.record.best)
            if folder is not None and last:
                folder.write(METRICS, results.text())
    except OSError as error:
        raise InputError(f"cannot write to {target}: {error.strerror}") from error
    if as_json:
        typer.echo(results.text(), nl=False)
    elif last:
        print_results(results)
        if target is None:
            tell("figures are written with --out DIR")
        elif (target / "figures").is_dir():
            tell(f"figures: {target / 'figures'}")
    elif not failures:
        tell("the recipe has no evaluations")
    for failure in failures:
        raise failure


def _measure(
    trained: "Trained",
    folder: "Folder | None",
    figures: str,
    known: "Measured | None",
    failures: list[GanforgeError],
    say: Callable[[str], None],
) -> "Measured":
    """Evaluate networks on the test split; return the metrics, with those already known of other splits."""
    from ganforge import Measured, evaluate as evaluate_trained

    with trained.evaluating():
        found = evaluate_trained(trained, folder, figures)
    failures.extend(found.failed.values())
    for warning in found.warnings:
        say(f"warning: {warning}")
    before = known if known is not None and known.step == trained.step else Measured(trained.step)
    return before.with_split("test", found.metrics, found.about, list(found.failed))
