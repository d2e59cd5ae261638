"""`ganforge compare`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ganforge import (
    AsJson,
    Device,
    Devices,
    InputError,
    PluginFiles,
    RunFailedError,
    Sets,
    StoppedError,
    complete_recipe,
    count_cores,
    printable,
    tell,
    to_json,
    understand,
)

if TYPE_CHECKING:
    import torch

    from ganforge_compare.comparison import Wanted

_vary = typer.Option(
    "--vary", metavar="KEY=VALUE,VALUE,...", help="Train each recipe with each value; several make a grid; repeatable."
)
_slurm = typer.Option(
    "--slurm", metavar="OPTION=VALUE", help="An option of sbatch, such as partition=gpu or time=4:00:00; repeatable."
)


def compare(
    context: typer.Context,
    recipes: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE...", help="Recipes' files, or names of shipped ones.", autocompletion=complete_recipe
        ),
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Number of runs of each recipe, with seeds 0, 1, ...")] = 3,
    vary: Annotated[list[str] | None, _vary] = None,
    sets: Sets = None,
    plugin: PluginFiles = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the comparison.")] = Path("comparison"),
    on: Annotated[Literal["local", "slurm"], typer.Option("--on", help="Where to train.")] = "local",
    slurm: Annotated[list[str] | None, _slurm] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the comparison's jobs in Slurm's queue.")] = False,
    device: Device = "auto",
    devices: Devices = "",
    jobs: Annotated[
        int, typer.Option(min=0, help="Runs at a time; 0: one per core, one on a GPU, or left to Slurm.")
    ] = 0,
    level: Annotated[float, typer.Option(help="Confidence level of the intervals, between 0 and 1.")] = 0.95,
    as_json: AsJson = False,
) -> None:
    """Train several recipes with several seeds, unless they are trained already, and compare their metrics."""
    if not 0 < level < 1:
        raise InputError(f"--level: expected a number between 0 and 1, got {level}")
    if on == "local" and (slurm or cancel):
        raise InputError(f"--{'slurm' if slurm else 'cancel'} needs --on slurm")
    wanted = _wanted(context, recipes, vary or (), sets or (), plugin or ())
    from ganforge import count_devices, pick_device
    from ganforge_compare import comparison, findings, results, tables
    from ganforge_compare.display import Display
    from ganforge_compare.work.local import Local
    from ganforge_compare.work.slurm import Slurm, require_not_queued, require_slurm, runs

    options = [word for text in sets or () for word in ("--set", text)]
    options += [word for path in plugin or () for word in ("--plugin", str(path))]
    several = ["--devices", devices] if devices else []
    place: comparison.Place
    if on == "slurm":
        require_slurm(slurm or ())
        here = _device_of_jobs(device)
        place = queue = Slurm(out, options, ["--device", device, *several], slurm or (), jobs, _say)
    else:
        here = pick_device(device)
        if devices:
            count_devices(devices, device)
        place = Local(options, ["--device", str(here), *several], _jobs(jobs, here, devices))
    members = comparison.members(wanted, seeds, out, here)
    held = comparison.occupy(out)
    try:
        if cancel:
            tell(f"cancelled: {runs(queue.cancel(members))}; the same command without --cancel continues")
            return
        if on == "local":
            require_not_queued(out, [member for member in members if not member.is_done])
        with Display() as display:
            failures = comparison.train(members, place, display.show)
        for failure in failures:
            _say(failure)
        for member in members:  # a job may have been submitted with other settings
            comparison.require_same(member)
        trained = findings.read(members, _say)
        if not trained:
            raise RunFailedError("no run got far enough to be compared")
        found = findings.gather(trained, level)
        written = results.write(out, found, [member for member, _ in trained])
    except (StoppedError, KeyboardInterrupt):
        _say(place.left)
        raise
    finally:
        held.release()
    if as_json:
        typer.echo(to_json(results.nest(found)))
    else:
        tables.show(found)
        for what, path in written.items():
            tell(f"{what + ':':7} {path}")
        for key in found.varied.keys() - written.keys():
            tell(f"note: no plot for {key}: there is no metric, or too many lines")
    if failures:
        raise RunFailedError(f"{len(failures)} of {len(members)} runs failed")


def _jobs(asked: int, device: "torch.device", devices: str) -> int:
    """Return how many runs to train at a time: as asked; or one per core, and one if each takes a GPU or several."""
    if asked or device.type != "cpu" or devices:
        return asked or 1
    return count_cores()


def _device_of_jobs(name: str) -> "torch.device":
    """Return the device of the jobs, which this machine need not have."""
    import torch

    try:
        return torch.device("cuda" if name == "auto" else name)
    except RuntimeError:
        raise InputError(f"--device: expected auto, cpu, cuda or mps, got '{name}'") from None


def _say(text: str) -> None:
    """Print lines to standard error."""
    for line in text.split("\n"):
        typer.echo(printable(line), err=True)


def _wanted(
    context: typer.Context, recipes: Sequence[str], vary: Sequence[str], sets: Sequence[str], plugin: Sequence[Path]
) -> list["Wanted"]:
    """Resolve every recipe at every point of the grid; report all problems at once."""
    from ganforge_compare import grid

    points = grid.points(vary)
    plans, problems = [], []
    for recipe in recipes:
        mine = []
        for point in points:
            try:
                mine.append((understand(context, recipe, [*sets, *point.sets], plugin), point))
            except InputError as error:
                if not point.values:
                    raise
                problems += [f"{recipe}: {_of_vary(line, point.values)}" for line in map(str, error.args)]
        if not problems:
            grid.require_effect(recipe, mine)
            if not all(plan.evaluations for plan, _ in mine):
                problems.append(f"{recipe}: no evaluations, so nothing to compare; add a table [evaluations.NAME]")
        plans += [(recipe, *one) for one in mine]
    if problems:
        raise InputError(*dict.fromkeys(problems))
    from ganforge_compare.comparison import Wanted

    return [Wanted(*one) for one in plans]


def _of_vary(line: str, keys: Iterable[str]) -> str:
    """Replace the override in an error by the option that the user gave."""
    for key in keys:
        line = line.replace(f"--set {key}=", f"--vary {key}=")
    return line
