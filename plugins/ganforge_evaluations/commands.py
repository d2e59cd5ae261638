"""`ganforge evaluate`."""

import typer

from ganforge import AsJson, Device, InputError, NormName, PluginFiles, RunFolder, plugins_with, print_metrics, to_json


def evaluate(
    context: typer.Context,
    run: RunFolder,
    norm: NormName = None,
    plugin: PluginFiles = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Run the recipe's evaluations on a run's newest checkpoint."""
    plugins = plugins_with(context, plugin)
    from ganforge import evaluate as evaluate_trained, load_trained, pick_device

    if not run.is_dir():
        raise InputError(f"no run at '{run}'")
    trained = load_trained(run, plugins, pick_device(device), norm)
    with trained.evaluating():
        metrics = evaluate_trained(trained, run)
    if as_json:
        typer.echo(to_json(metrics))
    elif metrics:
        print_metrics(metrics)
        typer.echo(f"figures: {run / 'figures'}")
    else:
        typer.echo("the recipe has no evaluations")
