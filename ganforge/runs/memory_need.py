"""Estimate the memory of a run before its first step, and refuse to start if there is not enough."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import torch
from attrs import frozen
from torch import Tensor, nn

from ganforge.errors import RunFailedError
from ganforge.recipe.plan import Plan, usual
from ganforge.system.memory import Room, free_memory, in_gib, resident_memory, whole_memory
from ganforge.training import ranks
from ganforge.training.engine import Engine
from ganforge.training.formula import tensors_of
from ganforge.training.state import drawn_from
from ganforge.training.step_memory import Line, line_of_translation, lines_of_step, size_of

OFTEN = 1000  # typical bytes of a step for each byte of its batch: 100 for small pictures, 4,000 for large ones
NO_QUESTION = 0.05  # share of the free memory; needs that are clearly smaller are not measured
HIDDEN = 1.15  # bytes that a CPU process uses for each counted byte: gaps between tensors, work space (measured)
LATER = 5 * 2.0**25  # bytes of code that is loaded during the training: for pictures, kernels (measured)
MOST = 1000  # most parts of a batch to suggest
MARGIN = 0.9  # share of the available memory that a suggested batch may use


@frozen
class Need:
    """The memory that a run needs: `rest` bytes, and the maximum of some lines, which grow with the batch."""

    rest: float
    lines: Sequence[Line]

    def at(self, batch: int) -> float:
        """Return the bytes for this many samples at once."""
        return self.rest + max(line.at(batch) for line in self.lines)

    def fitting(self, most: float) -> int:
        """Return the largest batch that needs at most `most` bytes; 0 if one sample needs more."""
        left = [(most - self.rest - line.fixed, line.each) for line in self.lines]
        if any(room < 0 for room, _ in left):
            return 0
        return math.floor(min((room / each for room, each in left if each > 0), default=0.0))


def need_of(plan: Plan, engine: Engine, one: Mapping[str, Tensor], batch: int, looked_at: int) -> Need | None:
    """Measure what a run needs without changing anything; None if that fails. Arguments as of `check_memory`."""
    device = next(iter(one.values())).device
    # Measured first: a CPU's allocator keeps the memory of trial steps for later.
    now = torch.cuda.memory_allocated(device) if device.type == "cuda" else resident_memory()
    if now is None:
        return None
    try:
        lines = lines_of_step(engine, one, batch)
        look = line_of_translation(engine, one, usual(plan.coupling.players)).at(looked_at)
    except Exception:  # any kind: the first step reports it
        return None
    hidden, later = (1.0, 0.0) if device.type == "cuda" else (HIDDEN, LATER)
    grown = [Line(hidden * line.fixed, hidden * line.each) for line in [*lines, Line(look, 0)]]
    return Need(now + later + _lasting(plan, engine, device), grown)


def _lasting(plan: Plan, engine: Engine, device: torch.device) -> float:
    """Return the bytes to be allocated for good: gradients, optimizer state, averages, copies for checkpoints."""
    weights = kept = 0.0
    for name, player in engine.players.items():
        weights += size_of(player.parameters)
        kept += _state_of(plan, name, player.parameters)
        kept += sum(
            size_of(player.parameters)
            for update in engine.updates
            if update.serves(name) and hasattr(update.made, "shown")
        )
    # A checkpoint is a copy, and everything but weights is then serialised twice.
    saving = weights + 3 * kept if device.type == "cpu" else 0.0
    return weights + kept + saving


def _state_of(plan: Plan, player: str, parameters: Sequence[Tensor]) -> float:
    """Return the bytes of an optimizer's state, from the meta device; if that fails, Adam's: twice the weights."""
    with suppress(Exception), drawn_from(0):
        outlines = [nn.Parameter(torch.empty_like(parameter, device="meta")) for parameter in parameters]
        for outline in outlines:
            outline.grad = torch.empty_like(outline)
        optimizer = plan.optimizers[player].make(parameters=outlines)
        optimizer.step()
        return size_of(tensors_of(optimizer.state))
    return 2 * size_of(parameters)


def room_on(device: torch.device) -> Room:
    """Return the memory of a device that a run may use, including what this process uses already."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
        return Room(free, free)  # CUDA does not swap
    mine = min(free_memory() / ranks.beside() + (resident_memory() or 0.0), whole_memory())
    return Room(mine, whole_memory() / ranks.beside())


def is_worth_measuring(engine: Engine, one: Mapping[str, Tensor], batch: int, room: Room) -> bool:
    """Return whether a step may need enough memory to measure it: points and tiny networks never do."""
    weights = sum(size_of(player.parameters) for player in engine.players.values())
    return OFTEN * batch * size_of(list(one.values())) + 10 * weights > NO_QUESTION * room.free


def check_memory(
    plan: Plan,
    engine: Engine,
    one: Mapping[str, Tensor],
    looked_at: int,
    warn: Callable[[str], None],
    *,
    resumed: bool,
) -> str:
    """Return a line that says how much memory a run needs and how much there is; "" if it clearly suffices.

    Args:
        plan: the run's plan.
        engine: a new engine, before a checkpoint is restored; its state does not change.
        one: a sample of each field, [1, ...].
        looked_at: samples that are translated at once outside training steps.
        warn: called if more is needed than is free now, which the system may still free.
        resumed: whether the run is resumed, so that its batch cannot change.

    Raises:
        RunFailedError: the run needs more memory than there is.
    """
    room = room_on(next(iter(one.values())).device)
    batch = plan.train.batch // (plan.train.accumulate * ranks.world())
    question = math.isfinite(room.free) and is_worth_measuring(engine, one, batch, room)
    if not any(ranks.exchange("whether memory is a question", question)):  # all ranks measure, or none
        return ""
    need = need_of(plan, engine, one, batch, looked_at)
    if need is None:
        return ""
    needed = need.at(batch)
    if needed > room.whole:
        sizes = f"batch {plan.train.batch} needs about {in_gib(needed, 2)}, but there are {in_gib(room.whole, 2)}"
        raise RunFailedError(f"out of memory: {sizes}: {_way_out(plan, need, room.whole, resumed)}")
    if needed > room.free:
        way = _way_out(plan, need, room.free, resumed)
        warn(f"about {in_gib(needed, 2)} of memory are needed, but only {in_gib(room.free, 2)} are free now: {way}")
    return f"memory: about {in_gib(needed, 2)} of {in_gib(room.free, 2)}"


def _way_out(plan: Plan, need: Need, there: float, resumed: bool) -> str:
    """Suggest what would fit: a smaller batch, or the same one in more parts."""
    if resumed:
        return "resume where there is more"
    batch, world = plan.train.batch, ranks.world()
    fits = need.fitting(MARGIN * there)  # samples at once
    smaller = min(fits * plan.train.accumulate * world, batch - 1)
    if smaller < 1:
        return "even a batch of 1 does not fit; use smaller samples or narrower networks, such as generator.width"
    enough = range(-(-batch // (fits * world)) if fits else MOST, MOST)
    parts = next((parts for parts in enough if batch % (parts * world) == 0), 0)
    same = f", or --set train.accumulate={parts}" if parts else ""
    return f"try --set train.batch={smaller}{same}"
