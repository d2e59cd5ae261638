"""The runs of a comparison: every recipe, at every point of a grid, with every seed; missing ones are trained."""

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

LOOK_SECONDS = 0.5  # between looks at whether a signal asked to stop


@frozen
class Wanted:
    """A recipe at a point of the grid: what the user calls it, and what was understood of it."""

    recipe: str
    plan: Plan
    point: Point = field(factory=Point)


@frozen
class Member:
    """One run of a comparison: a recipe at a point with a seed, and the folder it has or will have."""

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
        """The file that holds what the training printed last."""
        return self.out / f"{self.plan.name}.txt"

    @property
    def label(self) -> str:
        """Such as `discogan_toy, seed 3`."""
        return f"{self.name}, seed {self.seed}"

    @property
    def is_done(self) -> bool:
        """Whether the run's last step is saved and tested."""
        return is_finished(self.folder, self.plan)

    def steps_done(self) -> int:
        """Return how many steps the run's log tells of."""
        return min(last_step(self.folder), self.plan.train.steps)


def members(wanted: Sequence[Wanted], seeds: int, out: Path, device: torch.device) -> list[Member]:
    """List the runs, after a look at those that are there: all with the first seed, then all with the next one.

    Args:
        wanted: the recipes, each at every point.
        seeds: how many of each; they count from 0.
        out: folder of the comparison.
        device: where they are trained.

    Raises:
        InputError: two recipes have one name, or a run that is there has other settings or code, or cannot be read.
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
    """Refuse with an InputError a run that is there with other settings, or with code that its recipe does not name."""
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
    """Make the folder of the comparison and keep other comparisons out of it.

    Raises:
        InputError: another process is at work there, or the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}") from error
    return hold(out)


class Place(Protocol):
    """Where runs are trained, such as this machine."""

    seconds: float  # between looks at what they do

    def begin(self, missing: Sequence[Member]) -> None:
        """Begin to train, or see to it that they will be."""

    def look(self) -> Mapping[str, Doing]:
        """Return what is going on, by what it is called; nothing once all that was begun has ended."""

    def end(self) -> None:
        """Let go: all has ended, or the user or an error has interrupted it."""

    @property
    def failures(self) -> list[str]:
        """What has failed up to now, some lines each."""

    @property
    def left(self) -> str:
        """What an interruption leaves, and how to go on."""


Show = Callable[[int, int, Mapping[str, Doing]], None]


def train(wanted: Sequence[Member], place: Place, show: Show) -> list[str]:
    """Train every member that is not done; return what failed, some lines each.

    Args:
        wanted: the members.
        place: where to train.
        show: told how many steps of all are done, and what is going on.

    Raises:
        StoppedError: a signal asked to stop.
        InputError: another process is at work on a run, or a folder cannot be written.
    """
    total = sum(member.plan.train.steps for member in wanted)
    asked: list[int] = []
    # However many signals come, the trainings have time to save.
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
    """Refuse with an InputError a run on which another process is at work."""
    for member in missing:
        if member.folder.exists():
            hold(member.folder).release()
