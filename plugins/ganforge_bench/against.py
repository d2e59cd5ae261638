"""A bench against an earlier one, as `ganforge bench --json` wrote it."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganforge import InputError, printable, read_text
from ganforge_bench.rates import summary

# What two benches must have in common for their ratio to be one of speed; `settings` are compared one by one.
SAME = ("device", "processor", "torch", "threads", "data", "precision", "channels_last", "compile", "cuda_graph")


def read(path: Path) -> dict[str, Any]:
    """Read an earlier bench; raise an InputError if the file is not one."""
    text = read_text(path)
    try:
        found = json.loads(text)
        times = found["round_seconds"]["ganforge"]
        sound = isinstance(found["settings"], dict) and isinstance(times, list) and times and all(map(_is_time, times))
    except (ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise InputError(f"'{path}' is not a bench; expected a file that `ganforge bench RECIPE --json` wrote")
    return found  # type: ignore[no-any-return]


def compare(found: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Compare two benches.

    They were not measured in turn, so the load of the machine may have differed.

    Returns:
        How many times as fast this one is, with quartiles, over all pairs of an earlier and a present round; and
        what else differs, by name, each as [then, now].
    """
    now, then = found["round_seconds"]["ganforge"], earlier["round_seconds"]["ganforge"]
    ratio, quartiles = summary([old / new for old in then for new in now])
    pairs = [(name, earlier.get(name), found.get(name)) for name in SAME]
    mine, theirs = found["settings"], earlier["settings"]
    # Those among them that were decided are compared above, as they were decided.
    keys = sorted(key for key in mine.keys() | theirs.keys() if key.removeprefix("compute.") not in SAME)
    pairs += [(key, theirs.get(key), mine.get(key)) for key in keys]
    return {
        "ratio": ratio,
        "ratio_quartiles": list(quartiles),
        "differs": {name: [old, new] for name, old, new in pairs if old != new},
    }


def warnings(compared: Mapping[str, Any]) -> list[str]:
    """Return a line for each difference between two benches other than speed."""
    return [
        printable(f"warning: {name} differs: {old!r} then, {new!r} now; the ratio is not one of speed alone")
        for name, (old, new) in compared["differs"].items()
    ]


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
