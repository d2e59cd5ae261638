"""The observer `mlflow`: an MLflow run, on a server or in a database file.

It needs the package mlflow; or mlflow-skinny and, for a database file, SQLAlchemy and Alembic. View it with
`mlflow ui`.
"""

import importlib
import os
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganforge import InputError
from ganforge_observers.tracker import Tracker, settings_of

if TYPE_CHECKING:
    from ganforge import Run

NEW = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"}
TOGETHER = 100  # parameters that a server accepts at once
LONGEST = 500  # characters of a parameter that every server accepts
LONGEST_TAG = 5000


class MLflow(Tracker):
    """Sends the run to MLflow: settings, losses, learning rates, speed, metrics, samples, warnings.

    Args:
        tracking_uri: a server, such as `http://127.0.0.1:5000`, a database, such as `sqlite:///mlflow.db`, or a folder;
            by default MLFLOW_TRACKING_URI, otherwise mlflow's own default: `mlflow.db` in the current folder.
        experiment: experiment of the run.
        run_name: name of the run; by default such as `discogan_toy/0001`.
        tags: tags of the run.
    """

    name = "mlflow"

    def __init__(
        self,
        *,
        tracking_uri: str | None = None,
        experiment: str = "ganforge",
        run_name: str | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        for key, value in NEW.items():  # no telemetry; a folder is accepted
            os.environ.setdefault(key, value)
        try:
            self._mlflow = importlib.import_module("mlflow")
            self._entities = importlib.import_module("mlflow.entities")
        except ImportError as error:
            raise InputError("needs the package mlflow: pip install 'ganforge[mlflow]'") from error
        self.tracking_uri, self.experiment, self.run_name, self.tags = tracking_uri, experiment, run_name, tags or {}
        self._client: Any = None
        self._run = ""

    def open(self, run: "Run", known: str | None) -> str:
        """Start or continue an MLflow run."""
        self._client = self._mlflow.MlflowClient(tracking_uri=self.tracking_uri)
        self._run = known if known is not None and self._is_there(known) else self._begin(run)
        self._client.update_run(self._run, status="RUNNING")
        there = self._client.get_run(self._run).data.params
        settings = {_key(key): _text(value) for key, value in settings_of(run).items()}
        new = [self._entities.Param(key, value) for key, value in settings.items() if key not in there]
        for start in range(0, len(new), TOGETHER):  # MLflow's parameters cannot be changed
            self._client.log_batch(self._run, params=new[start : start + TOGETHER])
        return self._run

    def _is_there(self, known: str) -> bool:
        try:
            return str(self._client.get_run(known).info.lifecycle_stage) == "active"
        except self._mlflow.MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def _begin(self, run: "Run") -> str:
        found = self._client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found else self._client.create_experiment(self.experiment)
        name = self.run_name or f"{run.plan.name}/{run.folder.name}"
        begun = self._client.create_run(experiment, run_name=name, tags=self.tags)
        return str(begun.info.run_id)

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers."""
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(_key(name), float(value), now, step) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def show(self, step: int, picture: Any) -> None:
        """Log a picture."""
        self._client.log_image(self._run, picture, key="samples", step=step)

    def warn(self, messages: str) -> None:
        """Set the warnings as a tag."""
        self._client.set_tag(self._run, "warnings", messages[-LONGEST_TAG:])

    def close(self, *, finished: bool) -> None:
        """Set the final status."""
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


def _key(name: str) -> str:
    """Return a name with only the characters that MLflow accepts."""
    return re.sub(r"[^\w\-. :/]", "_", name)


def _text(value: Any) -> str:
    return str(value)[:LONGEST]
