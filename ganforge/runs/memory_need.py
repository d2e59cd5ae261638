"""The memory that a run needs: stated before its first step, and refused where there is not as much."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import torch
from attrs import frozen
from torch import Tensor, nn

from ganforge.errors import RunFailedError
from ganforge.memory import Room, free_memory, resident_memory, whole_memory
from ganforge.recipe.plan import Plan, usual
from ganforge.training import ranks
from ganforge.training.engine import Engine
from ganforge.training.formula import tensors_of
from ganforge.training.state import drawn_from
from ganforge.training.step_memory import Line, line_of_translation, lines_of_step, size_of

OFTEN = 1000  # bytes that a step takes for each of its batch: 100 of small pictures, 4,000 of large ones
NO_QUESTION = 0.05  # of what is free: what needs less by far is not measured
HIDDEN = 1.15  # bytes that a CPU's process takes for each that is counted: gaps between tensors, work space (measured)
LATER = 5 * 2.0**25  # bytes of what is loaded once the training has begun: code for pictures, kernels (measured)
MOST = 1000  # parts of a batch that are proposed
MARGIN = 0.9  # of what there is: up to there a batch is said to fit


@frozen
class Need:
    """What a run needs: `rest` bytes always, and the most of some lines, which grow with the batch."""

    rest: float
    lines: Sequence[Line]

    def at(self, batch: int) -> float:
        """Bytes, where so many samples are played at once."""
        return self.rest + max(line.at(batch) for line in self.lines)

    def fitting(self, most: float) -> int:
        """Return the largest batch that needs no more than `most` bytes; 0 where not even one sample does."""
        left = [(most - self.rest - line.fixed, line.each) for line in self.lines]
        if any(room < 0 for room, _ in left):
            return 0
        return math.floor(min((room / each for room, each in left if each > 0), default=0.0))


def need_of(plan: Plan, engine: Engine, one: Mapping[str, Tensor], batch: int, looked_at: int) -> Need | None:
    """Measure what a run needs without changing anything; None if that fails. Arguments as of `check_memory`."""
    device = next(iter(one.values())).device
    # Before anything is tried: a CPU's allocator keeps what that takes for the steps to come.
    now = torch.cuda.memory_allocated(device) if device.type == "cuda" else resident_memory()
    if now is None:
        return None
    try:
        lines = lines_of_step(engine, one, batch)
        look = line_of_translation(engine, one, usual(plan.coupling.players)).at(looked_at)
    except Exception:  # of any kind: the first step says what is wrong
        return None
    hidden, later = (1.0, 0.0) if device.type == "cuda" else (HIDDEN, LATER)
    grown = [Line(hidden * line.fixed, hidden * line.each) for line in [*lines, Line(look, 0)]]
    return Need(now + later + _lasting(plan, engine, device), grown)


def _lasting(plan: Plan, engine: Engine, device: torch.device) -> float:
    """Return the bytes that are not there yet, and will stay: gradients, what optimizers and averages keep, copies."""
    weights = kept = 0.0
    for name, player in engine.players.items():
        weights += size_of(player.parameters)
        kept += _state_of(plan, name, player.parameters)
        kept += sum(
            size_of(player.parameters)
            for update in engine.updates
            if update.serves(name) and hasattr(update.made, "shown")
        )
    # A checkpoint is copied, and what is no weights is then made one piece of bytes, twice.
    saving = weights + 3 * kept if device.type == "cpu" else 0.0
    return weights + kept + saving


def _state_of(plan: Plan, player: str, parameters: Sequence[Tensor]) -> float:
    """Return the bytes that an optimizer will keep, found without memory; else Adam's two for each of the weights."""
    with suppress(Exception), drawn_from(0):
        outlines = [nn.Parameter(torch.empty_like(parameter, device="meta")) for parameter in parameters]
        for outline in outlines:
            outline.grad = torch.empty_like(outline)
        optimizer = plan.optimizers[player].make(parameters=outlines)
        optimizer.step()
        return size_of(tensors_of(optimizer.state))
    return 2 * size_of(parameters)


def room_on(device: torch.device) -> Room:
    """Return what a run may have where it computes, with what this process has already."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
        return Room(free, free)  # there is no more to come by swapping
    mine = min(free_memory() / ranks.beside() + (resident_memory() or 0.0), whole_memory())
    return Room(mine, whole_memory() / ranks.beside())


def is_worth_measuring(engine: Engine, one: Mapping[str, Tensor], batch: int, room: Room) -> bool:
    """Whether a step may need so much that it is worth a look: points and tiny networks never do."""
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
    """Return a line that says what memory a run needs and how much there is; nothing where it is no question.

    Args:
        plan: of the run.
        engine: fresh, as before a checkpoint is put back; nothing of it moves.
        one: a sample of each field, [1, ...].
        looked_at: samples that are translated at once outside of steps.
        warn: told if it is more than is free now, which the system may still make free.
        resumed: whether the run goes on, so that its batch cannot be another one.

    Raises:
        RunFailedError: it is more than there is.
    """
    room = room_on(next(iter(one.values())).device)
    batch = plan.train.batch // (plan.train.accumulate * ranks.world())
    question = math.isfinite(room.free) and is_worth_measuring(engine, one, batch, room)
    if not any(ranks.exchange("whether memory is a question", question)):  # all ranks look, or none
        return ""
    need = need_of(plan, engine, one, batch, looked_at)
    if need is None:
        return ""
    needed = need.at(batch)
    if needed > room.whole:
        there = f"out of memory: batch {plan.train.batch} needs about {_gib(needed)}, and there are {_gib(room.whole)}"
        raise RunFailedError(f"{there}: {_way_out(plan, need, room.whole, resumed)}")
    if needed > room.free:
        way = _way_out(plan, need, room.free, resumed)
        warn(f"about {_gib(needed)} of memory are needed, of which {_gib(room.free)} are free now: {way}")
    return f"memory: about {_gib(needed)} of {_gib(room.free)}"


def _way_out(plan: Plan, need: Need, there: float, resumed: bool) -> str:
    """Say what would fit: a smaller batch, or the same one in more parts."""
    if resumed:
        return "go on where there is more"
    batch, world = plan.train.batch, ranks.world()
    fits = need.fitting(MARGIN * there)  # samples at once
    smaller = min(fits * plan.train.accumulate * world, batch - 1)
    if smaller < 1:
        return "not even a batch of 1 would fit; take smaller samples or narrower networks, such as generator.width"
    enough = range(-(-batch // (fits * world)) if fits else MOST, MOST)
    parts = next((parts for parts in enough if batch % (parts * world) == 0), 0)
    same = f", or --set train.accumulate={parts}" if parts else ""
    return f"try --set train.batch={smaller}{same}"


def _gib(size: float) -> str:
    return f"{size / 2**30:,.2f} GiB"
