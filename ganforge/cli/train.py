"""The commands that train: `run` and `resume`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge.cli import common
from ganforge.errors import GanforgeError, InputError, StoppedError

if TYPE_CHECKING:
    import torch

    from ganforge.runs.run import Run

_out = typer.Option(metavar="DIR", help="Folder for runs.")
_changes = typer.Option("--set", metavar="KEY=VALUE", help="Change train.steps, record.*, or the place of the data.")


def run(
    context: typer.Context,
    recipe: common.RecipeName,
    sets: common.Sets = None,
    plugin: common.PluginFiles = None,
    out: Annotated[Path, _out] = Path("runs"),
    device: common.Device = "auto",
    devices: common.Devices = "",
) -> None:
    """Train a recipe."""
    plan = common.understand(context, recipe, sets, plugin)
    if _is_launched(devices, device):
        return
    from ganforge.runs.opening import create, earlier_run, reopen

    with _joined(device) as place:
        with common.progress() as report:
            if (earlier := earlier_run()) is not None:
                started = reopen(earlier, context.obj, place, (), report)
            else:
                started = create(plan, context.obj, out, place, report)
        _train(started)


def resume(
    context: typer.Context,
    run: common.RunFolder,
    sets: Annotated[list[str] | None, _changes] = None,
    plugin: common.PluginFiles = None,
    device: common.Device = "auto",
    devices: common.Devices = "",
) -> None:
    """Resume a run exactly where it stopped."""
    plugins = common.plugins_with(context, plugin)
    if _is_launched(devices, device):
        return
    from ganforge.runs.opening import reopen

    with _joined(device) as place:
        with common.progress() as report:
            reopened = reopen(run, plugins, place, sets or (), report)
        if not reopened.done:
            _train(reopened)
            return
        reopened.close()
        steps, asked = reopened.step, reopened.plan.train.steps
        if steps < asked:
            way = "To continue: --set train.patience=0"
            common.tell(f"{run} is done: its metric stopped improving after {steps} of {asked} steps. {way}")
            return
        done = f"{steps} of {asked} steps" if steps == asked else f"{steps} steps, more than the {asked} asked for"
        common.tell(f"{run} is done: {done}. To extend it: --set train.steps={2 * steps}")


def _is_launched(devices: str, device: str) -> bool:
    """If several devices are asked for, run this command again for each, and wait for all of them.

    Raises:
        InputError: the devices do not exist.
        GanforgeError: one of the processes failed.
    """
    if not devices:
        return False
    from ganforge.cli.launch import count_devices, launch, without
    from ganforge.training import ranks

    if ranks.wanted() > 1:
        raise InputError("--devices: torchrun sets the number of processes; leave it out")
    count = count_devices(devices, device)
    if count == 1:
        return False
    launch(count, without("--devices", sys.argv[1:]))
    return True


@contextmanager
def _joined(device: str) -> "Iterator[torch.device]":
    """Yield the device of this process, which may be one of several that torchrun started."""
    from ganforge.runs.assemble import pick_device
    from ganforge.training import ranks

    place = pick_device(device)
    if place.type == "cuda" and ranks.wanted() > 1:
        import torch

        place = torch.device("cuda", ranks.local())
        torch.cuda.set_device(place)
    with ranks.joined(place):
        yield place


def _train(started: "Run") -> None:
    """Train with all observers attached, and print where the results are."""
    from ganforge.runs.clock import shares
    from ganforge.training import launched, ranks

    if not ranks.is_lead():  # without observers and output
        try:
            started.build()
            started.train()
        finally:
            started.close()
        return
    launched.tell_run(started.folder)
    plugins = started.plugins
    among = f", {ranks.world()} devices" if ranks.world() > 1 else ""
    try:
        _attach_observers(started)
        common.tell(f"{started.plan.name}: {started.folder} on {started.device}{among}")
        if foreign := [f"{plugin.name} {plugin.version} ({plugin.origin})" for plugin in plugins.foreign()]:
            common.tell(f"plugins: {', '.join(foreign)}")
        started.build()
    except (GanforgeError, KeyboardInterrupt):
        started.discard()
        raise
    try:
        if started.memory:
            common.tell(started.memory)
        started.train()
    except (KeyboardInterrupt, StoppedError):
        devices = f" --devices {ranks.world()}" if ranks.world() > 1 else ""
        way = f"continue with: ganforge resume {started.folder}{devices}" if started.newest else "nothing was saved"
        common.say(f"interrupted at step {started.step}; {way}")
        raise
    finally:
        started.close()
    if started.results:
        common.print_results(started.results)
    folder = started.folder
    places = {"figures": "figures/*.png", "samples": "samples/*.png", "log": "log.jsonl", "report": "report.html"}
    for label, pattern in places.items():
        files = sorted(path for path in folder.glob(pattern) if not path.stem.endswith("_initial"))
        if files:
            common.tell(f"{label + ':':9}{files[-1]}")
    common.tell(f"weights: {folder / 'checkpoints' / started.newest}")
    common.tell(f"time:    {shares(started.clock.seconds)}")
    if started.results and (best := started.results.best) and best.step != started.step:
        common.tell(f"best:    {folder / 'checkpoints' / 'best'} (step {best.step})")
    for failure in started.failures:
        raise failure


def _attach_observers(started: "Run") -> None:
    """Attach the observers: those that plugins always add, and those that the recipe names."""
    plugins = started.plugins
    for name, observers in list(plugins.each("ganforge_observers", run=started)):
        for observer in observers:
            plugins.admit(f"{name}.{type(observer).__name__}", observer)
    tables = started.plan.recipe.table.get("observers", {})
    for role, choice in started.plan.observers.items():
        with started.plan.located(("observers", role) if role in tables else ("record", "observers")):
            plugins.attach(f"{choice.component.plugin}/{role}", partial(choice.make, run=started))
