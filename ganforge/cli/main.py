"""The command line. Torch is imported inside of the commands that need it, so that the others answer at once."""

import json
import os
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from attrs import NOTHING
from rich.console import Console

from ganforge import cli_data
from ganforge.cli.command import (
    AsJson,
    Device,
    PluginFiles,
    RecipeName,
    Sets,
    errors,
    plugins_with,
    print_rows,
    progress,
    understand,
)
from ganforge.components.describe import describe, describe_value
from ganforge.components.plugins import ALLOWED, Plugins
from ganforge.components.registry import KINDS, PHASES, Component
from ganforge.components.settings import plain
from ganforge.errors import (
    GanforgeError,
    InputError,
    PluginError,
    RecipeError,
    RunFailedError,
    StoppedError,
    nearest,
    printable,
)
from ganforge.recipe import layers as recipes

if TYPE_CHECKING:
    from ganforge.runs.run import Run

app = typer.Typer(
    name="ganforge",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cli_data.app)
NO_PLUGINS = "--no-plugins"
NormName = Annotated[
    Literal["recalibrated", "running", "batch"] | None,
    typer.Option(help="Statistics of batch normalisation, if not the recipe's `train.norm`."),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/discogan_toy/0001.")]


def main() -> None:
    """Run the command line and exit with ganforge's exit status."""
    try:
        plugins = _plugins()
        for _ in plugins.each("ganforge_commands", app=app):
            pass
        app(obj=plugins, prog_name="ganforge", args=[word for word in sys.argv[1:] if word != NO_PLUGINS])
    except GanforgeError as error:
        for line in printable(str(error)).split("\n"):
            errors.print(f"error: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
        if isinstance(error, PluginError) and error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        sys.exit(error.status)
    except StoppedError as stopped:
        sys.exit(128 + stopped.number)
    except KeyboardInterrupt:
        sys.exit(130)


def _plugins() -> Plugins:
    def say(message: str) -> None:
        errors.print(printable(message), style="yellow", markup=False, highlight=False, soft_wrap=True)

    # Plugins bring commands of their own, so this is settled before there is a command line to read.
    if NO_PLUGINS in sys.argv[1:]:
        os.environ[ALLOWED] = ""  # also for the processes of a comparison
    allowed = os.environ.get(ALLOWED)
    plugins = Plugins(say, None if allowed is None else list(filter(None, allowed.split(os.pathsep))))
    plugins.load_installed()
    return plugins


@app.callback()
def everywhere(
    no_plugins: Annotated[
        bool, typer.Option(NO_PLUGINS, help="Load no code but ganforge's own; may stand anywhere.")
    ] = False,
) -> None:
    """Train GANs that translate between two domains without paired data."""


@app.command()
def run(
    context: typer.Context,
    recipe: RecipeName,
    sets: Sets = None,
    plugin: PluginFiles = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for runs.")] = Path("runs"),
    device: Device = "auto",
) -> None:
    """Train a recipe."""
    plan = understand(context, recipe, sets, plugin)
    from ganforge.runs.start import create, pick_device

    place = pick_device(device)
    with progress() as report:
        started = create(plan, context.obj, out, place, report)
    _train(started)


@app.command()
def resume(
    context: typer.Context,
    run: RunFolder,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another train.steps or train.*_every.")
    ] = None,
    plugin: PluginFiles = None,
    device: Device = "auto",
) -> None:
    """Go on with a run exactly where it stopped."""
    plugins = plugins_with(context, plugin)
    from ganforge.runs.run import is_finished
    from ganforge.runs.start import pick_device, reopen

    place = pick_device(device)
    with progress() as report:
        reopened = reopen(run, plugins, place, sets or (), report)
    if reopened.step >= reopened.plan.train.steps and is_finished(reopened.folder, reopened.plan):
        steps = reopened.plan.train.steps
        reopened.close()
        typer.echo(f"{run} is done: {reopened.step} of {steps} steps. To extend it: --set train.steps={2 * steps}")
        return
    _train(reopened)


def _train(started: "Run") -> None:
    """Train with all observers attached, and say where things are."""
    plugins = started.plugins
    for name, observers in list(plugins.each("ganforge_observers", run=started)):
        for observer in observers:
            plugins.manager.register(observer, f"{name}.{type(observer).__name__}")
    typer.echo(f"{started.plan.name}: {started.folder} on {started.device}")
    if foreign := [f"{plugin.name} {plugin.version} ({plugin.origin})" for plugin in plugins.foreign()]:
        typer.echo(printable(f"plugins: {', '.join(foreign)}"))
    try:
        started.build()
        started.train()
    except StoppedError:
        typer.echo(f"interrupted at step {started.step}; go on with: ganforge resume {started.folder}", err=True)
        raise
    finally:
        started.close()
    if started.metrics:
        _print_metrics(started.metrics)
    folder = started.folder
    for label, place in (
        ("figures", folder / "figures"),
        ("samples", folder / "samples"),
        ("log", folder / "log.jsonl"),
        ("report", folder / "report.html"),
    ):
        files = sorted(place.glob("*.png")) if place.is_dir() else [place]
        files = [path for path in files if not path.stem.endswith("_initial")]
        if files and files[-1].exists():
            typer.echo(f"{label + ':':9}{files[-1]}")
    typer.echo(f"weights: {folder / 'checkpoints' / (folder / 'checkpoints' / 'latest').read_text()}")


@app.command()
def translate(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, a checkpoint's, or a weights file.")],
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Pictures, or folders of pictures.")],
    direction: Annotated[str, typer.Option(help="AB or BA.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the translations.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    norm: NormName = None,
    plugin: PluginFiles = None,
    device: Device = "auto",
) -> None:
    """Translate pictures with trained weights."""
    plugins = plugins_with(context, plugin)
    from ganforge.runs.start import pick_device
    from ganforge.runs.trained import load
    from ganforge.translate import plan_jobs, suffix_for
    from ganforge.translate import translate as translate_jobs

    trained = load(run, plugins, pick_device(device), norm)
    trained.generator(direction)
    jobs = plan_jobs(inputs, out, suffix=suffix_for(trained, direction), overwrite=overwrite)
    with progress() as report:
        failed = list(translate_jobs(trained, direction, jobs, partial(report, "translating")))
    typer.echo(f"{len(jobs) - len(failed)} of {len(jobs)} pictures translated into {out}")
    if failed:
        raise InputError("\n".join(reason for _, reason in failed))


@app.command()
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
    from ganforge.runs.run import evaluate as evaluate_trained
    from ganforge.runs.start import pick_device
    from ganforge.runs.trained import load

    if not run.is_dir():
        raise InputError(f"no run at '{run}'")
    trained = load(run, plugins, pick_device(device), norm)
    with trained.evaluating():
        metrics = evaluate_trained(trained, run)
    if as_json:
        typer.echo(json.dumps(metrics))
    elif metrics:
        _print_metrics(metrics)
        typer.echo(f"figures: {run / 'figures'}")
    else:
        typer.echo("the recipe has no evaluations")


@app.command()
def compare(
    context: typer.Context,
    recipes: Annotated[
        list[str], typer.Argument(metavar="RECIPE...", help="Recipes' files, or names of shipped ones.")
    ],
    seeds: Annotated[int, typer.Option(min=1, help="How many runs of each recipe, with seeds 0, 1, ...")] = 3,
    sets: Sets = None,
    plugin: PluginFiles = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the comparison.")] = Path("comparison"),
    device: Device = "auto",
    jobs: Annotated[int, typer.Option(min=0, help="Runs at a time; 0: one a core, or one on a GPU.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train several recipes with several seeds, as far as they are not trained, and compare their metrics."""
    plans = [(recipe, understand(context, recipe, sets, plugin)) for recipe in recipes]
    from ganforge import compare as comparison
    from ganforge.runs.start import pick_device

    place = pick_device(device)
    wanted = comparison.members(plans, seeds, out, place)
    options = [word for text in sets or () for word in ("--set", text)]
    options += [word for path in plugin or () for word in ("--plugin", str(path))]
    try:
        with progress() as report:
            failures = comparison.train(wanted, options, place, jobs, report)
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on", err=True)
        raise
    summary = comparison.write(out, wanted)
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        print_rows(comparison.rows_of(summary), as_json=False)
        typer.echo(f"figure: {out / 'comparison.png'}\npage:   {out / 'comparison.html'}")
    if failures:
        raise RunFailedError("\n".join(failures))


@app.command()
def bench(
    context: typer.Context,
    recipe: RecipeName,
    sets: Sets = None,
    plugin: PluginFiles = None,
    device: Device = "auto",
    data: Annotated[bool, typer.Option("--data", help="Take the recipe's data, not random samples.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure, about.")] = 20.0,
    as_json: AsJson = False,
) -> None:
    """Measure how fast a recipe's step is, against a plain step of the same networks."""
    plan = understand(context, recipe, sets, plugin)
    from ganforge.bench import bench as measure
    from ganforge.runs.start import pick_device

    place = pick_device(device)
    with progress() as report:
        found = measure(plan, place, seconds=seconds / 2, real_data=data, report=report)
    if as_json:
        typer.echo(json.dumps(found))
        return
    parts = {f"  {name}, ms": value for name, value in found.pop("parts_ms").items()}
    rows = [
        {"figure": name.replace("_", " "), "value": f"{value:.4g}" if isinstance(value, float) else str(value)}
        for name, value in (found | parts).items()
    ]
    print_rows(rows, as_json=False)


@app.command("list")
def list_components(
    context: typer.Context,
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help=f"One of {', '.join(KINDS)}.")] = None,
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """List the components there are."""
    plugins = plugins_with(context, plugin)
    if kind is not None and kind not in KINDS:
        raise InputError(f"unknown kind '{kind}'; {nearest(kind, KINDS)}")
    rows = [
        {
            "kind": one,
            "name": found.name,
            "summary": found.summary,
            "plugin": found.plugin,
            "version": plugins.known[found.plugin].version,
        }
        for one in ([kind] if kind else KINDS)
        for found in plugins.registry.of(one)
    ]
    print_rows(rows, as_json)


@app.command()
def show(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, or plugin/name.")],
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """Show a component: its settings with types, defaults and ranges, and what it asks for."""
    plugins = plugins_with(context, plugin)
    if kind not in KINDS:
        raise InputError(f"unknown kind '{kind}'; {nearest(kind, KINDS)}")
    component = plugins.registry.find(kind, name)
    settings = [
        {
            "setting": setting.name,
            "type": describe(setting.type),
            "default": None if setting.default is NOTHING else plain(setting.default),
            "required": setting.default is NOTHING,
            "range": setting.ranges,
        }
        for setting in component.signature.settings.values()
    ]
    by_phase = {phase: component.asked(phase) for phase in PHASES} if kind == "loss" else {}
    asked = {phase: names for phase, names in by_phase.items() if names is not None}
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "kind": kind,
                    "name": component.name,
                    "plugin": component.plugin,
                    "doc": _doc(component),
                    "settings": settings,
                    "asks": asked,
                }
            )
        )
        return
    console = Console()
    console.print(f"{kind} {component.name}  ({component.plugin})", style="bold", markup=False)
    console.print(_doc(component), markup=False, highlight=False)
    for phase, names in asked.items():
        console.print(f"\nasks for, in the {phase} phase: {', '.join(names)}", markup=False)
    if settings:
        for row in settings:
            row["default"] = (
                "(required)" if row["required"] else "" if row["default"] is None else describe_value(row["default"])
            )
        console.print()
        print_rows(
            [{key: row[key] for key in ("setting", "type", "default", "range")} for row in settings], as_json=False
        )


@app.command("recipes")
def list_recipes(context: typer.Context, as_json: AsJson = False) -> None:
    """List the shipped recipes."""
    rows = [
        {"name": name, "summary": recipes.summary(path.read_text(encoding="utf-8"))}
        for name, path in context.obj.recipes().items()
        if not name.startswith("base_")
    ]
    print_rows(rows, as_json)


@app.command("plugins")
def list_plugins(context: typer.Context, plugin: PluginFiles = None, as_json: AsJson = False) -> None:
    """List the plugins with their hooks, and what is wrong with those that do not load."""
    plugins = plugins_with(context, plugin)
    _ = plugins.registry
    rows = [
        {
            "name": name,
            "version": found.version,
            "from": found.origin,
            "hooks": ", ".join(found.hooks),
            "error": found.error,
        }
        for name, found in plugins.known.items()
    ]
    print_rows(rows, as_json)


@app.command()
def validate(
    context: typer.Context, recipe: RecipeName, sets: Sets = None, plugin: PluginFiles = None, as_json: AsJson = False
) -> None:
    """Find all errors of a recipe without training."""
    problems: list[dict[str, str]] = []
    try:
        plan = understand(context, recipe, sets, plugin)
        from ganforge.data.batches import require
        from ganforge.training import build

        dataset = build.make_dataset(plan)
        build.check(plan, dataset)
        with build.located(plan, ("dataset",)):
            require(dataset.open("train"), plan.train.batch)
            dataset.open("test")
    except RecipeError as error:
        if not as_json:
            raise
        problems = [
            {"where": one.where, "key": one.key, "message": one.message, "hint": one.hint} for one in error.problems
        ]
    if as_json:
        typer.echo(json.dumps(problems))
        raise typer.Exit(2 if problems else 0)
    typer.echo(f"{recipe}: no problems")


def _doc(component: Component) -> str:
    import inspect

    return inspect.getdoc(component.factory) or ""


def _print_metrics(metrics: dict[str, dict[str, float]]) -> None:
    print_rows(
        [
            {"evaluation": role, "metric": name, "value": f"{value:.4g}"}
            for role, found in metrics.items()
            for name, value in found.items()
        ],
        as_json=False,
    )
