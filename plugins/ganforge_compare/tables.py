"""The tables of a comparison, for the terminal and its page: metrics of each recipe, and differences between them."""

import math
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ganforge import print_rows, tell
from ganforge_compare.findings import Compared, Comparison, Difference
from ganforge_compare.intervals import Estimate
from ganforge_compare.notes import told

GAP = 2  # characters between columns
COARSEST, FINEST = 1e6, 1e-6  # deviations by which numbers are rounded to decimals
PLAIN = ".4g"
LONGEST = 80  # rows of a table on a terminal

Row = dict[str, str]


def room() -> int:
    """Return the width of the terminal in characters; a large one without a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000


def show(found: Comparison) -> None:
    """Print the tables and notes."""
    rows = rows_of_metrics(found, room())
    _print(rows)
    if rows and "seeds" not in rows[0]:
        tell("each seed's values: on the page, or in a wider terminal")
    for line in lines_of_facts(found):
        tell(line)
    for rows in tables_of_differences(found):
        tell("")
        _print(rows)
    for line in filter(None, [line_of_chance(found), *found.notes]):
        tell(f"note: {line}")


def _print(rows: Sequence[Row]) -> None:
    """Print a table; on a terminal, at most `LONGEST` rows."""
    most = LONGEST if sys.stdout.isatty() else len(rows)
    print_rows(rows[:most], as_json=False)
    if rows[most:]:
        tell(f"{len(rows) - most} more rows: on the page")


def rows_of_metrics(found: Comparison, width: int = 1000) -> list[Row]:
    """Return each metric's mean ± sample deviation for each recipe, and each seed's value if there is room."""
    rows = []
    for metric, checkpoint in _lines(found):
        for one in found.recipes:
            if (held := one.checkpoints.get(checkpoint)) and metric in held.metrics:
                values, mean = held.metrics[metric], held.estimate(metric, found.level)
                form = form_of(mean)
                rows.append(
                    {
                        **_line(found, metric, checkpoint),
                        "recipe": one.recipe,
                        **_point(one),
                        "mean ± deviation": _mean(mean, len(one.runs)),
                        "seeds": " ".join(format(value, form) for value in values.values()),
                    }
                )
    if _width(rows) > width:
        rows = [{name: cell for name, cell in row.items() if name != "seeds"} for row in rows]
    return rows


def tables_of_differences(found: Comparison) -> Iterator[list[Row]]:
    """Yield tables of differences: of recipes from the first one, and of each key's values from its first one."""
    first = found.names[0]
    yield from filter(None, [_rows(found, "recipe", first, lambda one: one.recipe == first, len(found.names) > 2)])
    for key, (value, *_) in found.varied.items():
        yield from filter(
            None, [_rows(found, key, f"{_titles(found.varied)[key]}={value}", lambda _: True, len(found.names) > 1)]
        )


def _rows(found: Comparison, by: str, against: str, counts: Callable[[Compared], bool], named: bool) -> list[Row]:
    """Return a row for each difference of one kind, for the pairs whose first one counts."""
    recipes = {one.name: one for one in found.recipes}
    held: dict[tuple[str, str], list[Difference]] = {}
    for one in found.differences:
        if one.by == by and counts(recipes[one.first]):
            held.setdefault((one.metric, one.checkpoint), []).append(one)
    rows = []
    for metric, checkpoint in _lines(found):
        for one in held.get((metric, checkpoint), ()):
            first, second = recipes[one.first], recipes[one.second]
            row = _line(found, metric, checkpoint) | ({"recipe": second.recipe} if named else {}) | _point(second)
            rows.append(
                row | {f"against {against}": say(one, found.level, len(first.runs.keys() & second.runs.keys()))}
            )
    return rows


def _point(one: Compared) -> Row:
    """Return the cells with the values of a point."""
    return {_titles(one.point)[key]: value for key, value in one.point.items()}


def _titles(keys: Iterable[str]) -> Row:
    """Return a short title for each varied key: its last part, if that is unique.

    >>> _titles(["losses.cycle.weight", "losses.style.weight", "train.batch"])
    {'losses.cycle.weight': 'losses.cycle.weight', 'losses.style.weight': 'losses.style.weight', 'train.batch': 'batch'}
    """
    ends = [key.rpartition(".")[2] for key in keys]
    return {key: end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)}


def lines_of_facts(found: Comparison) -> Iterator[str]:
    """Yield metrics that are the same in all runs, and facts of evaluations, such as the number of pictures."""
    if found.same:
        yield f"the same in all runs: {', '.join(f'{metric} {value:{PLAIN}}' for metric, value in found.same.items())}"
    for role, facts in told(found.recipes).items():
        alike = {key: {value for held in values.values() for value in held} for key, values in facts.items()}
        texts = [f"{key} {_number(*values)}" for key, values in alike.items() if len(values) == 1]
        if texts:
            yield f"{role}: {', '.join(texts)}"


def line_of_chance(found: Comparison) -> str:
    """Say how many differences are tested, and what that means; empty if none has an interval."""
    count = sum(1 for one in found.differences if one.p_holm is not None)
    if not count:
        return ""
    percent = f"{100 * found.level:g} %"
    text = f"intervals cover the difference with {percent} each, paired by seed"
    if count == 1:
        return text
    return (
        f"{text}; of {count} differences {(1 - found.level) * count:.2g} are expected beyond theirs by chance alone. "
        f"'perhaps': beyond its own interval, but not after Holm's correction for all {count}"
    )


def say(one: Difference, level: float, runs: int) -> str:
    """Write a difference for people.

    Args:
        one: the difference.
        level: of its interval.
        runs: the largest possible number of pairs.
    """
    found, verdict = one.estimate, one.verdict(level)
    form = form_of(found)
    size, way = format(abs(found.mean), form), "higher" if found.mean > 0 else "lower"
    if found.interval is None and found.mean == 0:
        text = "the same"
    elif found.interval is None:
        text = f"{way} by {size}"
    else:
        low, high = sorted(found.interval, reverse=way == "lower")
        if verdict == "within the noise":
            low, high = found.interval
            text = f"{verdict}: {found.mean:+{form}} [{low:+{form}}, {high:+{form}}]"
        else:
            text = f"{verdict} by {size} [{abs(low):{form}}, {abs(high):{form}}]"
    if found.count == 1:
        return f"{text} (one seed: no interval)"
    if found.interval is None:
        text += " with every seed" + (": no interval" if found.mean else "")
    return text if found.count == runs else f"{text} ({found.count} of {runs} seeds)"


def form_of(found: Estimate | None) -> str:
    """Return the format of an estimate's numbers: two digits for its deviation, the same decimals for the others.

    >>> form_of(Estimate(3, 1234.5, 3.21, None, None)), form_of(Estimate(1, 1234.5, None, None, None))
    ('.1f', '.4g')
    """
    deviation = found.deviation if found else None
    if not deviation or not FINEST < deviation < COARSEST:
        return PLAIN
    return f".{max(0, 1 - math.floor(math.log10(deviation)))}f"


def _mean(found: Estimate | None, runs: int) -> str:
    """Write the mean, the deviation if there are several values, and the number of seeds if some are missing."""
    if found is None:
        return "nan"
    form = form_of(found)
    text = f"{found.mean:{form}}"
    if found.deviation is not None:
        text += f" ± {found.deviation:{form}}"
    return text if found.count == runs else f"{text} ({found.count} of {runs} seeds)"


def _lines(found: Comparison) -> list[tuple[str, str]]:
    """Return pairs of metric and checkpoint."""
    held = {checkpoint: found.metrics(checkpoint) for checkpoint in found.checkpoints}
    names = dict.fromkeys(name for metrics in held.values() for name in metrics)
    return [(name, checkpoint) for name in names for checkpoint in held if name in held[checkpoint]]


def _line(found: Comparison, metric: str, checkpoint: str) -> Row:
    """Return the first cells of a row; the checkpoint only if there are several."""
    return {"metric": metric} | ({"at": checkpoint} if len(found.checkpoints) > 1 else {})


def _width(rows: Sequence[Mapping[str, str]]) -> int:
    """Return how many characters the longest line of a table has."""
    columns = [[name, *(row[name] for row in rows)] for name in rows[0]] if rows else []
    return sum(max(map(len, column)) + GAP for column in columns) - GAP


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
