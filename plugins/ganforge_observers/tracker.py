"""The base of observers for trackers: send everything once, and never disturb a run."""

import json
import tomllib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ganforge import InputError, flatten, hookimpl, to_json

if TYPE_CHECKING:
    from ganforge import Run


class Tracker(ABC):
    """Sends a run to a tracker: settings, losses, learning rates, speed, metrics, sample pictures, warnings.

    The tracker's own name for the run and the steps already sent are kept in the run's folder. So a resumed run
    continues under the same name, and no step is sent twice. After the tracker's first failure, such as a lost network,
    there is a warning, nothing more is sent, and the training continues.

    Attributes:
        name: name of the tracker.
    """

    name: str

    def __init__(self) -> None:
        self._open = self._failed = False
        self._id: str | None = None
        self._told: dict[str, int] = {}

    @abstractmethod
    def open(self, run: "Run", known: str | None) -> str:
        """Start a run of the tracker, or continue the one with a known name; return its name."""

    @abstractmethod
    def tell(self, step: int, values: Mapping[str, float]) -> None:
        """Send numbers of a step."""

    @abstractmethod
    def show(self, step: int, picture: Any) -> None:
        """Send the sample picture of a step, bytes [H, W, 3]."""

    @abstractmethod
    def warn(self, messages: str) -> None:
        """Send all warnings so far, a line each."""

    @abstractmethod
    def close(self, *, finished: bool) -> None:
        """Close the run, and say whether the training finished."""

    @hookimpl
    def ganforge_started(self, run: "Run") -> None:
        """Start or continue the tracker's run."""

        def begin() -> None:
            self._id, self._told = _remembered(run, self.name)
            self._id = self.open(run, self._id)
            self._open = True
            self._remember(run)

        if not self._open:  # a rewound run starts again
            self._try(run, begin)

    @hookimpl
    def ganforge_logged(self, run: "Run", record: Mapping[str, Any]) -> None:
        """Send losses, learning rates and speed."""
        self._once(run, "log", lambda: self.tell(record["step"], numbers_of(record)))

    @hookimpl
    def ganforge_evaluated(self, run: "Run", metrics: Mapping[str, Mapping[str, float]], split: str) -> None:
        """Send the metrics."""
        self._once(run, split, lambda: self.tell(run.step, metrics_of(metrics, split)))

    @hookimpl(trylast=True)  # after the picture is drawn
    def ganforge_sampled(self, run: "Run") -> None:
        """Send the sample picture of this step."""
        if (picture := sample_of(run)) is not None:
            self._once(run, "samples", lambda: self.show(run.step, picture))

    @hookimpl
    def ganforge_warned(self, run: "Run") -> None:
        """Send the warnings."""
        if self._open:
            self._try(run, lambda: self.warn("\n".join(run.warnings)))

    @hookimpl
    def ganforge_ended(self, run: "Run") -> None:
        """Close the tracker's run."""
        if self._open:
            self._try(run, lambda: self.close(finished=run.over))
            self._open = False

    def _once(self, run: "Run", what: str, work: Callable[[], None]) -> None:
        """Send something for this step, unless it was sent before an interruption."""
        if self._open and run.step > self._told.get(what, -1):
            self._try(run, work)
            self._told[what] = run.step
            self._remember(run)

    def _try(self, run: "Run", work: Callable[[], None]) -> None:
        """Use the tracker; if that fails, never use it again."""
        if self._failed:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a tracker's warnings for programmers
                work()
        except Exception as error:
            self._failed, self._open = True, False
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            run.warn(f"nothing more of this run is sent to {self.name}; the run continues: {reason}")

    def _remember(self, run: "Run") -> None:
        if self._open:
            run.files.write(_file(self.name), to_json({"id": self._id, "told": self._told}), lasting=False)


def numbers_of(record: Mapping[str, Any]) -> dict[str, float]:
    """Name the numbers of a log record: `losses/<player>.<role>.<direction>`, `rates/<player>`, `speed/...`."""
    losses = {f"losses/{name}": value for name, value in record["losses"].items()}
    rates = {f"rates/{player}": rate for player, rate in record.get("rates", {}).items()}
    return {**losses, **rates, "speed/steps_per_second": record["steps_per_second"]}


def metrics_of(metrics: Mapping[str, Mapping[str, float]], split: str) -> dict[str, float]:
    """Name metrics: `<split>/<evaluation>.<metric>`."""
    return {f"{split}/{role}.{name}": value for role, found in metrics.items() for name, value in found.items()}


def sample_of(run: "Run") -> Any:
    """Return the sample picture of the current step, bytes [H, W, 3]; None if there is none."""
    import numpy as np
    from PIL import Image

    name = f"samples/step-{run.step:08d}.png"
    run.beside.wait()
    if not run.files.has(name):
        return None
    with Image.open(BytesIO(run.files.read(name))) as image:
        return np.array(image.convert("RGB"))


def settings_of(run: "Run") -> dict[str, Any]:
    """Return the locked recipe as one flat table: `{"losses.adversarial.weight": 1.0, ...}`."""
    return flatten(tomllib.loads(run.locked(passed_on=True)))


def _file(name: str) -> str:
    return f"{name}.json"


def _remembered(run: "Run", name: str) -> tuple[str | None, dict[str, int]]:
    """Return the tracker's name for a run and what was sent; empty if unknown."""
    with suppress(InputError, OSError, ValueError, KeyError, TypeError, AttributeError):
        found = json.loads(run.files.read(_file(name)))
        told = {str(what): int(step) for what, step in found["told"].items()}
        if isinstance(found["id"], str):
            return found["id"], told
    return None, {}
