"""Several recipes, several seeds: train what is missing, then one table, one figure, one page."""

import html
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from string import Template
from typing import Any

import torch
from attrs import define, evolve, frozen
from matplotlib.figure import Figure
from matplotlib.image import imread

from ganforge import (
    InputError,
    Plan,
    Report,
    RunFailedError,
    is_finished,
    read_metrics,
    settle,
    write_file,
)
from ganforge_compare.difference import first_difference

LAST = 0.8  # of a training; metrics after it are averaged
POLL_SECONDS = 0.5
SHOWN_LINES = 5
LINE = 1 << 16  # bytes that a log's last line has at most
INITIAL = "_initial"
WIDTH, TITLE = 16.0, 0.4  # inches of the figure, and of a line above each row


@frozen
class Member:
    """One run of a comparison: a recipe with a seed, and the folder it has or will have."""

    recipe: str
    plan: Plan
    seed: int
    out: Path

    @property
    def folder(self) -> Path:
        """The run's folder; a comparison keeps one run of each recipe and seed."""
        return self.out / self.plan.name / "0001"

    @property
    def label(self) -> str:
        """Such as `discogan_toy, seed 3`."""
        return f"{self.plan.name}, seed {self.seed}"

    def steps_done(self) -> int:
        """Return how many steps the run's log or checkpoint tells of."""
        path = self.folder / "log.jsonl"
        with suppress(OSError, ValueError, IndexError, KeyError), path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LINE))
            return int(json.loads(file.read().splitlines()[-1])["step"])
        return 0


def members(plans: Sequence[tuple[str, Plan]], seeds: int, out: Path, device: torch.device) -> list[Member]:
    """List the runs, after a look at those that are there.

    Args:
        plans: each with what the user calls the recipe.
        seeds: how many of each; they count from 0.
        out: folder of the comparison.
        device: where they are trained.

    Raises:
        InputError: two recipes have one name, or a run that is there has other settings.
    """
    names = [plan.name for _, plan in plans]
    if len(names) > len(set(names)):
        raise InputError(f"recipes to compare must have different names, got {', '.join(names)}")
    found = []
    for recipe, plan in plans:
        plan, _ = settle(plan, device)
        for seed in range(seeds):
            mine = evolve(plan, train=evolve(plan.train, seed=seed))
            member = Member(recipe, mine, seed, out / f"seed-{seed}")
            _require_same(member, device)
            found.append(member)
    return found


def _require_same(member: Member, device: torch.device) -> None:
    """Refuse a run that is there with other settings."""
    if difference := first_difference(member.folder, member.plan, device):
        key, there, wanted = difference
        raise InputError(
            f"{member.folder} was trained with {key} = {there!r}, not {wanted!r}; "
            "compare into another folder with --out, or delete that run"
        )


@define
class Worker:
    """A process that trains one member."""

    member: Member
    process: "subprocess.Popen[bytes]"
    output: Path


def train(
    wanted: Sequence[Member], options: Sequence[str], device: torch.device, jobs: int, report: Report
) -> list[str]:
    """Train every member that is not done, each in a process of its own; return the lines that say what failed.

    Args:
        wanted: the members.
        options: of the command line, to pass on.
        device: where to train.
        jobs: how many at a time; 0 takes as many as there are cores, and one on a GPU.
        report: told of (what, done, total).

    Raises:
        KeyboardInterrupt: all have saved their state and stopped.
    """
    waiting = [member for member in wanted if not is_finished(member.folder, member.plan)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = jobs or (1 if device.type != "cpu" else cores)
    jobs = max(1, min(jobs, len(waiting)))
    total = sum(member.plan.train.steps for member in wanted)
    working: list[Worker] = []
    failures: list[str] = []
    try:
        while waiting or working:
            while waiting and len(working) < jobs:
                working.append(_start(waiting.pop(0), options, device, max(1, cores // jobs)))
            time.sleep(POLL_SECONDS)
            for worker in [worker for worker in working if worker.process.poll() is not None]:
                working.remove(worker)
                if worker.process.returncode:
                    failures += _failure(worker)
            report("training", sum(min(member.steps_done(), member.plan.train.steps) for member in wanted), total)
    except BaseException:
        for worker in working:
            worker.process.send_signal(signal.SIGINT)
        for worker in working:
            worker.process.wait()
        raise
    return failures


def _start(member: Member, options: Sequence[str], device: torch.device, threads: int) -> Worker:
    """Start training, or going on with it."""
    member.out.mkdir(parents=True, exist_ok=True)
    if (member.folder / "checkpoints" / "latest").exists():
        steps = f"train.steps={member.plan.train.steps}"
        words = ["resume", str(member.folder), "--set", steps, "--device", str(device)]
    else:
        _clear(member.folder)
        seed = f"train.seed={member.seed}"
        words = ["run", member.recipe, *options, "--set", seed, "--out", str(member.out), "--device", str(device)]
    output = member.out / f"{member.plan.name}.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ganforge", *words],  # no module of the current folder goes before others
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # an interruption is passed on once, by us
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
    return Worker(member, process, output)


def _clear(folder: Path) -> None:
    """Make way for a run where one was stopped before its first checkpoint."""
    if folder.exists():
        number = 1
        while (aside := folder.with_name(f"stopped-{number}")).exists():
            number += 1
        folder.rename(aside)


def _failure(worker: Worker) -> list[str]:
    lines = worker.output.read_text(errors="replace").strip().split("\n")[-SHOWN_LINES:]
    return [f"{worker.member.label} failed with status {worker.process.returncode}:", *lines]


def summarise(trained: Sequence[Member]) -> dict[str, Any]:
    """Return each recipe's metrics: over the seeds, the mean and the sample deviation of each run's value.

    A run's value is the mean over its evaluations in the last fifth of the training; the last one, if that is all.
    """
    found: dict[str, Any] = {}
    for member in trained:
        entry = found.setdefault(member.plan.name, {"steps": member.plan.train.steps, "runs": {}, "metrics": {}})
        entry["runs"][str(member.seed)] = str(member.folder)
        for name, value in _late(member).items():
            entry["metrics"].setdefault(name, {"values": {}})["values"][str(member.seed)] = value
    for entry in found.values():
        for metric in entry["metrics"].values():
            values = list(metric["values"].values())
            metric["mean"] = statistics.fmean(values)
            metric["deviation"] = statistics.stdev(values) if len(values) > 1 else 0.0
    return found


def _late(member: Member) -> dict[str, float]:
    """Return a run's metrics, `role.metric`, averaged over the last fifth of its training."""
    records: list[dict[str, Any]] = []
    with suppress(OSError):
        lines = (member.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        records = [record for record in map(json.loads, lines) if "metrics" in record]
    steps = member.plan.train.steps
    late = [record["metrics"] for record in records if LAST * steps < record["step"] <= steps]
    if not late:
        late = [{role: part for role, part in read_metrics(member.folder).items() if role != "step"}]
    return {
        f"{role}.{name}": statistics.fmean(record[role][name] for record in late if name in record.get(role, {}))
        for role, part in late[-1].items()
        for name in part
    }


def draw(trained: Sequence[Member]) -> Figure | None:
    """Put the figures of each recipe's first seed side by side: a row for each figure, a column for each recipe.

    A figure `x_initial`, of the state before the training, comes first in the row of `x`.
    """
    first = [member for member in trained if member.seed == trained[0].seed]
    names = sorted({path.stem for member in first for path in (member.folder / "figures").glob("*.png")})
    rows = []
    for name in names:
        if name.removesuffix(INITIAL) in names and name.endswith(INITIAL):
            continue
        cells = [(member.plan.name, member.folder / "figures" / f"{name}.png") for member in first]
        before = first[0].folder / "figures" / f"{name}{INITIAL}.png"
        rows.append([*([("initial state", before)] if before.exists() else []), *cells])
    if not rows:
        return None
    # The figures of a row keep their sizes relative to each other, so that pictures in them are as large as elsewhere.
    pictures = [[(title, imread(path)) for title, path in row if path.exists()] for row in rows]
    widths = [[picture.shape[1] for _, picture in row] for row in pictures]
    tallest = [max(picture.shape[0] for _, picture in row) for row in pictures]
    heights = [WIDTH * height / sum(row) + TITLE for height, row in zip(tallest, widths, strict=True)]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, row, ratios in zip(parts, pictures, widths, strict=True):
        for number, ((title, picture), axes) in enumerate(
            zip(row, part.subplots(1, len(row), width_ratios=ratios, squeeze=False)[0], strict=True)
        ):
            axes.set_axis_off()
            axes.set_anchor("N")
            axes.imshow(picture)
            axes.set_title(f"({chr(ord('a') + number)}) {title}", fontsize=11)
    return figure


def rows_of(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a table: a row for each metric, a column for each recipe, mean ± deviation."""
    metrics = list(dict.fromkeys(name for entry in summary.values() for name in entry["metrics"]))
    table = []
    for metric in metrics:
        row = {"metric": metric}
        for name, entry in summary.items():
            found = entry["metrics"].get(metric)
            row[name] = f"{found['mean']:.3g} ± {found['deviation']:.2g}" if found else ""
        table.append(row)
    return table


def write(out: Path, wanted: Sequence[Member]) -> dict[str, Any]:
    """Write `comparison.json`, `.png` and `.html`, and return the summary.

    Raises:
        RunFailedError: no run has anything to compare.
    """
    trained = [member for member in wanted if (member.folder / "log.jsonl").exists()]
    if not trained:
        raise RunFailedError("no run came far enough to be compared")
    summary = summarise(trained)
    write_file(out / "comparison.json", json.dumps(summary, indent=2) + "\n")
    figure = draw(trained)
    picture = ""
    if figure is not None:
        figure.savefig(out / "comparison.png", dpi=150)
        data = b64encode((out / "comparison.png").read_bytes()).decode()
        picture = f'<img alt="figures of each recipe, side by side" src="data:image/png;base64,{data}">'
    page = Template((Path(__file__).parent / "comparison.html").read_text(encoding="utf-8"))
    seeds = len({member.seed for member in trained})
    write_file(
        out / "comparison.html",
        page.substitute(names=html.escape(", ".join(summary)), seeds=seeds, table=_table(summary), picture=picture),
    )
    return summary


def _table(summary: Mapping[str, Any]) -> str:
    rows = rows_of(summary)
    lines = ["<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in ("metric", *summary)) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{html.escape(value)}</td>" for value in row.values()) + "</tr>" for row in rows]
    return "\n".join(lines)
