"""What observers for trackers share: when a tracker is told what, each thing once, and never at a run's cost."""

import json
import tomllib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ganforge import InputError, hookimpl, to_json

if TYPE_CHECKING:
    from ganforge import Run


class Tracker(ABC):
    """Tells a tracker of a run: settings, losses, rates, speed, metrics, sample pictures, warnings.

    The tracker's own name for the run, and the steps that it was told of, are kept in the run's folder, so that a run
    that goes on does so under the same name, and no step stands there twice. The first failure of the tracker, such as
    a network that is gone, is a warning; then it is told no more, and the training goes on.

    Attributes:
        name: of the tracker.
    """

    name: str

    def __init__(self) -> None:
        self._open = self._failed = False
        self._id: str | None = None
        self._told: dict[str, int] = {}

    @abstractmethod
    def open(self, run: "Run", known: str | None) -> str:
        """Begin a run of the tracker, or go on with the one that it knows by a name; return that name."""

    @abstractmethod
    def tell(self, step: int, values: Mapping[str, float]) -> None:
        """Add numbers of a step."""

    @abstractmethod
    def show(self, step: int, picture: Any) -> None:
        """Add the sample picture of a step, bytes [H, W, 3]."""

    @abstractmethod
    def warn(self, messages: str) -> None:
        """Show all warnings so far, a line each."""

    @abstractmethod
    def close(self, *, finished: bool) -> None:
        """Say that nothing more comes, and whether the training was finished."""

    @hookimpl
    def ganforge_started(self, run: "Run") -> None:
        """Begin, or go on with what was begun."""

        def begin() -> None:
            self._id, self._told = _remembered(run, self.name)
            self._id = self.open(run, self._id)
            self._open = True
            self._remember(run)

        if not self._open:  # a run that goes back to a checkpoint starts once more
            self._try(run, begin)

    @hookimpl
    def ganforge_logged(self, run: "Run", record: Mapping[str, Any]) -> None:
        """Add losses, learning rates and speed."""
        self._once(run, "log", lambda: self.tell(record["step"], numbers_of(record)))

    @hookimpl
    def ganforge_evaluated(self, run: "Run", metrics: Mapping[str, Mapping[str, float]], split: str) -> None:
        """Add the metrics."""
        self._once(run, split, lambda: self.tell(run.step, metrics_of(metrics, split)))

    @hookimpl(trylast=True)  # the picture is drawn first
    def ganforge_sampled(self, run: "Run") -> None:
        """Add the sample picture of this step."""
        if (picture := sample_of(run)) is not None:
            self._once(run, "samples", lambda: self.show(run.step, picture))

    @hookimpl
    def ganforge_warned(self, run: "Run") -> None:
        """Show the warning."""
        if self._open:
            self._try(run, lambda: self.warn("\n".join(run.warnings)))

    @hookimpl
    def ganforge_ended(self, run: "Run") -> None:
        """Close it."""
        if self._open:
            self._try(run, lambda: self.close(finished=run.over))
            self._open = False

    def _once(self, run: "Run", what: str, work: Callable[[], None]) -> None:
        """Tell something of this step, unless it was told before the run was interrupted."""
        if self._open and run.step > self._told.get(what, -1):
            self._try(run, work)
            self._told[what] = run.step
            self._remember(run)

    def _try(self, run: "Run", work: Callable[[], None]) -> None:
        """Do something with the tracker; where that fails, it is the last thing."""
        if self._failed:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a tracker's advice to programmers
                work()
        except Exception as error:
            self._failed, self._open = True, False
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            run.warn(f"{self.name} is told no more of this run, which goes on: {reason}")

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
    """Return the locked recipe as it is passed on, one flat table: `{"losses.adversarial.weight": 1.0, ...}`."""
    return dict(_flat(tomllib.loads(run.locked(passed_on=True))))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _file(name: str) -> str:
    return f"{name}.json"


def _remembered(run: "Run", name: str) -> tuple[str | None, dict[str, int]]:
    """Return the tracker's name for a run and what it was told; nothing where that is not known."""
    with suppress(InputError, OSError, ValueError, KeyError, TypeError, AttributeError):
        found = json.loads(run.files.read(_file(name)))
        told = {str(what): int(step) for what, step in found["told"].items()}
        if isinstance(found["id"], str):
            return found["id"], told
    return None, {}
