"""The results as Markdown tables and a picture."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ganforge import printable
from ganforge_bench.rates import summary

PICTURE, TABLE = "speed.png", "speed.md"


def markdown(found: Mapping[str, Mapping[str, Any]], machine: Mapping[str, Any]) -> str:
    """Return a page with all results."""
    about = f"{machine['device']}, {machine['cores']} cores, torch {machine['torch']}, ganforge {machine['ganforge']}"
    steps = [one for one in found.values() if "round_seconds" in one and not one["series"]]
    text = [
        f"# How fast a step is\n\n{about}\n\nMade by `ganforge bench --all`; docs/bench.md says what each figure is."
    ]
    if steps:
        rows = [row for one in steps for row in (_step(one), *([_beside(one)] if "beside" in one else []))]
        text.append("## Steps\n\n" + _table(rows))
        text.append("## Where a step's time goes\n\n" + _table([_shares(one) for one in steps]))
    if "ratio" in (toy := found.get("toy-run", {})):
        row = {
            "case": toy["title"],
            "plain": f"{toy['plain_seconds']:.1f} s",
            "ganforge": f"{toy['ganforge_seconds']:.1f} s",
        }
        text.append("## From the command line\n\n" + _table([{**row, **_ratio(toy["goal"], toy["ratio"])}]))
    if "commands" in (looking := found.get("looking", {})):
        rows = [{"command": f"`{name}`", "s": f"{one['seconds']:.2f}"} for name, one in looking["commands"].items()]
        text.append("## Commands that do not train\n\n" + _table(rows))
    if growing := [one for one in found.values() if "round_seconds" in one and one["series"]]:
        text.append(
            f"## How it grows\n\n![steps per second and memory]({PICTURE})\n\n{_table(list(map(_grown, growing)))}"
        )
    if failed := [f"* {one['title']}: {printable(str(one['failed']))}" for one in found.values() if "failed" in one]:
        text.append("## Not measured\n\n" + "\n".join(failed))
    return "\n\n".join(text) + "\n"


def picture(found: Mapping[str, Mapping[str, Any]]) -> bytes | None:
    """Draw steps per second and memory of every series as a PNG; None if there is no series."""
    from matplotlib.figure import Figure

    series: dict[str, list[Mapping[str, Any]]] = {}
    for one in found.values():
        if "round_seconds" in one and one["series"]:
            series.setdefault(one["series"], []).append(one)
    if not series:
        return None
    figure = Figure(figsize=(4.5 * len(series), 7), layout="constrained")
    axes = figure.subplots(2, len(series), squeeze=False)
    for column, (title, rows) in enumerate(series.items()):
        x = [one["size"] for one in rows]
        for row, name, label in ((0, "steps_per_second", "steps/s"), (1, "memory_mib", "memory, MiB")):
            _draw(axes[row][column], x, [math.nan if one[name] is None else one[name] for one in rows], title, label)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


def _draw(axes: Any, x: Sequence[int | str], y: Sequence[float], title: str, label: str) -> None:
    numbers = all(isinstance(value, int) for value in x)
    if numbers:
        axes.plot(x, y, marker="o")
        axes.set(xscale="log", yscale="log", xticks=x, xticklabels=x, yticks=[])
        axes.minorticks_off()
    else:
        axes.bar(x, y)
        axes.tick_params(axis="x", rotation=90)
    axes.set(xlabel=title, ylabel=label)
    axes.margins(0.15)
    for place, value in zip(x, y, strict=True):
        text = f"{value:.2g}" if value < 100 else f"{value:,.0f}"
        beside, align, size = ((4, 5), "left", 8) if numbers else ((0, 2), "center", 6)
        axes.annotate(text, (place, value), xytext=beside, textcoords="offset points", fontsize=size, ha=align)


def _step(one: Mapping[str, Any]) -> dict[str, str]:
    processor = one.get("plain_processor_ratio")
    return {
        "case": one["title"],
        "against, steps/s": f"{one['plain_steps_per_second']:.4g}",
        "ganforge, steps/s": f"{one['steps_per_second']:.4g}",
        **_ratio(one["goal"], one["plain_ratio"], one["plain_ratio_quartiles"]),
        "in processor time": "" if processor is None else f"{processor:.2f}x",
        "pairs/s": f"{one['pairs_per_second']:.4g}",
        "share of matrix rate": f"{100 * one['share_of_matrix_rate']:.0f} %",
        "memory, MiB": _mib(one),
        "first step, s": f"{one['first_step_seconds']:.1f}",
    }


def _beside(one: Mapping[str, Any]) -> dict[str, str]:
    """Return the row of the recipe beside a case; its ratio is the case's time divided by its own."""
    times = one["round_seconds"]
    ratio, quartiles = summary([mine / other for mine, other in zip(times["ganforge"], times["beside"], strict=True)])
    processor = one.get("beside_processor_ratio")
    memory = one["beside_memory_mib"]
    return {
        "case": one["beside"]["title"],
        "against, steps/s": f"{one['steps_per_second']:.4g}",
        "ganforge, steps/s": f"{one['beside_steps_per_second']:.4g}",
        **_ratio(one["beside"]["goal"], ratio, quartiles),
        "in processor time": "" if processor is None else f"{1 / processor:.2f}x",
        "pairs/s": f"{one['pairs_per_second'] / one['steps_per_second'] * one['beside_steps_per_second']:.4g}",
        "share of matrix rate": "",
        "memory, MiB": "" if memory is None else f"{memory:,.0f} ({memory / one['memory_mib']:.2f}x)",
        "first step, s": "",
    }


def _mib(one: Mapping[str, Any]) -> str:
    return "" if one["memory_mib"] is None else f"{one['memory_mib']:,.0f}"  # not every system reports it


def _ratio(goal: float | None, ratio: float, quartiles: Sequence[float] = ()) -> dict[str, str]:
    told = "" if goal is None else f"{goal:g}x: {'reached' if ratio >= goal else 'missed'}"
    between = {"quartiles": f"{quartiles[0]:.2f} to {quartiles[1]:.2f}"} if quartiles else {}
    return {"ratio": f"{ratio:.2f}x", **between, "goal": told}


def _shares(one: Mapping[str, Any]) -> dict[str, str]:
    return {"case": one["title"], **{name: f"{100 * share:.0f} %" for name, share in one["shares"].items()}}


def _grown(one: Mapping[str, Any]) -> dict[str, str]:
    return {
        "case": one["title"],
        "steps/s": f"{one['steps_per_second']:.3g}",
        "samples/s": f"{one['pairs_per_second']:.3g}",
        "memory, MiB": _mib(one),
        "precision": one["precision"],
    }


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(
        f"| {' | '.join(printable(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )
