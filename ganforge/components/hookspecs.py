"""The hooks that plugins may implement: their signatures, and when they are called.

Mark an implementation with `ganforge.hookimpl`. It takes the arguments that it needs, by name.
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
    """Called when components are needed: register them. Import torch here, not at the top, to keep commands fast."""


@hookspec
def ganforge_recipes() -> Iterable[Path]:  # type: ignore[empty-body]
    """Called when recipes are listed or looked up: return TOML files. A recipe's name is its file's stem."""


@hookspec
def ganforge_archives() -> Iterable[Archive]:  # type: ignore[empty-body]
    """Called when `ganforge data fetch` starts: return the public data sets or weights that it can download."""


@hookspec
def ganforge_locate(name: str) -> Path | None:
    """Called when weights are named, as in `hub:NAME`, not given by path: return their folder, or None if not yours.

    Raise InputError or RunFailedError if they cannot be loaded.
    """


@hookspec
def ganforge_commands(app: "typer.Typer") -> None:
    """Called when the command line starts: add commands."""


@hookspec
def ganforge_observers(run: "Run") -> Iterable[object]:  # type: ignore[empty-body]
    """Called when any run starts: return objects that implement the hooks below. An `observer` is for chosen runs."""


@hookspec
def ganforge_working(run: "Run", what: str, done: int, total: int) -> None:
    """Called when work other than training advances: `done` of `total` units of `what`."""


@hookspec
def ganforge_started(run: "Run") -> None:
    """Called when everything is built, before the first step; `run.step` steps are done."""


@hookspec
def ganforge_ticked(run: "Run") -> None:
    """Called when steps were made, at most four times a second. Do not read tensors here: the loop would wait."""


@hookspec
def ganforge_logged(run: "Run", record: Mapping[str, Any]) -> None:
    """Called when `record.log_every` steps were made: `record` holds the mean of each loss since the last record."""


@hookspec
def ganforge_sampled(run: "Run") -> None:
    """Called when `record.sample_every` steps were made; `run.sample()` yields the views of fixed test inputs.

    Pass slow work that needs no network, such as writing a picture, to `run.beside.begin(job)`.
    """


@hookspec
def ganforge_saving(run: "Run") -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Called when a checkpoint is written: return your state as nested dicts, lists, tensors and JSON values."""


@hookspec
def ganforge_restored(run: "Run", states: Mapping[str, Any]) -> None:
    """Called when a run is resumed or rewound: `states` holds saved states by plugin, of observers by `plugin/role`."""


@hookspec
def ganforge_checkpointed(run: "Run", folder: Path) -> None:
    """Called when a checkpoint is safely on disk. Training continues meanwhile, so `run.step` may be later."""


@hookspec
def ganforge_evaluated(run: "Run", metrics: Mapping[str, Mapping[str, float]], split: str) -> None:
    """Called when the evaluations have run: `metrics` of each, on the split `validation` or `test`."""


@hookspec
def ganforge_warned(run: "Run", message: str) -> None:
    """Called when the run has a warning."""


@hookspec
def ganforge_ended(run: "Run") -> None:
    """Called when the run ends, after its last step, an interruption or a failure: close what was opened."""
