"""Where a step's time goes: the parts of the training loop, and the kinds of work.

Forward is what values and losses compute, backward what `Player.differentiate` does, optimizer the optimizers' steps.
A recorded step has no separate forward and backward: both are called `program`. Host overhead is everything else:
batches, the engine's bookkeeping, logging. On CUDA the first parts share the time in which the device is busy, and
host overhead is the time in which it waits for the host.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import torch

from ganforge import Batches, Engine, Formula, Meter, Player
from ganforge_bench.profiling import busy_seconds
from ganforge_bench.rates import wait

KINDS = ("forward", "backward", "program", "optimizer")


@attrs.define
class Clock:
    """Adds up the seconds that calls take; on CUDA by the device's own clock, which needs no synchronisation."""

    device: torch.device
    spans: dict[str, list[tuple[Any, Any]]] = attrs.field(factory=dict)

    def mark(self) -> Any:
        """Return the current time."""
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            return event
        wait(self.device)
        return time.perf_counter()

    def add(self, name: str, began: Any, ended: Any) -> None:
        """Add the time between two marks to a name."""
        self.spans.setdefault(name, []).append((began, ended))

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to a name."""
        began = self.mark()
        yield
        self.add(name, began, self.mark())

    def around(self, holder: Any, method: str, name: str) -> Any:
        """Time a method from now on; return the original method."""
        call = getattr(holder, method)

        def timed(*arguments: Any, **settings: Any) -> Any:
            with self.timed(name):
                return call(*arguments, **settings)

        setattr(holder, method, timed)
        return call

    def seconds(self, name: str) -> float:
        """Return the total time of a name."""
        wait(self.device)
        if self.device.type == "cuda":
            return float(sum(began.elapsed_time(ended) for began, ended in self.spans.get(name, ()))) / 1000
        return float(sum(ended - began for began, ended in self.spans.get(name, ())))


def parts(
    engine: Engine, batches: Batches, device: torch.device, steps: int, log_every: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Measure the parts of some training steps.

    Returns:
        The milliseconds that each part of a step takes, and the shares of the kinds of work, which sum to 1.
    """
    clock, meter = Clock(device), Meter(engine)
    with _watched(engine, clock):
        for step in range(steps):
            with clock.timed("step"):
                with clock.timed("data"):
                    batch = batches(step)
                losses = engine.step(step, batch)
                with clock.timed("logging"):
                    meter.add(step, losses)
                    if log_every and (step + 1) % log_every == 0:
                        meter.means()
                        meter.clear()
    total = clock.seconds("step")
    names = ["data", *(f"{name} phase" for name in engine.players), "optimizer", "logging"]
    taken = {name: 1000 * clock.seconds(name) / steps for name in names}
    kinds = {name: clock.seconds(name) for name in KINDS}
    worked = sum(kinds.values())
    busy = worked / total
    if device.type == "cuda":
        busy = min(1.0, busy_seconds(engine, batches, device) * steps / total)
    return taken, {**{name: busy * kinds[name] / worked for name in KINDS}, "host overhead": 1 - busy}


@contextmanager
def _watched(engine: Engine, clock: Clock) -> Iterator[None]:
    """Time what an engine does inside the block."""
    play = engine.recording.play

    def turns(*arguments: Any) -> Iterator[Any]:
        played = iter(play(*arguments))
        while True:
            differentiated = len(clock.spans.get("backward", ()))
            began = clock.mark()
            turn = next(played, None)
            ended = clock.mark()
            if turn is None:
                return
            clock.add(f"{turn[0]} phase", began, ended)
            if len(clock.spans.get("backward", ())) == differentiated:
                clock.add("program", began, ended)
            yield turn

    compute = clock.around(Formula, "compute", "forward")
    differentiate = clock.around(Player, "differentiate", "backward")
    optimizers = [player.optimizer for player in engine.players.values()]
    steps = [clock.around(optimizer, "step", "optimizer") for optimizer in optimizers]
    engine.recording.play = turns  # type: ignore[assignment]
    try:
        yield
    finally:
        engine.recording.play = play  # type: ignore[method-assign]
        for optimizer, step in zip(optimizers, steps, strict=True):
            optimizer.step = step  # type: ignore[method-assign]
        Formula.compute = compute  # type: ignore[method-assign]
        Player.differentiate = differentiate  # type: ignore[method-assign]
