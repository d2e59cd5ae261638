"""The report's charts: paths that are computed here and drawn by the page.

This takes a hundredth of a plotting library's time, which matters since the page is rewritten during training; and
the charts adapt to the page's width and colours.
"""

import math
from collections.abc import Iterable, Sequence

from attrs import frozen

from ganforge_observers.report.courses import Courses, thinned
from ganforge_observers.report.texts import number
from ganforge_observers.report.told import Told

LEFT, RIGHT, TOP, BOTTOM = 58.0, 450.0, 10.0, 234.0  # of the plot area, in the template's chart of 480 by 260
LOGARITHMIC_FROM = 100  # ratio of the largest to the smallest value
COLOURS = 7
DASHES = 3
SUM = "weighted sum"


@frozen
class Axis:
    """The scale, linear or logarithmic, of one side of a chart."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False
    whole: bool = False

    def at(self, value: float) -> float:
        """Return the position of a value."""
        value = math.log10(value) if self.logarithmic else value
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """The positions and labels of round numbers."""
        if self.logarithmic:
            return [(self.at(value), number(value)) for value in decades(self.low, self.high)]
        count = 5 if abs(self.high) < 10**6 else 3  # long labels need more room
        values = round_numbers(self.low, self.high, count, least=1.0 if self.whole else 0.0)
        return [(self.at(value), number(value, 6)) for value in values]


def step_axis(steps: Sequence[int]) -> Axis:
    """Return the axis of steps, from left to right."""
    low, high = min(steps), max(steps)
    return Axis(low, max(high, low + 1), LEFT, RIGHT, whole=True)


def value_axis(values: Sequence[float], may_be_logarithmic: bool) -> Axis:
    """Return the axis of values, upwards with a margin; logarithmic if they differ by orders of magnitude."""
    low, high = min(values), max(values)
    logarithmic = may_be_logarithmic and low > 0 and high > LOGARITHMIC_FROM * low
    if logarithmic:
        low, high = math.log10(low), math.log10(high)
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    margin = 0.05 * (high - low)
    return Axis(low - margin, high + margin, BOTTOM, TOP, logarithmic)


def round_numbers(low: float, high: float, count: int = 5, *, least: float = 0.0) -> list[float]:
    """Return about `count` round numbers of a range, at least `least` apart.

    >>> round_numbers(0, 2000), round_numbers(0.07, 0.31)
    ([0.0, 500.0, 1000.0, 1500.0, 2000.0], [0.1, 0.15, 0.2, 0.25, 0.3])
    """
    rough = max((high - low) / count, least)
    power = math.floor(math.log10(rough))
    factor = next(factor for factor in (1, 2, 5, 10) if factor * 10.0**power >= rough * 0.999)
    unit = float(f"{factor}e{power}")
    return [float(f"{place * unit:.12g}") for place in range(math.ceil(low / unit), math.floor(high / unit) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Return powers of ten within a range of exponents, at equal factors.

    >>> decades(-2.1, 1.3), decades(-8, 8)
    ([0.01, 0.1, 1.0, 10.0], [1e-08, 1e-05, 0.01, 10.0, 10000.0, 10000000.0])
    """
    first, last = math.ceil(low), math.floor(high)
    return [10.0**power for power in range(first, last + 1, max(1, math.ceil((last - first) / 6)))]


@frozen
class Curve:
    """A curve of a chart: its label, look, path and last value, and its position if it is a single dot."""

    label: str
    look: str
    path: str
    last: float
    dot: tuple[float, float] | None = None


@frozen
class Chart:
    """Curves over the steps, and the position of the best step, if it is marked."""

    title: str
    curves: Sequence[Curve]
    x: Axis
    y: Axis
    steps: tuple[int, int]
    best: float | None = None


def loss_charts(losses: Courses) -> list[Chart]:
    """Draw a chart of losses for each phase, with a colour for each role and a line style for each direction."""
    phases: dict[str, Courses] = {}
    for name, points in losses.items():
        phase, _, rest = name.partition(".")
        phases.setdefault(phase, {})[rest.replace(".", " ") or SUM] = points
    ordered = sorted(phases.items(), reverse=True)  # the generator first
    charts = [draw(f"{phase} phase", courses, may_be_logarithmic=True) for phase, courses in ordered]
    return [chart for chart in charts if chart]


def metric_charts(told: Told, best: int | None) -> list[Chart]:
    """Draw each metric that was measured more than once, and the diversity of the sample translations.

    Args:
        told: the content of the log; each split has a curve.
        best: the step to mark.
    """
    names = dict.fromkeys(name for courses in told.measured.values() for name in courses)
    splits = {name: {split: held[name] for split, held in told.measured.items() if name in held} for name in names}
    repeated = {name: found for name, found in splits.items() if any(len(points) > 1 for points in found.values())}
    charts = [draw(name, found, best=best) for name, found in repeated.items()]
    charts.append(draw("diversity of the sample pictures (real samples: 1)", told.diversity))
    return [chart for chart in charts if chart]


def draw(title: str, courses: Courses, *, may_be_logarithmic: bool = False, best: int | None = None) -> Chart | None:
    """Draw labelled curves, and mark the best step if it is in range; None if there are no values."""
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
    mark = x.at(best) if best is not None and x.low <= best <= x.high else None
    return Chart(title, curves, x, y, (min(steps), max(steps)), mark)


def line_looks(labels: Iterable[str]) -> dict[str, str]:
    """Return the style classes of curves: a colour for each first word, a line style for each second word."""
    roles: dict[str, int] = {}
    seconds: dict[str, int] = {}
    looks = {}
    for label in labels:
        role, _, second = label.partition(" ") if label != SUM else ("", "", "")
        colour = 1 + roles.setdefault(role, len(roles)) % COLOURS if role else 0
        dash = seconds.setdefault(second, len(seconds)) % DASHES if second else 0
        looks[label] = f"colour-{colour} dash-{dash}"
    return looks


def trace(places: Sequence[tuple[float, float]]) -> str:
    """Return the path of a curve through positions of the chart."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places)
