"""`ganforge evaluate`."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ganforge import (
    AsJson,
    Device,
    InputError,
    NormName,
    PluginFiles,
    plugins_with,
    print_metrics,
    tell,
    to_json,
)

PACK = "recipe.toml"  # which a folder of weights that is passed on has, and no run
Evaluated = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, a checkpoint's, or weights.")]
_moved = typer.Option("--set", metavar="KEY=VALUE", help="Where the data are, or others: dataset.root=DIR; repeatable.")
_out = typer.Option(metavar="DIR", help="Folder for metrics.json and figures; by default RUN, if these are its data.")


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
    """Run the recipe's evaluations on a run's newest checkpoint, or on weights."""
    plugins = plugins_with(context, plugin)
    from ganforge import Folder, evaluate as evaluate_trained, load_trained, other_data, pick_device

    trained = load_trained(run, plugins, pick_device(device), norm, sets or ())
    others = other_data(trained.plan, trained.dataset, sets or ()) if trained.plan.evaluations else ""
    if others:
        plugins.say(f"note: these are not the data of the training, and the metrics are not the run's: {others}")
    target = out or (run if run.is_dir() and not (run / PACK).exists() and not others else None)
    try:
        with ExitStack() as stack:
            if target is None:  # what is passed on, and what is measured on its own data, stays as it is
                place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            else:
                place = target
                place.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(Folder(place))
            stack.enter_context(trained.evaluating())
            metrics, failures = evaluate_trained(trained, folder, figures=target is not None)
    except OSError as error:
        raise InputError(f"cannot write to {target}: {error.strerror}") from error
    if as_json:
        typer.echo(to_json(metrics))
    elif metrics:
        print_metrics(metrics)
        tell(f"figures: {target / 'figures'}" if target else "figures are written with --out DIR")
    elif not failures:
        tell("the recipe has no evaluations")
    for failure in failures:
        raise failure
