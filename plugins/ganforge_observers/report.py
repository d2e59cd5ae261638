"""`report.html`: all of a run on one page that needs nothing else: state, losses, metrics, pictures, warnings, recipe.

The template draws the charts itself, from paths that are worked out here: in a hundredth of the time that a plotting
library takes, since the page is made anew while a run trains; and they follow the page's width and colours.
"""

import math
import os
import re
import statistics
import sys
import time
import warnings
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field, frozen
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup
from PIL import Image

from ganforge import (
    InputError,
    hookimpl,
    leads_out,
    log_lines,
    nearest,
    open_inside,
    read_inside,
    read_lock,
    read_results,
    write_output,
)

if TYPE_CHECKING:
    from ganforge import Run

NAME = "report.html"
LOCK = "recipe.lock.toml"
POINTS = 500  # of a curve, at most
WAITING = 8 * POINTS  # points that come before a curve is thinned
CURVES = 200  # of a kind, at most
SPEEDS = 1000  # the newest ones, whose median is told
NAME_LENGTH, WARNING_LENGTH = 200, 2000  # characters, at most, of a curve's name and of a warning
SHOWN_SAMPLES = 24
SHOWN_FIGURES = 24
SHOWN_WARNINGS = 100
SAMPLE_BYTES = 4_500_000  # of all sample pictures; a third more as text
FIGURE_BYTES = 1_500_000
PICTURE_BYTES = 1 << 25  # a larger file is left out
WIDEST = 1600  # pixels, of a picture that is made smaller
NARROWEST = 240
FIRST_SECONDS = 10.0  # of training before the page is first made
SHARE = 0.02  # of the training's time that the page may cost
PNG_END = b"IEND\xaeB`\x82"
# Control characters, changes of the writing direction, and halves of characters, which are no text.
UNSHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

Point = tuple[int, float]  # step, value


class Report:
    """Writes the page at checkpoints, if that costs little, and at the end."""

    def __init__(self) -> None:
        self.due = time.monotonic() + FIRST_SECONDS

    @hookimpl(trylast=True)
    def ganforge_checkpointed(self, run: "Run", folder: Path) -> None:
        """Write the page, if the last time is long enough ago."""
        began = time.monotonic()
        if began >= self.due:
            self._write(run, "training")
            ended = time.monotonic()
            self.due = ended + (ended - began) / SHARE

    @hookimpl(trylast=True)
    def ganforge_ended(self, run: "Run") -> None:
        """Write the page a last time."""
        state = "finished" if run.step >= run.plan.train.steps else "interrupted"
        self._write(run, "failed" if failure() else state)

    def _write(self, run: "Run", state: str) -> None:
        try:
            write(run.folder, state)
        except (InputError, FileNotFoundError) as error:  # no reason to stop the training
            run.warn(str(error))


class Warnings:
    """Writes the run's warnings, and why it failed, into its log, so that they are still known later."""

    def __init__(self) -> None:
        self.started = False

    @hookimpl(trylast=True)  # the log has been cut by then
    def ganforge_started(self, run: "Run") -> None:
        """Write the warnings that came while the run was built."""
        if not self.started:
            self.started = True
            for message in run.warnings:
                self._write(run, message)

    @hookimpl
    def ganforge_warned(self, run: "Run", message: str) -> None:
        """Write a warning."""
        if self.started:
            self._write(run, message)

    @hookimpl
    def ganforge_ended(self, run: "Run") -> None:
        """Write why the run failed, if it did."""
        if reason := failure():
            self._write(run, reason)

    def _write(self, run: "Run", message: str) -> None:
        from ganforge_observers import log

        with suppress(OSError):  # the warning may be about a disk that cannot be written
            log.append(run, {"step": run.step, "warning": message})


def failure() -> str:
    """Return why the training is being left, to be asked while it ends; empty if it is not for an error."""
    error = sys.exception()
    if not isinstance(error, Exception):
        return ""
    return f"the run failed: {error or type(error).__name__}"


def require_run(path: Path) -> None:
    """Refuse what is not a run's folder.

    Raises:
        InputError: it says what is there instead.
    """
    try:
        if (path / LOCK).is_file():
            return
        if not path.exists():
            there = path.parent.iterdir() if path.parent.is_dir() else ()
            beside = [other.name for other in there if other.is_dir()]
            raise InputError(f"no run at '{path}'; {nearest(path.name, beside)}".removesuffix("; "))
        runs = sorted(other.name for other in path.iterdir() if (other / LOCK).is_file()) if path.is_dir() else []
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    hint = f"did you mean '{path / runs[-1]}'?" if runs else f"a run's folder holds {LOCK}"
    raise InputError(f"'{path}' is not a run; {hint}")


def write(folder: Path, state: str = "", say: Callable[[str], None] = lambda _: None) -> Path:
    """Write a run's `report.html`, whole or not at all.

    Args:
        folder: the run's.
        state: in a word, where it is known.
        say: told of what in the folder cannot be read.

    Raises:
        InputError: the locked recipe cannot be read, or the page cannot be written.
    """
    found = gather(folder, state)
    for text in found["unread"]:
        say(text)
    return write_output(folder / NAME, template().render(found))


def gather(folder: Path, state: str) -> dict[str, Any]:
    """Return what the template shows. Files may be missing, or half written; what cannot be read is left out."""
    text, recipe = read_lock(folder)
    told = read_log(folder)
    unread = told.unread
    try:
        results = read_results(folder)
        metrics = {"step": results.last.step, **results.last.counting} if results else told.metrics
    except InputError as error:
        unread.append(str(error))
        metrics = told.metrics
    lock, steps = table(recipe, "lock"), table(recipe, "train").get("steps")
    steps = steps if type(steps) is int and 0 <= steps <= LARGEST else 0
    step = max(checkpoint_step(folder), told.step)
    return {
        "name": lock.get("name", folder.resolve().parent.name),
        "folder": folder.resolve().name,
        "summary": " ".join(line[1:].strip() for line in text.split("[", 1)[0].splitlines() if line.startswith("#")),
        "state": state or ("finished" if step >= steps else "not finished"),
        "step": step,
        "steps": steps,
        "speed": statistics.median(told.speeds) if told.speeds else None,
        "unread": unread,
        "warnings": [said(message, at) for message, at in told.warnings.items()],
        "more_warnings": told.more_warnings,
        "samples": embed(folder, spread(sample_files(folder), SHOWN_SAMPLES), SAMPLE_BYTES),
        "loss_charts": loss_charts(told.losses),
        "metrics": flat(metrics),
        "measured": metrics.get("step", 0),
        "metric_charts": metric_charts(told),
        "speed_chart": draw("steps per second", told.speed) if len(told.speeds) > 1 else None,
        "figures": embed(folder, figure_files(folder), FIGURE_BYTES),
        "recipe": text,
        "environment": {key: listed(value) for key, value in lock.items() if key != "name"},
    }


def said(message: str, step: int) -> str:
    """Say when a warning came, unless it says so itself."""
    return message if message.startswith(f"step {step}") else f"step {number(step)}: {message}"


@lru_cache(maxsize=1)
def template() -> Template:
    """Return the page's template, in which every text is escaped, and what cannot be shown is marked."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=shown
    )
    environment.filters |= {"number": number, "digest": digest}
    return environment.from_string(Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8"))


def shown(value: Any) -> Any:
    """Replace the characters of a text that no page can hold."""
    return UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", value) if type(value) is str else value


def digest(text: Markup) -> str:
    """Return the name by which the page's security policy allows its own script and style."""
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def number(value: float, digits: int = 4) -> str:
    """Write a number for people.

    >>> number(50000), number(0.123456), number(-2.0), number(float("nan"))
    ('50,000', '0.1235', '-2', 'nan')
    """
    if math.isfinite(value) and value == round(value) and abs(value) < 10**9:
        return f"{round(value):,}"
    return f"{value:.{digits}g}"


# What the files hold


Courses = dict[str, list[Point]]  # how numbers go over the training


@define
class Told:
    """What a log tells, gathered while it is read, in memory that does not grow with it."""

    step: int = 0
    losses: Courses = Factory(dict)
    measured: Courses = Factory(dict)  # metrics, `evaluation.metric`
    diversity: Courses = Factory(dict)
    speed: Courses = Factory(dict)
    speeds: deque[float] = field(factory=lambda: deque(maxlen=SPEEDS))
    metrics: dict[str, Any] = Factory(dict)  # the newest ones, with their step
    warnings: dict[str, int] = Factory(dict)  # each with the step at which it came first
    more_warnings: int = 0
    unread: list[str] = Factory(list)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take a record in."""
        step = record["step"]
        self.step = max(self.step, step)
        follow(self.losses, step, record.get("losses", {}))
        follow(self.diversity, step, record.get("sample_diversity", {}))
        if metrics := record.get("metrics"):
            follow(self.measured, step, flat(metrics))
            self.metrics = {"step": step, **metrics}
        if (speed := record.get("steps_per_second")) is not None:
            self.speeds.append(speed)
            follow(self.speed, step, {"": speed})
        if warning := record.get("warning"):
            message = warning[:WARNING_LENGTH]
            if message in self.warnings or len(self.warnings) < SHOWN_WARNINGS:
                self.warnings.setdefault(message, step)  # a resumed run may say it again
            else:
                self.more_warnings += 1


def follow(courses: Courses, step: int, values: Mapping[str, float]) -> None:
    """Add values to the courses of their names, of which there are at most `CURVES`, of some length."""
    for name, value in values.items():
        points = courses.get(name)
        if points is None:
            if len(courses) == CURVES or len(name) > NAME_LENGTH:
                continue
            points = courses[name] = []
        points.append((step, value))
        if len(points) > WAITING:
            points[:] = thinned(points)


def read_log(folder: Path) -> Told:
    """Read a run's log; what cannot be read is left out, and named in `unread`."""
    told, skipped = Told(), 0
    try:
        for _, record in log_lines(folder):
            if record is None:
                skipped += 1
            else:
                told.add(record)
    except InputError as error:
        told.unread.append(str(error))
    if skipped:
        told.unread.append(f"{skipped} damaged line{'s'[: skipped > 1]} of {folder / 'log.jsonl'} left out")
    return told


def table(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the table of a name; an empty one where there is none."""
    found = tables.get(name)
    return found if isinstance(found, dict) else {}


def flat(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Name each evaluation's metrics `evaluation.metric`."""
    return {f"{role}.{name}": value for role in tables for name, value in table(tables, role).items()}


def listed(value: Any) -> str:
    """Write a table of the lock in one line."""
    return ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else str(value)


def checkpoint_step(folder: Path) -> int:
    """Return the step of the newest checkpoint; 0 where there is none."""
    with suppress(InputError, FileNotFoundError):
        if step := re.fullmatch(rb"step-(\d{1,15})\s*", read_inside(folder, "checkpoints/latest")):
            return int(step[1])
    return 0


# Pictures


@frozen
class Picture:
    """A picture inside of the page."""

    label: str
    data: str
    width: int
    height: int


def sample_files(folder: Path) -> list[tuple[int, str]]:
    """Return the sample pictures with their steps, in order."""
    found = [(re.fullmatch(r"samples/step-(\d{1,15})\.png", name), name) for name in pictures_of(folder, "samples")]
    return sorted((int(step[1]), name) for step, name in found if step)


def figure_files(folder: Path) -> list[tuple[str, str]]:
    """Return the figures with their names; that of the initial state comes before the final one."""
    stems = [Path(name).stem for name in pictures_of(folder, "figures")]
    ordered = sorted(stems, key=lambda stem: (stem.removesuffix("_initial"), -len(stem)))
    return [(stem, f"figures/{stem}.png") for stem in ordered[:SHOWN_FIGURES]]


def pictures_of(folder: Path, part: str) -> list[str]:
    """Return the names of the pictures in a part of the run's folder; none where that lies elsewhere."""
    if leads_out(folder / part, folder):
        return []
    return [f"{part}/{path.name}" for path in (folder / part).glob("*.png")]


def spread(files: Sequence[tuple[int, str]], most: int) -> list[tuple[str, str]]:
    """Choose every first, second, fourth, ... file, and the last one.

    So nearly all that were chosen at one checkpoint are chosen at the next, and need not be made smaller anew.
    """
    stride = 1
    while len(chosen := [*files[:-1:stride], *files[-1:]]) > most:
        stride *= 2
    return [(number(step), name) for step, name in chosen]


def embed(folder: Path, files: Sequence[tuple[str, str]], budget: int) -> list[Picture]:
    """Take pictures into the page: as they are, or those that are too big smaller, so that all need `budget` bytes."""
    facts = {name: facts_of(folder, name) for _, name in files}
    share = budget // len(files) if sum(size for size, _ in facts.values()) > budget else budget
    found = []
    for label, name in files:
        size, changed = facts[name]
        if not 0 < size <= PICTURE_BYTES:
            continue
        # Whatever a damaged picture makes its decoder raise, or warn of, it is left out.
        with suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("error")
            kind, data, width, height = whole(folder, name) if size <= share else smaller(folder, name, changed, share)
            found.append(Picture(label, f"data:image/{kind};base64,{b64encode(data).decode()}", width, height))
    return found


def facts_of(folder: Path, name: str) -> tuple[int, int]:
    """Return a file's size in bytes and when it was changed; zeros for what is no file of the run's folder."""
    try:
        with open_inside(folder, name) as file:
            facts = os.fstat(file.fileno())
    except (InputError, FileNotFoundError):
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


def whole(folder: Path, name: str) -> tuple[str, bytes, int, int]:
    """Return a picture as it is: its kind, its bytes, its width and its height."""
    data = read_inside(folder, name, PICTURE_BYTES)
    if not data.endswith(PNG_END):
        raise ValueError("it is being written")
    with Image.open(BytesIO(data), formats=["PNG"]) as image:
        return "png", data, *image.size


@lru_cache(maxsize=4 * SHOWN_SAMPLES)
def smaller(folder: Path, name: str, changed: int, most: int) -> tuple[str, bytes, int, int]:
    """Return a picture as a JPEG of at most so many bytes: its kind, its bytes, its width and its height.

    Args:
        folder: the run's.
        name: of the picture in it.
        changed: when; so that the same picture is not made smaller again at the next checkpoint.
        most: how many bytes it may have.
    """
    with Image.open(BytesIO(read_inside(folder, name, PICTURE_BYTES)), formats=["PNG"]) as image:
        picture = image.convert("RGB") if image.mode in ("RGB", "L") else on_white(image)
    width = min(picture.width, WIDEST)
    while True:
        height = max(1, round(picture.height * width / picture.width))
        buffer = BytesIO()
        picture.resize((width, height), Image.Resampling.HAMMING).save(buffer, "JPEG", quality=88, subsampling=0)
        if buffer.tell() <= most or width <= NARROWEST:
            return "jpeg", buffer.getvalue(), width, height
        width = max(NARROWEST, int(width * min(0.9, math.sqrt(most / buffer.tell()))))


def on_white(image: Image.Image) -> Image.Image:
    """Lay a picture, which may be transparent, on white."""
    picture = Image.new("RGBA", image.size, "white")
    picture.alpha_composite(image.convert("RGBA"))
    return picture.convert("RGB")


# Charts

LEFT, RIGHT, TOP, BOTTOM = 58.0, 450.0, 10.0, 234.0  # of the area of curves, in the template's chart of 480 by 260
LOGARITHMIC_FROM = 100  # times between the smallest value and the largest
COLOURS = 7
DASHES = 3
SUM = "weighted sum"
LARGEST = 1e30  # beyond it a value is not shown, and below its inverse it counts as zero


@frozen
class Axis:
    """How numbers, or their logarithms, are laid along one side of a chart."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False
    whole: bool = False

    def at(self, value: float) -> float:
        """Return the place of a value."""
        value = math.log10(value) if self.logarithmic else value
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """The places of round numbers, with those numbers."""
        if self.logarithmic:
            return [(self.at(value), number(value)) for value in decades(self.low, self.high)]
        count = 5 if abs(self.high) < 10**6 else 3  # so that long numbers have room beside each other
        values = round_numbers(self.low, self.high, count, least=1.0 if self.whole else 0.0)
        return [(self.at(value), number(value, 6)) for value in values]


def step_axis(steps: Sequence[int]) -> Axis:
    """Lay out steps from the left to the right."""
    low, high = min(steps), max(steps)
    return Axis(low, max(high, low + 1), LEFT, RIGHT, whole=True)


def value_axis(values: Sequence[float], may_be_logarithmic: bool) -> Axis:
    """Lay out values, or their logarithms where they are of very different sizes, upwards, with a margin."""
    low, high = min(values), max(values)
    logarithmic = may_be_logarithmic and low > 0 and high > LOGARITHMIC_FROM * low
    if logarithmic:
        low, high = math.log10(low), math.log10(high)
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    margin = 0.05 * (high - low)
    return Axis(low - margin, high + margin, BOTTOM, TOP, logarithmic)


def round_numbers(low: float, high: float, count: int = 5, *, least: float = 0.0) -> list[float]:
    """Return about `count` round numbers of a range, at least so far apart.

    >>> round_numbers(0, 2000), round_numbers(0.07, 0.31)
    ([0.0, 500.0, 1000.0, 1500.0, 2000.0], [0.1, 0.15, 0.2, 0.25, 0.3])
    """
    rough = max((high - low) / count, least)
    power = math.floor(math.log10(rough))
    factor = next(factor for factor in (1, 2, 5, 10) if factor * 10.0**power >= rough * 0.999)
    unit = float(f"{factor}e{power}")
    return [float(f"{place * unit:.12g}") for place in range(math.ceil(low / unit), math.floor(high / unit) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Return round numbers between two powers of ten, at equal factors.

    >>> decades(-2.1, 1.3), decades(-8, 8)
    ([0.01, 0.1, 1.0, 10.0], [1e-08, 1e-05, 0.01, 10.0, 10000.0, 10000000.0])
    """
    first, last = math.ceil(low), math.floor(high)
    return [10.0**power for power in range(first, last + 1, max(1, math.ceil((last - first) / 6)))]


@frozen
class Curve:
    """A line of a chart: its name in the legend, its look, its path, its last value, and its place if it is a dot."""

    label: str
    look: str
    path: str
    last: float
    dot: tuple[float, float] | None = None


@frozen
class Chart:
    """Curves over the steps."""

    title: str
    curves: Sequence[Curve]
    x: Axis
    y: Axis
    steps: tuple[int, int]


def loss_charts(losses: Courses) -> list[Chart]:
    """Draw the losses: for each phase a chart, in which a colour is a role and a kind of line a direction."""
    phases: dict[str, Courses] = {}
    for name, points in losses.items():
        phase, _, rest = name.partition(".")
        phases.setdefault(phase, {})[rest.replace(".", " ") or SUM] = points
    ordered = sorted(phases.items(), reverse=True)  # the generator first
    charts = [draw(f"{phase} phase", courses, may_be_logarithmic=True) for phase, courses in ordered]
    return [chart for chart in charts if chart]


def metric_charts(told: Told) -> list[Chart]:
    """Draw each metric that was measured more than once, and how diverse the translations in the samples are."""
    charts = [draw(name, {"": points}) for name, points in told.measured.items() if len(points) > 1]
    charts.append(draw("diversity in the sample pictures, 1: that of real samples", told.diversity))
    return [chart for chart in charts if chart]


def draw(title: str, courses: Courses, *, may_be_logarithmic: bool = False) -> Chart | None:
    """Draw courses by their labels; None where there is no number."""
    thin = {label: points for label in courses if (points := thinned(courses[label]))}
    if not thin:
        return None
    steps = [step for points in thin.values() for step, _ in points]
    x, y = step_axis(steps), value_axis([value for points in thin.values() for _, value in points], may_be_logarithmic)
    looks = line_looks(thin)
    curves = []
    for label, points in thin.items():
        places = [(x.at(step), y.at(value)) for step, value in points]
        dot = places[0] if len(places) == 1 else None
        curves.append(Curve(label, looks[label], trace(places), points[-1][1], dot))
    return Chart(title, curves, x, y, (min(steps), max(steps)))


def line_looks(labels: Iterable[str]) -> dict[str, str]:
    """Return the style classes of curves: a colour for each first word, a kind of line for each second one."""
    roles: dict[str, int] = {}
    seconds: dict[str, int] = {}
    looks = {}
    for label in labels:
        role, _, second = label.partition(" ") if label != SUM else ("", "", "")
        colour = 1 + roles.setdefault(role, len(roles)) % COLOURS if role else 0
        dash = seconds.setdefault(second, len(seconds)) % DASHES if second else 0
        looks[label] = f"colour-{colour} dash-{dash}"
    return looks


def thinned(points: list[Point]) -> list[Point]:
    """Return at most `POINTS` points in the order of their steps: the ends, and of equal ranges of steps the extremes.

    What is thinned again, with more points behind, keeps its extremes. A value that no chart holds is left out.
    """
    plain = [(step, value if abs(value) > 1 / LARGEST else 0.0) for step, value in points if abs(value) < LARGEST]
    points = sorted(plain, key=itemgetter(0))
    if len(points) <= POINTS:
        return points
    first, last = points[0], points[-1]
    ranges = (POINTS - 2) // 2
    extremes: dict[int, tuple[Point, Point]] = {}
    for point in points:
        place = (point[0] - first[0]) * ranges // (last[0] - first[0] + 1)
        low, high = extremes.get(place, (point, point))
        extremes[place] = (point if point[1] < low[1] else low, point if point[1] > high[1] else high)
    kept = dict.fromkeys([first, *(point for pair in extremes.values() for point in pair), last])
    return sorted(kept, key=itemgetter(0))


def trace(places: Sequence[tuple[float, float]]) -> str:
    """Return the path of a curve through places of the chart."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places)
