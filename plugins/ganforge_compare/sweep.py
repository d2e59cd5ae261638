"""The plot of a grid: each metric against the values of a key."""

import math
from collections.abc import Mapping
from itertools import cycle
from typing import Any

from attrs import frozen
from matplotlib.colors import TABLEAU_COLORS
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from ganforge import printable
from ganforge_compare.findings import Compared, Comparison
from ganforge_compare.grid import number
from ganforge_compare.pictures import charts, name_places

COLOURS, MARKERS = list(TABLEAU_COLORS), "osD^v<>Pp*"  # the number of lines that can be told apart
BESIDE, INCH = 4.0, 72.0  # points of print, from line to line and in an inch
STYLES = {"last": "-", "best": "--"}
DECADE = 10.0  # a wider range is drawn on a logarithmic axis
LONGEST = 24  # characters of a value


@frozen
class Course:
    """A line of the plot: its label, its points along the axis, and its look.

    Attributes:
        label: the recipe, and the values of other keys.
        points: the recipe at each value.
        colour: of matplotlib.
        marker: of matplotlib.
        beside: horizontal offset in points of print, so that lines do not hide each other.
    """

    label: str
    points: list[Compared]
    colour: str
    marker: str
    beside: float


def sweep(found: Comparison, key: str) -> Figure | None:
    """Plot each metric against a key: single seeds, and means with intervals; None if there is nothing to draw.

    A line joins the means of a recipe, for each combination of other varied keys; more than ten lines are not drawn.
    Numbers are placed to scale, on a logarithmic axis if they span more than a decade; other values in the order
    given.
    """
    courses = courses_of(found, key)
    names = list(dict.fromkeys(name for checkpoint in found.checkpoints for name in found.metrics(checkpoint)))
    if len(courses) > len(MARKERS) or not names:
        return None
    values = found.varied[key]
    numbers = {value: place for value in values if (place := number(value)) is not None}
    places = numbers if len(numbers) == len(values) else {value: float(place) for place, value in enumerate(values)}
    figure, several = charts(len(names))
    for axes, metric in zip(several, names, strict=False):
        axes.set_title(printable(metric), fontsize=10, parse_math=False)
        for course in courses:
            for checkpoint in found.checkpoints:
                _plot(
                    axes, course, {one.name: places[one.point[key]] for one in course.points}, metric, checkpoint, found
                )
        _lay_out(axes, places, scaled=places is numbers)
        axes.set_xlabel(printable(key), fontsize=8, parse_math=False)
    if len(courses) * len(found.checkpoints) > 1:
        legend = figure.legend(*several[0].get_legend_handles_labels(), loc="outside lower center", fontsize=8, ncols=2)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def courses_of(found: Comparison, key: str) -> list[Course]:
    """Return a line for each recipe and combination of the other keys' values."""
    lines: dict[str, list[Compared]] = {}
    for one in found.recipes:
        rest = [f"{other}={value}" for other, value in one.point.items() if other != key]
        lines.setdefault(", ".join([one.recipe, *rest]), []).append(one)
    looks = zip(cycle(COLOURS), cycle(MARKERS), (BESIDE * (n - (len(lines) - 1) / 2) for n in range(len(lines))))
    return [Course(label, points, *look) for (label, points), look in zip(lines.items(), looks, strict=False)]


def _plot(
    axes: Any, course: Course, places: Mapping[str, float], metric: str, checkpoint: str, found: Comparison
) -> None:
    """Plot a metric of the last or the best weights along a line."""
    means = []
    shifted = axes.transData + ScaledTranslation(course.beside / INCH, 0, axes.figure.dpi_scale_trans)
    for one in sorted(course.points, key=lambda one: places[one.name]):
        place, held = places[one.name], one.checkpoints.get(checkpoint)
        if held and (mean := held.estimate(metric, found.level)):
            low, high = mean.interval or (mean.mean, mean.mean)
            means.append((place, mean.mean, mean.mean - low, high - mean.mean))
            values = [value for value in held.metrics[metric].values() if math.isfinite(value)]
            axes.plot([place] * len(values), values, ".", color=course.colour, alpha=0.35, transform=shifted)
            axes.update_datalim(
                [(place, value) for value in (*values, low, high)]
            )  # shifted artists do not extend them
    at, middle, below, above = zip(*means, strict=True) if means else ((), (), (), ())
    label = printable(course.label if len(found.checkpoints) == 1 else f"{course.label} ({checkpoint})")
    axes.errorbar(
        at,
        middle,
        [below, above],
        fmt=course.marker,
        ls=STYLES[checkpoint],
        color=course.colour,
        capsize=3,
        label=label,
        transform=shifted,
    )


def _lay_out(axes: Any, places: Mapping[str, float], *, scaled: bool) -> None:
    """Lay out the axis of values, to scale if `scaled`."""
    numbers = list(places.values())
    positive = [value for value in numbers if value > 0]
    if scaled and min(numbers) >= 0 and positive and max(positive) > DECADE * min(positive):
        axes.set_xscale("log") if min(numbers) > 0 else axes.set_xscale("symlog", linthresh=min(positive))
    elif not scaled:
        axes.set_xlim(-0.5, len(numbers) - 0.5)
    axes.autoscale_view()
    axes.minorticks_off()
    name_places(axes, numbers, [value[:LONGEST] for value in places])
