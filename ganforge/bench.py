"""How fast a recipe's step is: against a plain step of the same networks, in its parts, as a share of the device."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import torch
from attrs import evolve, frozen
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ganforge.data.batches import Batches, Sources, silent
from ganforge.data.dataset import Dataset, Drawn, Report, Shape, Stored, random_generator
from ganforge.recipe.plan import Phase, Plan
from ganforge.training import build, numerics
from ganforge.training.engine import Engine, Term
from ganforge.training.meter import Meter

STORED = 512  # random pictures of each domain
WARM_UP = 3
MATRIX = {"cpu": 2048, "cuda": 8192, "mps": 4096}  # side of the matrices whose product is timed
COPIED = 1 << 26  # floats that are copied to measure the memory


@frozen
class PlainStep:
    """The textbook step without autocast: every pass anew for each phase, every gradient computed.

    The losses are those of the recipe, on the views of its coupling; optimizers are in torch's default form.
    """

    plan: Plan
    networks: Mapping[str, nn.Module]
    optimizers: Mapping[Phase, torch.optim.Optimizer]
    terms: Mapping[Phase, Sequence[Term]]

    def __call__(self, step: int, batch: Mapping[str, Tensor]) -> None:
        """Play the phases of one step."""
        for phase in self.plan.train.phases(step):
            if not self.terms[phase]:
                continue
            views = {view.name: view for view in self.plan.coupling.views(self.networks, batch)}
            if phase == "discriminator":
                for view in views.values():
                    view.__dict__["fake"] = view.generator(view.source).detach()
            values = [term.value(views[term.view]) * term.loss.table.weight_at(step) for term in self.terms[phase]]
            total = torch.stack(values).sum()
            for network in self.networks.values():
                network.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            self.optimizers[phase].step()


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
    plan: Plan, device: torch.device, *, seconds: float, real_data: bool = False, report: Report = silent
) -> dict[str, Any]:
    """Measure a recipe's step.

    Args:
        plan: the recipe, understood.
        device: where to train.
        seconds: how long to measure each of the two steps, about.
        real_data: take the recipe's data set; else random samples of its shapes.
        report: told of (what, done, total).

    Returns:
        Figures by name, ready for JSON: the medians of interleaved rounds.
    """
    dataset = build.make_dataset(plan)
    terms = build.check(plan, dataset)
    plan = evolve(plan, train=numerics.settle(plan.train, dataset.shapes, device))
    numerics.apply(plan.train)
    sources = build.read_data(plan, dataset, report)["train"] if real_data else random_sources(plan, dataset)
    train = plan.train
    batches = Batches(
        sources,
        batch=train.batch,
        seed=train.seed,
        device=device,
        paired=dataset.paired,
        residency=train.residency,
        augment=train.augment,
    )
    engine = build.make_engine(plan, terms, batches, dataset.shapes)

    # As many steps as give both steps the same rhythm of phases.
    rhythm = math.lcm(train.discriminator_every, train.generator_every)
    for step in range(max(WARM_UP, rhythm)):
        report("warming up", step, max(WARM_UP, rhythm))
        engine.step(step, batches(step))
    memory = peak_memory(device)
    plain = _plain(plan, batches, dataset.shapes, terms)
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
    matrix, copy = matrix_rate(device, train.precision), copy_rate(device)
    done = operations / step_seconds
    return {
        "recipe": plan.name,
        "device": device_name(device),
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "precision": train.precision,
        "channels_last": train.channels_last,
        "compile": train.compile,
        "cuda_graph": train.cuda_graph,
        "batch": train.batch,
        "steps_per_second": 1 / step_seconds,
        "pairs_per_second": train.batch / step_seconds,
        "plain_steps_per_second": 1 / plain_seconds,
        "ratio": plain_seconds / step_seconds,
        "rounds": rounds,
        "steps_per_round": many,
        "parts_ms": parts(engine, batches, device, rhythm * max(1, round(min(20.0, 3.0 / step_seconds) / rhythm))),
        "gigaflop_per_pair": operations / train.batch / 1e9,
        "gigaflop_per_second": done / 1e9,
        "matrix_gigaflop_per_second": matrix / 1e9,
        "share_of_matrix_rate": done / matrix,
        "copy_gigabyte_per_second": copy / 1e9,
        "peak_memory_mib": memory / 2**20,
    }


def random_sources(plan: Plan, dataset: Dataset) -> Sources:
    """Return random samples of the data set's shapes: pictures stored as bytes, points drawn anew."""
    random = random_generator(plan.train.seed, "bench")
    sources: dict[str, Stored | Drawn] = {}
    for domain, shape in dataset.shapes.items():
        if len(shape) == 3:
            count = max(STORED, plan.train.batch)
            pictures = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=random)
            sources[domain] = Stored(count, pictures.__getitem__)
        else:
            sources[domain] = Drawn(partial(_noise, shape))
    return sources


def _noise(shape: Shape, count: int, random: torch.Generator) -> Tensor:
    return torch.randn(count, *shape, generator=random)


def parts(engine: Engine, batches: Batches, device: torch.device, steps: int) -> dict[str, float]:
    """Return the milliseconds of a step that its parts take, over some steps, the device waited for between them."""
    clock = Clock(device)
    fetch = clock.around("data", batches)
    play = engine._play

    def timed(step: int, batch: Mapping[str, Tensor]) -> Iterator[tuple[Phase, Tensor]]:
        phases = iter(play(step, batch))
        for phase in engine.train.phases(step):
            found = clock.around(f"{phase} phase", partial(next, phases, None))()
            if found:
                yield found

    meter = Meter(engine)
    add, read = clock.around("logging", meter.add), clock.around("logging", meter.means)
    steps_of = {phase: optimizer.step for phase, optimizer in engine.optimizers.items()}
    try:
        engine._play = timed  # type: ignore[method-assign]
        for optimizer in engine.optimizers.values():
            optimizer.step = clock.around("optimizers", optimizer.step)  # type: ignore[method-assign]
        for step in range(steps):
            add(step, engine.step(step, fetch(step)))
            if engine.train.log_every and (step + 1) % engine.train.log_every == 0:
                read()
                meter.clear()
    finally:
        engine._play = play  # type: ignore[method-assign]
        for phase, call in steps_of.items():
            engine.optimizers[phase].step = call  # type: ignore[method-assign]
    names = ["data", *(f"{phase} phase" for phase in engine.optimizers), "optimizers", "logging"]
    return {name: 1000 * sum(clock.seconds.get(name, [])) / steps for name in names}


def count_operations(engine: Engine, batches: Batches, steps: int) -> float:
    """Return the floating-point operations of a step, two for each multiply-add, in products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        for step in range(steps):
            for _ in engine._compute(engine._weights(step), batches(step)):
                pass
    return float(counter.get_total_flops()) / steps


def matrix_rate(device: torch.device, precision: str) -> float:
    """Return the operations per second of one large matrix product in a precision."""
    side = MATRIX.get(device.type, 2048)
    kind = numerics.HALVES.get(precision, torch.float32)
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


def _plain(
    plan: Plan, batches: Batches, shapes: Mapping[str, Shape], terms: Mapping[Phase, Sequence[Term]]
) -> PlainStep:
    networks = build.make_networks(plan, shapes, batches.device, batches.mean)
    optimizers: dict[Phase, torch.optim.Optimizer] = {}
    for phase in terms:
        members = [networks[name] for name, (network, _) in plan.networks.items() if network.role == phase]
        parameters = [parameter for network in members for parameter in network.parameters()]
        optimizers[phase] = plan.optimizers[phase].make(parameters=parameters)
        for group in optimizers[phase].param_groups:
            group["fused"] = False  # which is torch's default
    return PlainStep(plan, networks, optimizers, terms)


def _fastest(call: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(5):
        wait(device)
        began = time.perf_counter()
        call()
        wait(device)
        times.append(time.perf_counter() - began)
    return min(times)
