"""The pictures of a comparison: the runs' figures side by side, and each metric, seed by seed."""

import math
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ganforge import printable, read_inside
from ganforge_compare.comparison import Member
from ganforge_compare.findings import Comparison

INITIAL = "_initial"
PICTURE_BYTES, PICTURE_PIXELS = 1 << 25, 1 << 24  # of a figure, at most
ROWS, TALLEST = 24, 400.0  # rows of figures side by side, and their height in inches, at most
WIDTH, TITLE = 16.0, 0.4  # inches of the figure, and of a line above each row
CHARTS, ACROSS, CHART = 48, 4, 3.0  # charts of metrics, at most; in a row; inches of the height of each
ROOM, ANGLE = 36, 20  # characters beside each other below a chart; degrees of labels that need more
LOOKS = {
    "last": ("#0072b2", "o", -0.12),
    "best": ("#c65102", "s", 0.12),
}  # colour, marker, offset from the recipe's place


def draw(trained: Sequence[Member]) -> Figure | None:
    """Draw the figures of each recipe's first seed side by side: a row for each figure, a column for each recipe.

    In a grid, a row shows one recipe, with its points as columns. A figure `x_initial`, of the state before training,
    comes first in the row of `x`.
    """
    first = [member for member in trained if member.seed == trained[0].seed]
    names = sorted({path.stem for member in first for path in (member.folder / "figures").glob("*.png")})
    rows: list[list[tuple[str, Any]]] = []
    heights: list[float] = []
    for name in names[:ROWS]:
        if name.removesuffix(INITIAL) in names and name.endswith(INITIAL):
            continue
        for members in _beside(first):
            cells = [("initial state", members[0].folder, f"{name}{INITIAL}")] if f"{name}{INITIAL}" in names else []
            cells += [(_title(member), member.folder, name) for member in members]
            read = [(title, _picture(folder, f"figures/{stem}.png")) for title, folder, stem in cells]
            row = [(title, picture) for title, picture in read if picture is not None]
            if not row:
                continue
            # The figures of a row keep their relative sizes, so that all pictures in them have one scale.
            tallest, width = max(picture.shape[0] for _, picture in row), sum(picture.shape[1] for _, picture in row)
            height = WIDTH * tallest / width + TITLE * (1 + row[-1][0].count("\n"))
            if sum(heights) + height < TALLEST:
                rows.append(row)
                heights.append(height)
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, row in zip(parts, rows, strict=True):
        ratios = [picture.shape[1] for _, picture in row]
        for number, ((title, picture), axes) in enumerate(
            zip(row, part.subplots(1, len(row), width_ratios=ratios, squeeze=False)[0], strict=True)
        ):
            axes.set_axis_off()
            axes.set_anchor("N")
            axes.imshow(picture)
            axes.set_title(f"({chr(ord('a') + number)}) {title}", fontsize=11, parse_math=False)
    return figure


def _beside(first: Sequence[Member]) -> list[list[Member]]:
    """Return the members of each row: all recipes, or all points of one recipe."""
    rows: dict[str, list[Member]] = {}
    for member in first:
        rows.setdefault(member.plan.name if member.point.values else "", []).append(member)
    return list(rows.values())


def _title(member: Member) -> str:
    """Return the recipe's name and each value on its own line."""
    return "\n".join(map(printable, (member.plan.name, *member.point.sets)))


def _picture(folder: Path, name: str) -> Any:
    """Return a figure of a run's folder as bytes [H, W, 4]; None if it is damaged or too large."""
    # A damaged picture may make its decoder raise or warn anything; it is left out.
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("error")
        with Image.open(BytesIO(read_inside(folder, name, PICTURE_BYTES)), formats=["PNG"]) as image:
            return np.asarray(image.convert("RGBA")) if image.width * image.height <= PICTURE_PIXELS else None


def chart(found: Comparison) -> Figure | None:
    """Draw each metric: for each recipe the seeds as points, their mean and its interval; None without metrics.

    A line joins the points of one seed, since recipes are compared seed by seed.
    """
    names = dict.fromkeys(name for checkpoint in found.checkpoints for name in found.metrics(checkpoint))
    shown = list(names)[:CHARTS]
    if not shown:
        return None
    figure, several = charts(len(shown))
    for axes, metric in zip(several, shown, strict=True):
        axes.set_title(printable(metric), fontsize=10, parse_math=False)
        for checkpoint in found.checkpoints:
            _plot(axes, found, checkpoint, metric)
        name_places(axes, range(len(found.recipes)), [one.name for one in found.recipes])
        axes.set_xlim(-0.5, len(found.recipes) - 0.5)
    for axes in [axes for axes in figure.axes if axes.get_legend_handles_labels()[0]][:1]:
        axes.legend(fontsize=8)
    return figure


def charts(count: int) -> tuple[Figure, list[Any]]:
    """Return a figure and the axes of `count` charts in it, at most `CHARTS`."""
    count = min(CHARTS, count)
    across = min(ACROSS, count)
    down = math.ceil(count / across)
    figure = Figure(figsize=(WIDTH * across / ACROSS, CHART * down), layout="constrained")
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes[:count]


def name_places(axes: Any, places: Iterable[float], names: Sequence[str]) -> None:
    """Label places of the horizontal axis, at an angle if the names do not fit beside each other."""
    labels = [printable(name) for name in names]
    angle = ANGLE if len("".join(labels)) > ROOM else 0
    axes.set_xticks(list(places), labels, fontsize=8, rotation=angle, ha="right" if angle else "center")
    for label in axes.get_xticklabels():
        label.set_rotation_mode("anchor")
        label.set_parse_math(False)


def _plot(axes: Any, found: Comparison, checkpoint: str, metric: str) -> None:
    """Plot a metric of the last or the best weights."""
    colour, marker, beside = LOOKS[checkpoint]
    courses: dict[int, list[tuple[float, float]]] = {}
    label: str | None = checkpoint
    for place, one in enumerate(found.recipes):
        if checkpoint not in one.checkpoints:
            continue
        at, held = place + beside, one.checkpoints[checkpoint]
        for seed, value in held.metrics.get(metric, {}).items():
            if math.isfinite(value):
                courses.setdefault(seed, []).append((at, value))
        if mean := held.estimate(metric, found.level):
            low, high = mean.interval or (mean.mean, mean.mean)
            error = [[mean.mean - low], [high - mean.mean]]
            axes.errorbar(at + 0.07, mean.mean, error, fmt=marker, color=colour, capsize=3, label=label)
            label = None
    for points in courses.values():
        axes.plot(*zip(*points, strict=True), marker=".", color=colour, alpha=0.35, linewidth=0.8)
