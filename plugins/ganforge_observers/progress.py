"""The progress display: a bar with losses, speed and the time left; plain lines without a terminal."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ganforge import Plan, Run, hookimpl, printable

PLAIN_SECONDS = 10
TIMED_SECONDS = 10  # of steps, before the total time is estimated
WORTH_SAYING, LONG = 600, 3600  # seconds left
LONGEST = 30  # characters of a task's name

# Settings that show results on a CPU within an hour: those of the recipe base_64_small.
SMALL = {"size": 64, "width": 16, "batch": 32, "steps": 10_000}


class Line(Progress):
    """A line for each task that fits the width: the bar is left out first, the count and the time left last."""

    def __init__(self, console: Console) -> None:
        what, losses, speed = (
            TextColumn(f"{{task.{name}}}", markup=False) for name in ("description", "fields[losses]", "fields[speed]")
        )
        bar = BarColumn()
        self.whole = (what, bar, MofNCompleteColumn(), speed, TimeRemainingColumn(), losses)
        self.dispensable = (bar, losses, speed, what)
        self.place = console
        super().__init__(*self.whole, console=console)

    def get_renderables(self) -> Iterator[RenderableType]:
        """Choose the columns again, since a terminal's width may change."""
        shown = list(self.whole)
        for column in self.dispensable:
            if self._width(shown) > self.place.width:
                shown.remove(column)
        self.columns = tuple(shown)
        yield self.make_tasks_table(self.tasks)

    def _width(self, columns: Any) -> int:
        options = self.place.options.update(max_width=1000)
        widest = [
            max((Measurement.get(self.place, options, column(task)).maximum for task in self.tasks), default=0)
            for column in columns
        ]
        return sum(widest) + len(widest)


class ProgressBar:
    """Shows the progress of preparation and training."""

    def __init__(self) -> None:
        self.console = Console(emoji=False)
        self.live = self.console.is_terminal and not self.console.is_dumb_terminal
        self.bar = Line(self.console)
        self.tasks: dict[str, TaskID] = {}
        self.said = time.monotonic()
        self.first: tuple[int, float] | None = None
        self.told = False

    @hookimpl
    def ganforge_working(self, run: Run, what: str, done: int, total: int) -> None:
        """Update the bar of work other than training."""
        self._move(what, done, total)
        if not self.live and time.monotonic() - self.said > PLAIN_SECONDS:
            self._say(f"{what}: {done}/{total}")

    @hookimpl
    def ganforge_started(self, run: Run) -> None:
        """Start the training's bar, also after a rewind."""
        self.first = None
        self._move("training", run.step, run.plan.train.steps)

    @hookimpl
    def ganforge_ticked(self, run: Run) -> None:
        """Update the training's bar."""
        self._move("training", run.step, run.plan.train.steps)
        self._tell_duration(run)

    @hookimpl
    def ganforge_logged(self, run: Run, record: Mapping[str, Any]) -> None:
        """Show the newest losses."""
        losses = "  ".join(
            f"{name} {record['losses'][name]:.3f}"
            for name in ("generator", "discriminator")
            if name in record["losses"]
        )
        speed = f"{record['steps_per_second']:.1f} steps/s"
        self._move("training", run.step, run.plan.train.steps, losses=losses, speed=speed)
        last = run.step == run.plan.train.steps
        if not self.live and (last or time.monotonic() - self.said > PLAIN_SECONDS):
            left = (run.plan.train.steps - run.step) / max(record["steps_per_second"], 1e-9)
            self._say(f"step {run.step}/{run.plan.train.steps}  {losses}  {speed}  {duration(left)} left")

    @hookimpl
    def ganforge_warned(self, run: Run, message: str) -> None:
        """Show a warning above the bar."""
        self._say(f"warning: {message}", style="yellow")

    @hookimpl
    def ganforge_ended(self, run: Run) -> None:
        """Stop the bars and leave them visible."""
        self.bar.stop()

    def _tell_duration(self, run: Run) -> None:
        """Print once how long a long training takes, and how to start a shorter one."""
        now = time.monotonic()
        if self.first is None:
            self.first = run.step, now  # the first steps are slower
        steps, seconds = run.step - self.first[0], now - self.first[1]
        if self.told or seconds < TIMED_SECONDS or steps < 1:
            return
        self.told = True
        left = (run.plan.train.steps - run.step) * seconds / steps
        if left >= WORTH_SAYING:
            self._say(f"about {duration(left)} left at {steps / seconds:.2g} steps/s")
        smaller = smaller_settings(run.plan)
        if left >= LONG and run.device.type == "cpu" and smaller:
            words = " ".join(f"--set {key}={value}" for key, value in smaller.items())
            self._say(f"for faster first results, start with {words}, as in the recipe base_64_small")

    def _say(self, text: str, style: str = "") -> None:
        self.said = time.monotonic()
        self.console.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True)

    def _move(self, what: str, done: int, total: int, **fields: str) -> None:
        if not self.live:
            return
        if what not in self.tasks:
            self.bar.start()
            name = printable(what)
            name = name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}..."
            self.tasks[what] = self.bar.add_task(name, completed=done, total=total, speed="", losses="")
        self.bar.update(self.tasks[what], completed=done, total=total, **fields)  # type: ignore[arg-type]


def duration(seconds: float) -> str:
    """Format a rough duration.

    >>> duration(42), duration(1000), duration(9000), duration(108_000)
    ('42 s', '17 min', '2.5 h', '30 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36_000 else f"{seconds / 3600:.0f} h"


def smaller_settings(plan: Plan) -> dict[str, int]:
    """Return the settings of `SMALL` for which the recipe has a larger value, as keys of `--set`."""
    tables = {"dataset": plan.dataset.settings, "train": {"batch": plan.train.batch, "steps": plan.train.steps}}
    tables |= {network.role: choice.settings for network, choice in plan.networks.values()}
    return {
        f"{table}.{key}": small
        for table, settings in tables.items()
        for key, small in SMALL.items()
        if isinstance(settings.get(key), int) and settings[key] > small
    }
