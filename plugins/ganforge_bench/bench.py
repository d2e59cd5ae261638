"""How fast a recipe's step is: compared with other steps, by part, and as a share of the device's rate."""

import math
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch
from attrs import field, frozen

from ganforge import (
    Batches,
    Dataset,
    Drawn,
    Engine,
    Plan,
    Plugins,
    Report,
    Stored,
    assemble,
    decide_and_read,
    flatten,
    lock_text,
    normal,
    random_generator,
    settle,
)
from ganforge_bench.parts import parts
from ganforge_bench.plain import PlainStep, Play, written
from ganforge_bench.profiling import profile
from ganforge_bench.rates import copy_rate, count_operations, device_name, matrix_rate, summary, wait

STORED = 512  # random pictures of each domain, at most
NUMBERS = 1 << 25  # in all of them, roughly
WARM_UP = 3
MOST = 50  # rounds
ENGINE, NONE = "engine", "none"  # values of --plain that are not files


@frozen
class Contender:
    """A step to measure, with its own batches and the process-wide settings of its recipe."""

    play: Play
    batches: Batches
    threads: int = field(factory=torch.get_num_threads)
    tf32: bool = field(factory=lambda: torch.backends.cudnn.allow_tf32)

    def take_over(self) -> None:
        """Apply the process-wide settings of this step."""
        torch.set_num_threads(self.threads)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.tf32

    def seconds(self, count: int) -> tuple[float, float]:
        """Return the mean wall-clock and processor seconds of `count` steps with their batches."""
        self.take_over()
        wait(self.batches.device)
        began, spent = time.perf_counter(), time.process_time()
        for number in range(count):
            self.play(number, self.batches(number))
        wait(self.batches.device)
        return (time.perf_counter() - began) / count, (time.process_time() - spent) / count


def bench(
    plan: Plan,
    device: torch.device,
    *,
    seconds: float,
    report: Report,
    rounds: int = 5,
    real_data: bool = False,
    plain: str = ENGINE,
    beside: Plan | None = None,
    traces: Path | None = None,
) -> dict[str, Any]:
    """Measure a recipe's step.

    Args:
        plan: the resolved recipe.
        device: where to train.
        seconds: roughly how long all rounds take together.
        report: called with (what, done, total).
        rounds: the minimum; each round measures every step once.
        real_data: use the recipe's data set; otherwise random samples of its shapes.
        plain: `engine`, `none`, or the name of a file that makes a step; see `written`.
        beside: another recipe, measured in the same rounds.
        traces: the folder of a profile.

    Returns:
        Figures by name, ready for JSON. Ratios are medians over the rounds: the other step's time divided by ours.

    Raises:
        InputError: the plain step is not what the recipe computes, or the folder cannot be written.
    """
    plan, dataset, engine, batches, sources = prepared(plan, device, real_data=real_data, report=report)
    train, compute = plan.train, plan.compute
    contenders = {"ganforge": Contender(engine.step, batches)}
    if plain == ENGINE:
        contenders["plain"] = Contender(PlainStep.of(plan, dataset, sources, device), batches)
    elif plain != NONE:
        contenders["plain"] = Contender(written(plain, engine, batches, _width(plan)), batches, tf32=False)
    if beside is not None:
        _, _, other, others, _ = prepared(beside, device, real_data=real_data, report=report)
        contenders["beside"] = Contender(other.step, others)

    # A multiple of every step's period, so that each measurement holds the same phases.
    rhythm = math.lcm(*train.every.values())
    once = _warm_up(contenders, rhythm, seconds, report)
    times, processor = _rounds(contenders, rhythm, once, seconds, rounds, report)
    contenders["ganforge"].take_over()
    ours = times["ganforge"]
    step_seconds = median(ours)
    found: dict[str, Any] = {
        "recipe": plan.name,
        "ganforge": Plugins.version(),
        "device": device_name(device),
        "processor": device_name(torch.device("cpu")),
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "data": "recipe's" if real_data else "random",
        "precision": compute.precision,
        "channels_last": compute.channels_last,
        "compile": compute.compile,
        "cuda_graph": compute.cuda_graph,
        "batch": train.batch,
        "steps_per_second": 1 / step_seconds,
        "pairs_per_second": train.batch / step_seconds,
    }
    found["steps_are"] = engine.recording.how
    if engine.recording.reason:
        found["not_recorded_because"] = engine.recording.reason
    called = {"plain": plain, "beside": "" if beside is None else beside.name}
    for name, theirs in list(times.items())[1:]:
        ratio, quartiles = summary([other / mine for mine, other in zip(ours, theirs, strict=True)])
        found |= {f"{name}_step": called[name], f"{name}_steps_per_second": 1 / median(theirs)}
        found |= {f"{name}_ratio": ratio, f"{name}_ratio_quartiles": list(quartiles)}
        if device.type == "cpu":
            spent = zip(processor["ganforge"], processor[name], strict=True)
            found[f"{name}_processor_ratio"] = median(other / mine for mine, other in spent)

    operations = count_operations(engine, batches, rhythm)
    matrix, copy = matrix_rate(device, compute.precision), copy_rate(device)
    done = operations / step_seconds
    measured = rhythm * max(1, round(min(seconds / 2, 3.0) / step_seconds / rhythm))
    taken, shares = parts(engine, batches, device, measured, plan.record.log_every)
    found |= {
        "round_seconds": times,
        "parts_ms": taken,
        "shares": shares,
        "gigaflop_per_pair": operations / train.batch / 1e9,
        "gigaflop_per_second": done / 1e9,
        "matrix_gigaflop_per_second": matrix / 1e9,
        "share_of_matrix_rate": done / matrix,
        "copy_gigabyte_per_second": copy / 1e9,
        "settings": settings_of(plan),
    }
    if traces is not None:
        found["operations"] = profile(engine, batches, device, traces, rhythm)
    return found


def speed(plan: Plan, engine: Engine, batches: Batches, seconds: float, rounds: int, report: Report) -> dict[str, Any]:
    """Measure the speed of a warm step alone, as `bench` does; the arguments are those of `bench`."""
    contenders = {"ganforge": Contender(engine.step, batches)}
    rhythm = math.lcm(*plan.train.every.values())
    once, _ = contenders["ganforge"].seconds(rhythm)
    times, _ = _rounds(contenders, rhythm, once, seconds, rounds, report)
    step_seconds = median(times["ganforge"])
    return {
        "precision": plan.compute.precision,
        "batch": plan.train.batch,
        "steps_per_second": 1 / step_seconds,
        "pairs_per_second": plan.train.batch / step_seconds,
        "round_seconds": times,
    }


def prepared(
    plan: Plan, device: torch.device, *, real_data: bool, report: Report
) -> tuple[Plan, Dataset, Engine, Batches, Mapping[str, Any]]:
    """Make a recipe's engine and batches, from its data or from random samples; return the samples, too."""
    plan, dataset = settle(plan, device)
    sources: Mapping[str, Any]
    if real_data:
        plan, dataset, _, read = decide_and_read(plan, dataset, report)
        sources = read["train"]
    else:
        sources = random_sources(plan, dataset)
    engine, batches = assemble(plan, dataset, sources, device)
    return plan, dataset, engine, batches, sources


def random_sources(plan: Plan, dataset: Dataset) -> dict[str, Stored | Drawn]:
    """Return random samples of the data set's shapes: pictures stored as bytes, points drawn anew."""
    random = random_generator(plan.train.seed, "bench")
    sources: dict[str, Stored | Drawn] = {field: normal(shape) for field, shape in plan.coupling.noise.items()}
    for domain, shape in dataset.shapes.items():
        if len(shape) == 3:
            count = max(plan.train.batch, min(STORED, NUMBERS // math.prod(shape)))
            pictures = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=random)
            sources[domain] = Stored(count, pictures.__getitem__)
        else:
            sources[domain] = normal(shape)
    return sources


def settings_of(plan: Plan) -> dict[str, Any]:
    """Return all settings that affect a step, by key, with defaults filled in."""
    locked = tomllib.loads(lock_text(plan, {}))
    kept = {name: locked[name] for name in locked if name not in ("lock", "record", "evaluations", "observers")}
    return flatten(kept)


def _warm_up(contenders: Mapping[str, Contender], rhythm: int, seconds: float, report: Report) -> float:
    """Run the first steps, fewer if they are slow; return the seconds of a step of the slowest contender."""
    slowest = 0.0
    for place, contender in enumerate(contenders.values()):
        report("warming up", place, len(contenders))
        began, done, once = time.perf_counter(), 0, 0.0
        while done < 1 or (done < WARM_UP and time.perf_counter() - began < seconds / 5):
            once, _ = contender.seconds(rhythm)
            done += rhythm
        slowest = max(slowest, once)
    report("warming up", len(contenders), len(contenders))
    return slowest


def _rounds(
    contenders: Mapping[str, Contender], rhythm: int, once: float, seconds: float, least: int, report: Report
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Measure all steps in turn, round after round.

    Returns:
        For each step its wall-clock and its processor seconds in every round.
    """
    mine = seconds / len(contenders)
    many = rhythm * max(1, round(min(mine / 10, 1.0) / once / rhythm))
    rounds = max(least, min(MOST, round(mine / (once * many))))
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for number in range(rounds):
        report("measuring", number, rounds)
        for name, contender in contenders.items():
            taken[name].append(contender.seconds(many))
    report("measuring", rounds, rounds)
    clock, processor = ({name: [each[kind] for each in times] for name, times in taken.items()} for kind in (0, 1))
    return clock, processor


def _width(plan: Plan) -> int:
    """Return the width of the recipe's first generator: its channels or hidden units, or 0 if it has no width."""
    settings = next((choice.settings for net, choice in plan.networks.values() if net.kind == "generator"), {})
    return int(settings.get("width", settings.get("hidden", 0)))
