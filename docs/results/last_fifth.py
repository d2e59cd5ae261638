"""Means of metrics over the last fifth of trainings, which move less than their last values.

`python docs/results/last_fifth.py comparison/seed-*/discogan_toy/0001` prints for each metric the mean ± sample
deviation over the runs, and the value of each.
"""

import statistics
import sys
from pathlib import Path

from ganforge import read_lock, records


def means(run: Path) -> dict[str, float]:
    """Return the mean of each metric over the evaluations of a run's last fifth, as its log tells them."""
    steps = read_lock(run)[1]["train"]["steps"]
    values: dict[str, list[float]] = {}
    for record in records(run):
        if record["step"] > 0.8 * steps:
            for role, found in record.get("metrics", {}).items():
                for name, value in found.items():
                    values.setdefault(f"{role}.{name}", []).append(value)
    return {name: statistics.fmean(found) for name, found in values.items()}


if __name__ == "__main__":
    runs = [means(Path(run)) for run in sys.argv[1:]]
    for name in dict.fromkeys(name for run in runs for name in run):
        found = [run[name] for run in runs if name in run]
        deviation = f" ± {statistics.stdev(found):.3g}" if len(found) > 1 else ""
        each = ", ".join(f"{value:.4g}" for value in found)
        print(f"{name}: {statistics.fmean(found):.4g}{deviation}: {each}")  # noqa: T201
