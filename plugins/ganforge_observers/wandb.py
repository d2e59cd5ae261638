"""The observer `wandb`: a run at Weights & Biases or, offline, in the run's folder for a later upload.

It needs the package wandb. Offline runs are uploaded by `wandb sync RUN/wandb/offline-*`.
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

INIT_SECONDS = "30"  # wait for the server's answer, unless WANDB_INIT_TIMEOUT is set
LOGIN_SECONDS = 60  # wait for the user to enter the key
FINISH_SECONDS = 600  # for uploading the rest at the end, which is also in the run's folder


class WandB(Tracker):
    """Sends the run to Weights & Biases: settings, losses, learning rates, speed, metrics, samples, warnings.

    Without the setting `mode`, the variable WANDB_MODE applies, otherwise wandb's own default.

    Args:
        project: project of the run.
        entity: user or team that owns the project; by default the user.
        run_name: name of the run; by default such as `discogan_toy/0001`.
        group: group of runs that belong together, such as seeds of one recipe.
        tags: tags of the run.
        mode: `offline` keeps everything in the run's folder and needs no network.
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
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # no telemetry
        try:
            self._wandb = importlib.import_module("wandb")
            self._wandb.Settings  # noqa: B018  # a folder called `wandb` would also be imported
        except (ImportError, AttributeError) as error:
            raise InputError("needs the package wandb: pip install 'ganforge[wandb]'") from error
        self.project, self.entity, self.run_name, self.group = project, entity, run_name, group
        self.tags, self.mode = tags, mode
        self._run: Any = None

    def open(self, run: "Run", known: str | None) -> str:
        """Start or continue a wandb run."""
        run.files.folder(self.name, create=True).close()  # refuses a link
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
            resume="allow",  # offline it is stored for `wandb sync`
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
        """Log numbers."""
        self._run.log({"step": step, **values})

    def show(self, step: int, picture: Any) -> None:
        """Log a picture."""
        self._run.log({"step": step, "samples": self._wandb.Image(picture)})

    def warn(self, messages: str) -> None:
        """Set the warnings in the summary."""
        self._run.summary["warnings"] = messages

    def close(self, *, finished: bool) -> None:
        """Write or upload the rest."""
        self._run.finish(exit_code=0 if finished else 1)
