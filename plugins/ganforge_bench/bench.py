"""How fast a recipe's step is: against a plain step of the same networks, in its parts, as a share of the device."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import attrs
import torch
from attrs import evolve, frozen
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ganforge import (
    Batches,
    Dataset,
    Drawn,
    Engine,
    Meter,
    Plan,
    Report,
    Stored,
    Values,
    assemble,
    decide_and_read,
    normal,
    random_generator,
    settle,
)

STORED = 512  # random pictures of each domain
WARM_UP = 3
MATRIX = {"cpu": 2048, "cuda": 8192, "mps": 4096}  # side of the matrices whose product is timed
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
COPIED = 1 << 26  # floats that are copied to measure the memory


@frozen
class PlainStep:
    """The textbook step without autocast: every pass anew for each player, every gradient computed.

    The losses are those of an engine of its own; its optimizers are in torch's default form.
    """

    engine: Engine

    def __call__(self, step: int, batch: Mapping[str, Tensor]) -> None:
        """Play one step."""
        weights = self.engine.weights(step)
        for name, counting in weights.items():
            player = self.engine.players[name]
            values = Values(self.engine.scheme, batch, list(self.engine.players))
            losses = [player.terms[place].value(values, name) * weight for place, weight in counting.items()]
            for network in self.engine.networks.values():
                network.zero_grad()
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
            player.optimizer.step()


@attrs.define
class Clock:
    """Adds up the seconds that calls take, waiting for the device before and after."""

    device: torch.device
    seconds: dict[str, list[float]] = attrs.field(factory=dict)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call with its time measured under a name."""

        def timed(*arguments: Any) -> Any:
            wait(self.device)
            began = time.perf_counter()
            result = call(*arguments)
            wait(self.device)
            self.seconds.setdefault(name, []).append(time.perf_counter() - began)
            return result

        return timed


def wait(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def bench(
    plan: Plan, device: torch.device, *, seconds: float, report: Report, real_data: bool = False
) -> dict[str, Any]:
    """Measure a recipe's step.

    Args:
        plan: the recipe, understood.
        device: where to train.
        seconds: how long to measure each of the two steps, about.
        report: told of (what, done, total).
        real_data: take the recipe's data set; else random samples of its shapes.

    Returns:
        Figures by name, ready for JSON: the medians of interleaved rounds.
    """
    plan, dataset = settle(plan, device)
    if real_data:
        plan, dataset, _, read = decide_and_read(plan, dataset, report)
        sources = read["train"]
    else:
        sources = random_sources(plan, dataset)
    train, compute = plan.train, plan.compute
    engine, batches = assemble(plan, dataset, sources, device)

    # As many steps as give both steps the same rhythm of phases.
    rhythm = math.lcm(*train.every.values())
    for step in range(max(WARM_UP, rhythm)):
        report("warming up", step, max(WARM_UP, rhythm))
        engine.step(step, batches(step))
    memory = peak_memory(device)
    plain = _plain(plan, dataset, sources, device)
    plain(0, batches(0))

    def play(step: Callable[[int, Mapping[str, Tensor]], object], count: int) -> float:
        """Return the seconds that some steps take, each with its batch."""
        wait(device)
        began = time.perf_counter()
        for number in range(count):
            step(number, batches(number))
        wait(device)
        return time.perf_counter() - began

    once = play(plain, rhythm)
    many = rhythm * max(1, round(min(seconds / 5, 1.0) / once))
    rounds = max(3, min(50, round(seconds / (once * many / rhythm))))
    ours, theirs = [], []
    for number in range(rounds):
        report("measuring", number, rounds)
        ours.append(play(engine.step, many))
        theirs.append(play(plain, many))
    report("measuring", rounds, rounds)
    step_seconds = statistics.median(ours) / many
    plain_seconds = statistics.median(theirs) / many

    operations = count_operations(engine, batches, rhythm)
    matrix, copy = matrix_rate(device, compute.precision), copy_rate(device)
    done = operations / step_seconds
    measured = rhythm * max(1, round(min(20.0, 3.0 / step_seconds) / rhythm))
    return {
        "recipe": plan.name,
        "device": device_name(device),
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "precision": compute.precision,
        "channels_last": compute.channels_last,
        "compile": compute.compile,
        "cuda_graph": compute.cuda_graph,
        "batch": train.batch,
        "steps_per_second": 1 / step_seconds,
        "pairs_per_second": train.batch / step_seconds,
        "plain_steps_per_second": 1 / plain_seconds,
        "ratio": plain_seconds / step_seconds,
        "rounds": rounds,
        "steps_per_round": many,
        "parts_ms": parts(engine, batches, device, measured, plan.record.log_every),
        "gigaflop_per_pair": operations / train.batch / 1e9,
        "gigaflop_per_second": done / 1e9,
        "matrix_gigaflop_per_second": matrix / 1e9,
        "share_of_matrix_rate": done / matrix,
        "copy_gigabyte_per_second": copy / 1e9,
        "peak_memory_mib": memory / 2**20,
    }


def random_sources(plan: Plan, dataset: Dataset) -> dict[str, Stored | Drawn]:
    """Return random samples of the data set's shapes: pictures stored as bytes, points drawn anew."""
    random = random_generator(plan.train.seed, "bench")
    sources: dict[str, Stored | Drawn] = {field: normal(shape) for field, shape in plan.coupling.noise.items()}
    for domain, shape in dataset.shapes.items():
        if len(shape) == 3:
            count = max(STORED, plan.train.batch)
            pictures = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=random)
            sources[domain] = Stored(count, pictures.__getitem__)
        else:
            sources[domain] = normal(shape)
    return sources


def parts(engine: Engine, batches: Batches, device: torch.device, steps: int, log_every: int) -> dict[str, float]:
    """Return the milliseconds of a step that its parts take, over some steps, the device waited for between them."""
    clock = Clock(device)
    fetch = clock.around("data", batches)
    play = engine.recording.play
    players = {name: player.optimizer for name, player in engine.players.items()}

    def timed(*arguments: Any) -> Iterator[Any]:
        turns = iter(play(*arguments))
        for name in [*players, ""]:
            found = clock.around(f"{name} phase", partial(next, turns, None))()
            if found:
                yield found

    meter = Meter(engine)
    add, read = clock.around("logging", meter.add), clock.around("logging", meter.means)
    steps_of = {name: optimizer.step for name, optimizer in players.items()}
    try:
        engine.recording.play = timed  # type: ignore[assignment]
        for optimizer in players.values():
            optimizer.step = clock.around("optimizers", optimizer.step)  # type: ignore[method-assign]
        for step in range(steps):
            add(step, engine.step(step, fetch(step)))
            if log_every and (step + 1) % log_every == 0:
                read()
                meter.clear()
    finally:
        engine.recording.play = play  # type: ignore[method-assign]
        for name, call in steps_of.items():
            players[name].step = call  # type: ignore[method-assign]
    names = ["data", *(f"{name} phase" for name in players), "optimizers", "logging"]
    return {name: 1000 * sum(clock.seconds.get(name, [])) / steps for name in names}


def count_operations(engine: Engine, batches: Batches, steps: int) -> float:
    """Return the floating-point operations of a step, two for each multiply-add, in products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        for step in range(steps):
            for _ in engine.turns(step, batches(step)):
                pass
    return float(counter.get_total_flops()) / steps


def matrix_rate(device: torch.device, precision: str) -> float:
    """Return the operations per second of one large matrix product in a precision."""
    side = MATRIX.get(device.type, 2048)
    kind = HALVES.get(precision, torch.float32)
    one, other = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    return 2 * side**3 / _fastest(lambda: one @ other, device)


def copy_rate(device: torch.device) -> float:
    """Return the bytes per second that are read and written when memory is copied."""
    source = torch.ones(COPIED, device=device)
    target = torch.empty_like(source)
    return 8 * COPIED / _fastest(lambda: target.copy_(source), device)


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that were taken so far: on the device, or by this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # which not every system has

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_name(device: torch.device) -> str:
    """Name the device as its maker does."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(torch.cpu.get_capabilities().get("cpu_name", "cpu")) if device.type == "cpu" else str(device)


def _plain(plan: Plan, dataset: Dataset, sources: Mapping[str, Any], device: torch.device) -> PlainStep:
    compute = evolve(plan.compute, precision="fp32", channels_last=False, compile=False, cuda_graph=False)
    engine, _ = assemble(evolve(plan, compute=compute), dataset, sources, device)
    for player in engine.players.values():
        for group in player.optimizer.param_groups:
            group["fused"] = False  # which is torch's default
    return PlainStep(engine)


def _fastest(call: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(5):
        wait(device)
        began = time.perf_counter()
        call()
        wait(device)
        times.append(time.perf_counter() - began)
    return min(times)
