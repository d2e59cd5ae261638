"""What a comparison finds: one table, one figure, one page."""

import html
import shutil
import statistics
import sys
import warnings
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ganforge import InputError, RunFailedError, printable, read_inside, read_results, records, to_json, write_output
from ganforge_compare.comparison import Member

LAST = 0.8  # of a training; metrics after it are averaged
INITIAL = "_initial"
LARGEST = 1e150  # a metric beyond it has no sensible mean
PICTURE_BYTES, PICTURE_PIXELS = 1 << 25, 1 << 24  # of a figure, at most
ROWS, TALLEST = 24, 400.0  # figures that are put side by side, and inches of them, at most
GAP = 2  # characters between columns of the table
WIDTH, TITLE = 16.0, 0.4  # inches of the figure, and of a line above each row


def summarise(trained: Sequence[Member], late: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return each recipe's metrics: over the seeds, the mean and the sample deviation of each run's value.

    Args:
        trained: the members that came far enough.
        late: each one's metrics, as `late_metrics` returns them. What one lacks does not count.

    Returns:
        For each recipe the steps, the folder of each seed's run, and each metric's value of each seed, with their mean
        and deviation; the deviation of one value is None.
    """
    found: dict[str, Any] = {}
    for member, metrics in zip(trained, late, strict=True):
        entry = found.setdefault(member.plan.name, {"steps": member.plan.train.steps, "runs": {}, "metrics": {}})
        entry["runs"][str(member.seed)] = str(member.folder)
        for name, value in metrics.items():
            entry["metrics"].setdefault(name, {"values": {}})["values"][str(member.seed)] = value
    for entry in found.values():
        for metric in entry["metrics"].values():
            values = list(metric["values"].values())
            metric["mean"] = statistics.fmean(values)
            metric["deviation"] = statistics.stdev(values) if len(values) > 1 else None
    return found


def late_metrics(folder: Path, steps: int, say: Callable[[str], None]) -> dict[str, float] | None:
    """Return a run's metrics, `role.metric`, averaged over its evaluations in the last fifth of the training.

    The last evaluation counts, if that is all. None says that the run tells of nothing yet. What cannot be read is
    said and left out.
    """
    values: dict[str, list[float]] = {}
    begun = False
    try:
        for record in records(folder):
            begun = True
            if LAST * steps < record["step"] <= steps:
                for name, value in _flat(record.get("metrics", {})).items():
                    values.setdefault(name, []).append(value)
    except InputError as error:
        say(f"warning: {error}")
    if not values:
        try:
            found = read_results(folder)
            last = _flat(found.last.counting) if found else {}
        except InputError as error:
            say(f"warning: {error}")
            last = {}
        values = {name: [value] for name, value in last.items()}
    return {name: statistics.fmean(found) for name, found in values.items()} if values or begun else None


def _flat(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Name each metric `role.metric`, but for those of which there is no sensible mean."""
    named = {f"{role}.{name}": value for role, part in metrics.items() for name, value in part.items()}
    return {name: value for name, value in named.items() if abs(value) < LARGEST}


def draw(trained: Sequence[Member]) -> Figure | None:
    """Put the figures of each recipe's first seed side by side: a row for each figure, a column for each recipe.

    A figure `x_initial`, of the state before the training, comes first in the row of `x`.
    """
    first = [member for member in trained if member.seed == trained[0].seed]
    names = sorted({path.stem for member in first for path in (member.folder / "figures").glob("*.png")})
    rows: list[list[tuple[str, Any]]] = []
    heights: list[float] = []
    for name in names[:ROWS]:
        if name.removesuffix(INITIAL) in names and name.endswith(INITIAL):
            continue
        cells = [("initial state", first[0].folder, f"{name}{INITIAL}")] if f"{name}{INITIAL}" in names else []
        cells += [(member.plan.name, member.folder, name) for member in first]
        read = [(title, _picture(folder, f"figures/{stem}.png")) for title, folder, stem in cells]
        row = [(title, picture) for title, picture in read if picture is not None]
        if not row:
            continue
        # The figures of a row keep their sizes relative to each other, so that pictures in them are as large as
        # elsewhere.
        tallest, width = max(picture.shape[0] for _, picture in row), sum(picture.shape[1] for _, picture in row)
        height = WIDTH * tallest / width + TITLE
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
            axes.set_title(printable(f"({chr(ord('a') + number)}) {title}"), fontsize=11, parse_math=False)
    return figure


def _picture(folder: Path, name: str) -> Any:
    """Return a figure of a run's folder as bytes [H, W, 4]; None where it is no sound picture of a sensible size."""
    # Whatever a damaged picture makes its decoder raise, or warn of, it is left out.
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("error")
        with Image.open(BytesIO(read_inside(folder, name, PICTURE_BYTES)), formats=["PNG"]) as image:
            return np.asarray(image.convert("RGBA")) if image.width * image.height <= PICTURE_PIXELS else None


def room() -> int:
    """Return how many characters a line of the terminal holds; many where nobody looks on."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000


def rows_of(summary: Mapping[str, Any], width: int = 1000) -> list[dict[str, str]]:
    """Return a table of mean ± deviation: a row for each metric, a column for each recipe.

    Where that needs more characters than `width`, each recipe has a row of its own below the metric.
    """
    metrics = list(dict.fromkeys(name for entry in summary.values() for name in entry["metrics"]))
    table = [{"metric": metric} | {name: _cell(summary[name], metric) for name in summary} for metric in metrics]
    columns = [[name, *(row[name] for row in table)] for name in ("metric", *summary)]
    if sum(max(map(len, column)) + GAP for column in columns) <= width:
        return table
    first = next(iter(summary))
    return [
        {"metric": row["metric"] if name == first else "", "recipe": name, "value": row[name]}
        for row in table
        for name in summary
    ]


def _cell(entry: Mapping[str, Any], metric: str) -> str:
    """Write a metric of a recipe: its mean, its deviation if there are several values, and how many seeds have it."""
    found, runs = entry["metrics"].get(metric), len(entry["runs"])
    if not found:
        return ""
    text = f"{found['mean']:.3g}"
    if found["deviation"] is not None:
        text += f" ± {found['deviation']:.2g}"
    count = len(found["values"])
    return text if count == runs else f"{text} ({count} of {runs} seeds)"


def write(out: Path, wanted: Sequence[Member], say: Callable[[str], None]) -> tuple[dict[str, Any], dict[str, Path]]:
    """Write `comparison.json`, `.html` and, if there are figures, `.png`; each whole or not at all.

    Args:
        out: folder of the comparison.
        wanted: the members; those whose runs tell of nothing are left out.
        say: told of what cannot be read.

    Returns:
        The summary, and what was written for people, by what it is.

    Raises:
        RunFailedError: no run has anything to compare.
        InputError: a file cannot be written.
    """
    late = [(member, late_metrics(member.folder, member.plan.train.steps, say)) for member in wanted]
    trained = [member for member, metrics in late if metrics is not None]
    if not trained:
        raise RunFailedError("no run came far enough to be compared")
    summary = summarise(trained, [metrics for _, metrics in late if metrics is not None])
    write_output(out / "comparison.json", (to_json(summary, indent=2) + "\n").encode())
    written, picture = {}, ""
    figure = draw(trained)
    if figure is not None:
        drawn = BytesIO()
        figure.savefig(drawn, dpi=150)
        written["figure"] = write_output(out / "comparison.png", drawn.getvalue())
        data = b64encode(drawn.getvalue()).decode()
        picture = f'<img alt="figures of each recipe, side by side" src="data:image/png;base64,{data}">'
    written["page"] = write_output(out / "comparison.html", _page(summary, picture).encode())
    return summary, written


def _page(summary: Mapping[str, Any], picture: str) -> str:
    """Return the page, on which the picture stands below the table."""
    seeds = max(len(entry["runs"]) for entry in summary.values())
    over = f"Mean ± sample deviation over {seeds} seeds" if seeds > 1 else "One seed"
    rows = rows_of(summary)
    lines = [_line("th", ("metric", *summary)), *(_line("td", tuple(row.values())) for row in rows)]
    page = Template((Path(__file__).parent / "comparison.html").read_text(encoding="utf-8"))
    return page.substitute(names=_text(", ".join(summary)), over=over, table="\n".join(lines), picture=picture)


def _line(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>"


def _text(text: str) -> str:
    return html.escape(printable(text))
