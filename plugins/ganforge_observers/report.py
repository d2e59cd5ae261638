"""`report.html`: all of a run on one page that needs nothing else: state, losses, metrics, pictures, warnings, recipe.

The template draws the charts itself, from paths that are worked out here: in a hundredth of the time that a plotting
library takes, since the page is made anew while a run trains; and they follow the page's width and colours.
"""

import json
import math
import re
import statistics
import sys
import time
import tomllib
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup
from PIL import Image

from ganforge import InputError, hookimpl, nearest, write_file

if TYPE_CHECKING:
    from ganforge import Run

NAME = "report.html"
LOCK = "recipe.lock.toml"
POINTS = 500  # of a curve, at most
SHOWN_SAMPLES = 24
SHOWN_FIGURES = 24
SHOWN_WARNINGS = 100
SAMPLE_BYTES = 4_500_000  # of all sample pictures; a third more as text
FIGURE_BYTES = 1_500_000
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
        except OSError as error:  # no reason to stop the training
            run.warn(f"{NAME} is not written: {error.strerror}")


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
    if (path / LOCK).is_file():
        return
    if not path.exists():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(f"no run at '{path}'; {nearest(path.name, beside)}".removesuffix("; "))
    runs = sorted(other.name for other in path.iterdir() if (other / LOCK).is_file()) if path.is_dir() else []
    hint = f"did you mean '{path / runs[-1]}'?" if runs else f"a run's folder holds {LOCK}"
    raise InputError(f"'{path}' is not a run; {hint}")


def write(folder: Path, state: str = "") -> Path:
    """Write a run's `report.html`, whole or not at all.

    Args:
        folder: the run's.
        state: in a word, where it is known.

    Raises:
        InputError: the locked recipe cannot be read.
    """
    page = template().render(gather(folder, state))
    write_file(folder / NAME, page)
    return folder / NAME


def gather(folder: Path, state: str) -> dict[str, Any]:
    """Return what the template shows. Files may be missing, or half written; what cannot be read is left out."""
    try:
        text = (folder / LOCK).read_text(encoding="utf-8")
        recipe = tomllib.loads(text)
    except ValueError as error:
        raise InputError(f"{folder / LOCK}: {error}") from error
    records = read_log(folder / "log.jsonl")
    lock, steps = table(recipe, "lock"), table(recipe, "train").get("steps")
    steps = steps if isinstance(steps, int) else 0
    step = max([checkpoint_step(folder), *(record["step"] for record in records)])
    speeds = finite(curves(records, lambda record: {"speed": record.get("steps_per_second")}).get("speed", ()))
    warnings: dict[str, int] = {}
    for record in records:
        if "warning" in record:
            warnings.setdefault(str(record["warning"]), record["step"])  # a resumed run may say it again
    measured, metrics = final_metrics(folder, records)
    return {
        "name": lock.get("name", folder.resolve().parent.name),
        "folder": folder.resolve().name,
        "summary": " ".join(line[1:].strip() for line in text.split("[", 1)[0].splitlines() if line.startswith("#")),
        "state": state or ("finished" if step >= steps else "not finished"),
        "step": step,
        "steps": steps,
        "speed": statistics.median(value for _, value in speeds) if speeds else None,
        "warnings": [said(message, at) for message, at in warnings.items()],
        "shown_warnings": SHOWN_WARNINGS,
        "samples": embed(spread(sample_files(folder), SHOWN_SAMPLES), SAMPLE_BYTES),
        "loss_charts": loss_charts(records),
        "metrics": metrics,
        "measured": measured,
        "metric_charts": metric_charts(records),
        "speed_chart": draw("steps per second", {"": speeds}) if len(speeds) > 1 else None,
        "figures": embed(figure_files(folder), FIGURE_BYTES),
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


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the records of a log; a line that is not whole is left out."""
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return records


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
    latest = folder / "checkpoints" / "latest"
    step = re.fullmatch(r"step-(\d+)\s*", latest.read_text(errors="replace")) if latest.is_file() else None
    return int(step[1]) if step else 0


def final_metrics(folder: Path, records: Sequence[Mapping[str, Any]]) -> tuple[int, dict[str, float]]:
    """Return the newest metrics and their step: `metrics.json`, else the log's last ones."""
    logged = [record for record in records if table(record, "metrics")]
    found = {"step": logged[-1]["step"], **logged[-1]["metrics"]} if logged else {}
    path = folder / "metrics.json"
    if path.is_file():
        try:
            read = json.loads(path.read_text(encoding="utf-8", errors="replace"))
            found = read if isinstance(read, dict) else found
        except ValueError:
            pass
    step = found.get("step")
    values = {name: value for name, value in flat(found).items() if is_number(value)}
    return step if isinstance(step, int) else 0, values


def is_number(value: Any) -> bool:
    """Whether a value of a file is a number, finite or not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


# Pictures


@frozen
class Picture:
    """A picture inside of the page."""

    label: str
    data: str
    width: int
    height: int


def sample_files(folder: Path) -> list[tuple[int, Path]]:
    """Return the sample pictures with their steps, in order."""
    found = [(re.fullmatch(r"step-(\d+)", path.stem), path) for path in (folder / "samples").glob("step-*.png")]
    return sorted((int(step[1]), path) for step, path in found if step)


def figure_files(folder: Path) -> list[tuple[str, Path]]:
    """Return the figures with their names; that of the initial state comes before the final one."""
    found = (folder / "figures").glob("*.png")
    paths = sorted(found, key=lambda path: (path.stem.removesuffix("_initial"), -len(path.stem)))
    return [(path.stem, path) for path in paths[:SHOWN_FIGURES]]


def spread(files: Sequence[tuple[int, Path]], most: int) -> list[tuple[str, Path]]:
    """Choose every first, second, fourth, ... file, and the last one.

    So nearly all that were chosen at one checkpoint are chosen at the next, and need not be made smaller anew.
    """
    stride = 1
    while len(chosen := [*files[:-1:stride], *files[-1:]]) > most:
        stride *= 2
    return [(number(step), path) for step, path in chosen]


def embed(files: Sequence[tuple[str, Path]], budget: int) -> list[Picture]:
    """Take pictures into the page: as they are, or those that are too big smaller, so that all need `budget` bytes."""
    found = []
    share = budget // len(files) if sum(path.stat().st_size for _, path in files) > budget else budget
    for label, path in files:
        try:
            if path.stat().st_size <= share:
                with Image.open(path, formats=["PNG"]) as image:
                    width, height = image.size
                kind, data = "png", path.read_bytes()
                if not data.endswith(PNG_END):
                    continue  # it is being written
            else:
                kind = "jpeg"
                data, width, height = smaller(path, path.stat().st_mtime_ns, share)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            continue
        found.append(Picture(label, f"data:image/{kind};base64,{b64encode(data).decode()}", width, height))
    return found


@lru_cache(maxsize=4 * SHOWN_SAMPLES)
def smaller(path: Path, changed: int, most: int) -> tuple[bytes, int, int]:
    """Return a picture as a JPEG of at most so many bytes, its width and its height.

    Args:
        path: of the picture.
        changed: when; so that the same picture is not made smaller again at the next checkpoint.
        most: how many bytes it may have.
    """
    with Image.open(path, formats=["PNG"]) as image:
        picture = image.convert("RGB") if image.mode in ("RGB", "L") else on_white(image)
    width = min(picture.width, WIDEST)
    while True:
        height = max(1, round(picture.height * width / picture.width))
        buffer = BytesIO()
        picture.resize((width, height), Image.Resampling.HAMMING).save(buffer, "JPEG", quality=88, subsampling=0)
        if buffer.tell() <= most or width <= NARROWEST:
            return buffer.getvalue(), width, height
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
LARGEST = 1e30  # beyond it a value counts as not finite, and below its inverse as zero


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
    """A line of a chart: its name in the legend, its look, its course, and its last value."""

    label: str
    look: str
    path: str
    last: float


@frozen
class Chart:
    """Curves over the steps."""

    title: str
    curves: Sequence[Curve]
    x: Axis
    y: Axis
    steps: tuple[int, int]


def curves(
    records: Iterable[Mapping[str, Any]], values: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> dict[str, list[Point]]:
    """Collect from each record the numbers that `values` finds in it, by name."""
    found: dict[str, list[Point]] = {}
    for record in records:
        for name, value in values(record).items():
            if is_number(value):
                size = abs(value)
                plain = math.nan if not size < LARGEST else float(value) if size > 1 / LARGEST else 0.0
                found.setdefault(name, []).append((record["step"], plain))
    return found


def finite(points: Iterable[Point]) -> list[Point]:
    """Leave out what is no finite number."""
    return [point for point in points if math.isfinite(point[1])]


def loss_charts(records: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Draw the losses: for each phase a chart, in which a colour is a role and a kind of line a direction."""
    phases: dict[str, dict[str, list[Point]]] = {}
    for name, points in curves(records, lambda record: table(record, "losses")).items():
        phase, _, rest = name.partition(".")
        phases.setdefault(phase, {})[rest.replace(".", " ") or SUM] = points
    ordered = sorted(phases.items(), reverse=True)  # the generator first
    charts = [draw(f"{phase} phase", series, may_be_logarithmic=True) for phase, series in ordered]
    return [chart for chart in charts if chart]


def metric_charts(records: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Draw each metric that was measured more than once, and how diverse the translations in the samples are."""
    found = curves(records, lambda record: flat(table(record, "metrics")))
    charts = [draw(name, {"": points}) for name, points in found.items() if len(points) > 1]
    diverse = curves(records, lambda record: table(record, "diversity"))
    if any(len(points) > 1 for points in diverse.values()):
        charts.append(draw("diversity of translations, 1: that of real samples", diverse))
    return [chart for chart in charts if chart]


def draw(title: str, series: Mapping[str, Sequence[Point]], *, may_be_logarithmic: bool = False) -> Chart | None:
    """Draw curves by their labels; None where there is no finite number."""
    thin = {label: downsample(points) for label, points in series.items()}
    values = [value for points in thin.values() for _, value in finite(points)]
    if not values:
        return None
    steps = [step for points in thin.values() for step, _ in points]
    x, y = step_axis(steps), value_axis(values, may_be_logarithmic)
    looks = line_looks(thin)
    found = [Curve(label, looks[label], trace(points, x, y), series[label][-1][1]) for label, points in thin.items()]
    return Chart(title, found, x, y, (min(steps), max(steps)))


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


def downsample(points: Sequence[Point]) -> list[Point]:
    """Return at most `POINTS` points: of so many neighbours each, the last step and the mean of what is finite."""
    size = math.ceil(len(points) / POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size or 1)]
    return [
        (group[-1][0], statistics.fmean(value for _, value in finite(group)) if finite(group) else math.nan)
        for group in groups
    ]


def trace(points: Sequence[Point], x: Axis, y: Axis) -> str:
    """Return the path of a curve, with a gap where a value is not finite."""
    words = []
    pen = "M"
    for step, value in points:
        if math.isfinite(value):
            words.append(f"{pen}{x.at(step):g} {y.at(value):g}" + ("h0" if pen == "M" else ""))  # alone, it is a dot
            pen = "L"
        else:
            pen = "M"
    return "".join(words)
