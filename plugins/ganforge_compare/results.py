"""The files that a comparison writes: `comparison.json`, a page, and pictures."""

import html
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any

from matplotlib.figure import Figure

from ganforge import printable, to_json, write_output
from ganforge_compare.comparison import Member
from ganforge_compare.findings import Checkpoint, Compared, Comparison, Difference, Seeds
from ganforge_compare.grid import as_name
from ganforge_compare.intervals import Estimate
from ganforge_compare.pictures import chart, draw
from ganforge_compare.sweep import sweep
from ganforge_compare.tables import line_of_chance, lines_of_facts, rows_of_metrics, tables_of_differences

ALT = {"figure": "the figures of each recipe's first run, side by side", "seeds": "each metric, seed by seed"}


def write(out: Path, found: Comparison, trained: Sequence[Member]) -> dict[str, Path]:
    """Write `comparison.json`, `comparison.html` and the pictures, each whole or not at all.

    Returns:
        The files for people, by what they are.

    Raises:
        InputError: a file cannot be written.
    """
    write_output(out / "comparison.json", (to_json(nest(found), indent=2) + "\n").encode())
    drawn = {"figure": (draw(trained), "comparison.png")}
    if found.varied:
        drawn |= {key: (sweep(found, key), f"comparison_{as_name(key)}.png") for key in found.varied}
    else:
        drawn["seeds"] = (chart(found), "comparison_seeds.png")
    contents = {what: (_as_png(figure), name) for what, (figure, name) in drawn.items() if figure is not None}
    written = {what: write_output(out / name, content) for what, (content, name) in contents.items()}
    page = _page(found, {what: content for what, (content, _) in contents.items()})
    return written | {"page": write_output(out / "comparison.html", page.encode())}


def _as_png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, dpi=150)
    return buffer.getvalue()


# comparison.json


def nest(found: Comparison) -> dict[str, Any]:
    """Return the content of `comparison.json` and `--json`; numbers that are not finite become null."""
    return {
        "level": found.level,
        "varied": found.varied,
        "recipes": {one.name: _recipe(one, found.level) for one in found.recipes},
        "differences": [_difference(one, found.level) for one in found.differences],
        "notes": list(found.notes),
    }


def _recipe(one: Compared, level: float) -> dict[str, Any]:
    checkpoints = {name: _checkpoint(held, level) for name, held in one.checkpoints.items()}
    about = {"recipe": one.recipe, "point": dict(one.point), "runs": _by_seed(one.runs), "by": one.by or None}
    return {**about, **checkpoints}


def _checkpoint(held: Checkpoint, level: float) -> dict[str, Any]:
    metrics = {
        metric: {"values": _values(values), **_estimate(held.estimate(metric, level))}
        for metric, values in held.metrics.items()
    }
    return {"steps": _by_seed(held.steps), "metrics": metrics, "about": _by_seed(held.about)}


def _difference(one: Difference, level: float) -> dict[str, Any]:
    return {
        "metric": one.metric,
        "at": one.checkpoint,
        "first": one.first,
        "second": one.second,
        "by": one.by,
        "values": _values(one.values),
        **_estimate(one.estimate),
        "p": one.estimate.p,
        "p_holm": one.p_holm,
        "verdict": one.verdict(level),
    }


def _estimate(found: Estimate | None) -> dict[str, Any]:
    if found is None:
        return {"mean": None, "deviation": None, "interval": None}
    return {"mean": found.mean, "deviation": found.deviation, "interval": found.interval}


def _values(values: Seeds) -> dict[str, float | None]:
    return {str(seed): value if math.isfinite(value) else None for seed, value in values.items()}


def _by_seed(table: Mapping[int, Any]) -> dict[str, Any]:
    return {str(seed): value for seed, value in table.items()}


# The page


def _page(found: Comparison, pictures: Mapping[str, bytes]) -> str:
    """Return the page: tables, notes, pictures."""
    images = [
        f'<img alt="{_text(ALT.get(what, f"each metric against {what}"))}" '
        f'src="data:image/png;base64,{b64encode(content).decode()}">'
        for what, content in pictures.items()
    ]
    page = Template((Path(__file__).parent / "comparison.html").read_text(encoding="utf-8"))
    return page.substitute(
        names=_text(", ".join(found.names) + "".join(f", {key}" for key in found.varied)),
        metrics=_table(rows_of_metrics(found)),
        facts=_items(list(lines_of_facts(found))),
        differences=_section("Differences", "\n".join(map(_table, tables_of_differences(found)))),
        notes=_items([*filter(None, [line_of_chance(found)]), *found.notes]),
        pictures="\n".join(
            f'<div class="wide" tabindex="0" role="region" aria-label="figure">{one}</div>' for one in images
        ),
    )


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    lines = [_line("th", list(rows[0])), *(_line("td", list(row.values())) for row in rows)] if rows else []
    return "<table>\n" + "\n".join(lines) + "\n</table>" if rows else ""


def _section(title: str, content: str) -> str:
    """Return a section of the page that scrolls if it is too wide; empty without content."""
    shown = f'<div class="wide" tabindex="0" role="region" aria-label="{title}">{content}</div>'
    return f"<h2>{title}</h2>\n{shown}" if content else ""


def _items(texts: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(text)}</li>" for text in texts) + "</ul>" if texts else ""


def _line(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>"


def _text(text: str) -> str:
    return html.escape(printable(text))
