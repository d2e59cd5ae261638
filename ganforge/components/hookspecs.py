"""Every hook that a plugin may answer: its exact signature and what it is for.

Mark an implementation with `ganforge.hookimpl`; it may ask for any part of the arguments, by name.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from ganforge.components.registry import Register
from ganforge.data.archives import Archive

if TYPE_CHECKING:
    import typer

    from ganforge.runs.run import Run

hookspec = pluggy.HookspecMarker("ganforge")
hookimpl = pluggy.HookimplMarker("ganforge")


@hookspec
def ganforge_register(register: Register) -> None:
    """Register components. Import what is heavy (torch) in here, so that the command line answers at once."""


@hookspec
def ganforge_recipes() -> Iterable[Path]:  # type: ignore[empty-body]
    """Return the TOML files of shipped recipes; a recipe's name is its file's stem."""


@hookspec
def ganforge_archives() -> Iterable[Archive]:  # type: ignore[empty-body]
    """Return the public data sets that `ganforge data fetch` can download."""


@hookspec
def ganforge_locate(name: str) -> Path | None:
    """Return the folder of weights that have a name such as `hub:NAME`, and no path; None where it is another's name.

    An InputError or a RunFailedError says why they cannot be had.
    """


@hookspec
def ganforge_commands(app: "typer.Typer") -> None:
    """Add commands to the command line."""


@hookspec
def ganforge_observers(run: "Run") -> Iterable[object]:  # type: ignore[empty-body]
    """Return objects whose methods answer the hooks below, for every run; a component `observer` is for some runs."""


@hookspec
def ganforge_working(run: "Run", what: str, done: int, total: int) -> None:
    """Work before or beside the training goes on: `done` of `total` units of `what`."""


@hookspec
def ganforge_started(run: "Run") -> None:
    """Say that everything is built; `run.step` steps are behind it."""


@hookspec
def ganforge_ticked(run: "Run") -> None:
    """Say, at most four times a second, that steps were made; reading a tensor here would make the loop wait."""


@hookspec
def ganforge_logged(run: "Run", record: Mapping[str, Any]) -> None:
    """Take the means of all losses since the last record, every `record.log_every` steps."""


@hookspec
def ganforge_sampled(run: "Run") -> None:
    """Look at the run every `record.sample_every` steps; `run.sample()` yields views of fixed test inputs.

    What takes time and needs no network any more, such as writing a picture, may be left to `run.beside.begin(job)`.
    """


@hookspec
def ganforge_saving(run: "Run") -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Return what a plugin must have back when the run is resumed: a nest of dicts, lists, tensors and JSON values."""


@hookspec
def ganforge_restored(run: "Run", states: Mapping[str, Any]) -> None:
    """Take back what `ganforge_saving` returned: `states` holds it by the plugin, an observer's by `plugin/role`."""


@hookspec
def ganforge_checkpointed(run: "Run", folder: Path) -> None:
    """Say that a checkpoint is safely on disk; it is written while the run goes on, so `run.step` may be later."""


@hookspec
def ganforge_evaluated(run: "Run", metrics: Mapping[str, Mapping[str, float]], split: str) -> None:
    """Take the metrics of each of the recipe's evaluations of this step, on the split `validation` or `test`."""


@hookspec
def ganforge_warned(run: "Run", message: str) -> None:
    """Show a warning that concerns the run."""


@hookspec
def ganforge_ended(run: "Run") -> None:
    """Close what was opened; called after the last step, an interruption or a failure."""
