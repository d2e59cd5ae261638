"""The runs of a comparison: every recipe at every point of a grid with every seed; missing ones are trained."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from attrs import evolve, field, frozen
from filelock import BaseFileLock

from ganforge import STOPPING, InputError, Plan, StoppedError, handling, hold, is_finished, last_step, settle
from ganforge_compare.difference import first_difference, foreign_code
from ganforge_compare.display import Doing
from ganforge_compare.grid import Point, as_name

LOOK_SECONDS = 0.5  # between checks for a signal to stop


@frozen
class Wanted:
    """A recipe at a point of the grid: the name that the user gave, and the resolved plan."""

    recipe: str
    plan: Plan
    point: Point = field(factory=Point)


@frozen
class Member:
    """One run of a comparison: a recipe at a point with a seed, and its folder, which may not exist yet."""

    recipe: str
    plan: Plan
    seed: int
    out: Path
    point: Point = field(factory=Point)

    @property
    def name(self) -> str:
        """Such as `discogan_toy`, or in a grid `discogan_toy, losses.reconstruction.weight=10`."""
        return ", ".join((self.plan.name, *self.point.sets))

    @property
    def folder(self) -> Path:
        """The run's folder; a comparison keeps one run of each recipe, point and seed."""
        return self.out / self.plan.name / "0001"

    @property
    def output(self) -> Path:
        """The file with the latest output of the training."""
        return self.out / f"{self.plan.name}.txt"

    @property
    def label(self) -> str:
        """Such as `discogan_toy, seed 3`."""
        return f"{self.name}, seed {self.seed}"

    @property
    def is_done(self) -> bool:
        """Whether the run's last step is saved and evaluated."""
        return is_finished(self.folder, self.plan)

    def steps_done(self) -> int:
        """Return the number of steps in the run's log."""
        return min(last_step(self.folder), self.plan.train.steps)


def members(wanted: Sequence[Wanted], seeds: int, out: Path, device: torch.device) -> list[Member]:
    """List the runs, after checking existing ones: all with the first seed, then all with the next one.

    Args:
        wanted: the recipes, each at every point.
        seeds: number of seeds, which count from 0.
        out: folder of the comparison.
        device: device to train on.

    Raises:
        InputError: two recipes have the same name, or an existing run has other settings or code, or cannot be read.
    """
    names = [(one.plan.name, one.point.label) for one in wanted]
    if len(names) > len(set(names)):
        raise InputError(
            f"recipes to compare must have different names, got {', '.join(one.plan.name for one in wanted)}"
        )
    for one in wanted:
        settle(one.plan, device)
    found = []
    for seed in range(seeds):
        for one in wanted:
            plan = evolve(one.plan, train=evolve(one.plan.train, seed=seed))
            above = out / as_name(one.point.label) if one.point.values else out
            member = Member(one.recipe, plan, seed, above / f"seed-{seed}", one.point)
            require_same(member)
            found.append(member)
    return found


def require_same(member: Member) -> None:
    """Raise an InputError if an existing run has other settings, or code that its recipe does not name."""
    if difference := first_difference(member.folder, member.plan):
        key, there, wanted = difference
        raise InputError(
            f"{member.folder} was trained with {key} = {there!r}, not {wanted!r}; "
            "compare into another folder with --out, or delete that run"
        )
    if name := foreign_code(member.folder, member.plan):
        raise InputError(
            f"{member.folder / name} is not the code that '{member.recipe}' names; "
            "compare into another folder with --out, or delete that run"
        )


def occupy(out: Path) -> BaseFileLock:
    """Make the folder of the comparison and lock it against other comparisons.

    Raises:
        InputError: another process uses the folder, or it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}") from error
    return hold(out)


class Place(Protocol):
    """Where runs are trained, such as this machine."""

    seconds: float  # between calls of `look`

    def begin(self, missing: Sequence[Member]) -> None:
        """Start the trainings, or submit them."""

    def look(self) -> Mapping[str, Doing]:
        """Return what each running training does, by its label; empty once all have ended."""

    def end(self) -> None:
        """Clean up: all trainings have ended, or the user or an error interrupted them."""

    @property
    def failures(self) -> list[str]:
        """The failures so far, some lines each."""

    @property
    def left(self) -> str:
        """What remains after an interruption, and how to continue."""


Show = Callable[[int, int, Mapping[str, Doing]], None]


def train(wanted: Sequence[Member], place: Place, show: Show) -> list[str]:
    """Train every member that is not done; return the failures, some lines each.

    Args:
        wanted: the members.
        place: where to train.
        show: called with the steps done, the total, and what the trainings do.

    Raises:
        StoppedError: a signal asked to stop.
        InputError: another process uses a run, or a folder cannot be written.
    """
    total = sum(member.plan.train.steps for member in wanted)
    asked: list[int] = []
    # Further signals do not shorten the time to save.
    with handling(dict.fromkeys(STOPPING, lambda number, frame: asked.append(number))):
        try:
            place.begin([member for member in wanted if not member.is_done])
            while working := place.look():
                show(sum(member.steps_done() for member in wanted), total, working)
                until = time.monotonic() + place.seconds
                while not asked and (rest := until - time.monotonic()) > 0:
                    time.sleep(min(LOOK_SECONDS, rest))
                if asked:
                    raise StoppedError(asked[0])
        finally:
            place.end()
    return place.failures


def require_free(missing: Sequence[Member]) -> None:
    """Raise an InputError if another process uses one of the runs."""
    for member in missing:
        if member.folder.exists():
            hold(member.folder).release()
