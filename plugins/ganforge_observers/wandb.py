"""The observer `wandb`: a run at Weights & Biases, or, offline, in the run's folder, to be sent there later.

It needs the package wandb. Offline, `wandb sync RUN/wandb/offline-*` sends what was kept.
"""

import importlib
import os
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from ganforge import InputError
from ganforge_observers.tracker import Tracker, settings_of

if TYPE_CHECKING:
    from ganforge import Run

INIT_SECONDS = "30"  # that the training waits for a server's answer, if WANDB_INIT_TIMEOUT says nothing
LOGIN_SECONDS = 60  # that a question for the key waits for the user's
FINISH_SECONDS = 600  # that the rest is sent for at the end; it lies in the run's folder, too


class WandB(Tracker):
    """Tells Weights & Biases of the run: settings, losses, rates, speed, metrics, samples, warnings.

    Where the setting `mode` says nothing, the variable WANDB_MODE counts, and then what wandb itself would do.

    Args:
        project: under which runs are put together.
        entity: whose project it is, a user or a team; by default the user's own.
        run_name: by default such as `discogan_toy/0001`.
        group: of runs that belong together, such as seeds of one recipe.
        tags: to find runs by.
        mode: `offline` keeps all in the run's folder, and needs no network.
    """

    name = "wandb"

    def __init__(
        self,
        *,
        project: str = "ganforge",
        entity: str | None = None,
        run_name: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        mode: Literal["online", "offline"] | None = None,
    ) -> None:
        super().__init__()
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # what the recipe does not ask for
        try:
            self._wandb = importlib.import_module("wandb")
            self._wandb.Settings  # noqa: B018  # a folder called `wandb` would be imported, too
        except (ImportError, AttributeError) as error:
            raise InputError("needs the package wandb: pip install 'ganforge[wandb]'") from error
        self.project, self.entity, self.run_name, self.group = project, entity, run_name, group
        self.tags, self.mode = tags, mode
        self._run: Any = None

    def open(self, run: "Run", known: str | None) -> str:
        """Begin a run of wandb, or go on with one."""
        run.files.folder(self.name, create=True).close()  # which refuses a link
        settings = self._wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            finish_timeout=FINISH_SECONDS,
            finish_timeout_raises=True,
            init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", INIT_SECONDS)),
            login_timeout=LOGIN_SECONDS,
            silent=True,
        )
        name = known or secrets.token_hex(8)
        self._run = self._wandb.init(
            project=self.project,
            entity=self.entity,
            name=self.run_name or f"{run.plan.name}/{run.folder.name}",
            group=self.group,
            tags=self.tags,
            dir=str(run.folder),
            id=name,
            resume="allow",  # offline it is noted for `wandb sync`
            mode=self.mode,
            config=settings_of(run),
            allow_val_change=True,
            settings=settings,
            reinit="create_new",
        )
        self._run.define_metric("*", step_metric="step")
        if url := self._run.url:
            run.plugins.say(f"wandb: {url}")
        return name

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        """Add a row."""
        self._run.log({"step": step, **values})

    def show(self, step: int, picture: Any) -> None:
        """Add a picture."""
        self._run.log({"step": step, "samples": self._wandb.Image(picture)})

    def warn(self, messages: str) -> None:
        """Show the warnings in the summary."""
        self._run.summary["warnings"] = messages

    def close(self, *, finished: bool) -> None:
        """Have all written, or sent."""
        self._run.finish(exit_code=0 if finished else 1)
