"""`ganforge evaluate`."""

from typing import Annotated

import typer

from ganforge import (
    AsJson,
    Device,
    InputError,
    NormName,
    PluginFiles,
    RunFolder,
    plugins_with,
    print_metrics,
    tell,
    to_json,
)

_moved = typer.Option("--set", metavar="KEY=VALUE", help="Where the data are now: dataset.root=DIR; repeatable.")


def evaluate(
    context: typer.Context,
    run: RunFolder,
    sets: Annotated[list[str] | None, _moved] = None,
    norm: NormName = None,
    plugin: PluginFiles = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Run the recipe's evaluations on a run's newest checkpoint."""
    plugins = plugins_with(context, plugin)
    from ganforge import Folder, evaluate as evaluate_trained, load_trained, pick_device

    if not run.is_dir():
        raise InputError(f"no run at '{run}'")
    trained = load_trained(run, plugins, pick_device(device), norm, sets or ())
    try:
        with Folder(run) as folder, trained.evaluating():
            metrics, failures = evaluate_trained(trained, folder)
    except OSError as error:
        raise InputError(f"cannot write to {run}: {error.strerror}") from error
    if as_json:
        typer.echo(to_json(metrics))
    elif metrics:
        print_metrics(metrics)
        tell(f"figures: {run / 'figures'}")
    elif not failures:
        tell("the recipe has no evaluations")
    for failure in failures:
        raise failure
