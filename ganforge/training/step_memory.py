"""The memory of a training step: measured in small batches and extrapolated to a large one.

The memory in use at a given moment of a step is a linear function of the batch: activations grow with it, gradients of
weights do not. The peak is the maximum of several such functions and not linear itself: in small batches it occurs when
all gradients exist, in large ones when the backward pass begins. So each such moment has its own line.
"""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganforge.training.engine import Engine
from ganforge.training.numerics import laid_out
from ganforge.training.state import Snapshot
from ganforge.training.values import Values

FEW = (2, 3)  # samples; not one, since some layers normalise over a batch or lay out a single sample differently


@frozen
class Line:
    """Bytes in use at a moment of a step: a fixed number, and a number for each sample."""

    fixed: float
    each: float

    def at(self, batch: int) -> float:
        """Return the bytes for a batch of this size."""
        return self.fixed + batch * self.each


class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors that are created within it, while they exist; on CUDA, those of the device.

    Attributes:
        moments: two numbers of bytes for each phase of the computation: at its beginning, and its peak. Each backward
            pass is a phase, and so is the time before, between and after them.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moments: list[float] = []
        self._device, self._part = device, 0
        self._there: dict[int, int] = {}
        self._sum = 0
        self._before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        """Call a torch function and count the tensors that it creates."""
        part = 1 + torch._C._current_graph_task_id()  # 0 outside a backward pass
        if part != self._part or not self.moments:
            self._part = part
            self.moments += [self._now(), 0]
        result = function(*arguments, **(options or {}))
        if self._device.type != "cuda":
            self._add(result, given=(arguments, options))
        self.moments[-1] = max(self.moments[-1], self._most())
        return result

    def _add(self, result: Any, given: Any) -> None:
        """Count the tensors of a result that are not views of the arguments."""
        known = {tensor.untyped_storage()._cdata for tensor in tree_leaves(given) if isinstance(tensor, Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if (place := storage._cdata) not in known and place not in self._there:
                    self._there[place] = storage.nbytes()
                    self._sum += storage.nbytes()
                    weakref.finalize(storage, self._drop, place)

    def _drop(self, place: int) -> None:
        self._sum -= self._there.pop(place)

    def _now(self) -> float:
        """Return the bytes in use, and reset the peak."""
        if self._device.type != "cuda":
            return self._sum
        torch.cuda.reset_peak_memory_stats(self._device)
        return torch.cuda.memory_allocated(self._device) - self._before

    def _most(self) -> float:
        if self._device.type != "cuda":
            return self._sum
        return torch.cuda.max_memory_allocated(self._device) - self._before


def lines_of_step(engine: Engine, one: Mapping[str, Tensor], batch: int) -> list[Line]:
    """Return the memory of a step with all players and all losses, whatever their weights.

    Args:
        engine: the engine; its state does not change.
        one: a sample of each field, [1, ...].
        batch: the batch size for which the lines must hold.
    """
    few = [*FEW] if batch > FEW[-1] else [batch]
    precision, parts, before = engine.precision, engine.parts, Snapshot(engine.modules)
    counted = []
    try:
        engine.parts = 1
        for size in few:
            engine.precision = evolve(precision, times=batch / size)
            counted.append(_counted_step(engine, one, size))
            before.put_back()  # so that buffers created on first use count for each batch size
    finally:
        engine.precision, engine.parts = precision, parts
        before.put_back()
    if len(counted) == 1:
        return [Line(0, found / batch) for found in counted[0]]
    less, more = few
    slopes = [(first, (second - first) / (more - less)) for first, second in zip(*counted, strict=False)]
    return [Line(first - less * each, each) for first, each in slopes]


def _counted_step(engine: Engine, one: Mapping[str, Tensor], size: int) -> list[float]:
    device = next(iter(one.values())).device
    weights = {
        name: {place: 1.0 for place, term in enumerate(player.terms) if term.loss.table.weight != 0}
        for name, player in engine.players.items()
    }
    weights = {name: counting for name, counting in weights.items() if counting}
    kind = next(iter(engine.players.values())).parameters[0].dtype
    factors = [torch.ones((), dtype=kind, device=device) for counting in weights.values() for _ in counting]
    count = Count(device)
    with count:
        batch = [_repeated(sample, size, engine) for sample in one.values()]
        for _ in engine.play(weights, list(one), factors, batch):
            pass
    return count.moments


def line_of_translation(engine: Engine, one: Mapping[str, Tensor], player: str) -> Line:
    """Return the peak memory of a translation in any direction, without gradients; no state changes."""
    size, most = FEW[0], 0.0
    views = [view for view, wiring in engine.scheme.wirings.items() if wiring.offers("fake", player)]
    for view in views:
        engine.scheme.through(view, "fake", player)  # creates its formulas, so that the snapshot includes them
    before = Snapshot({**engine.modules, **{label: held.module for label, held in engine.held.items()}})
    try:
        for view in views:
            count = Count(next(iter(one.values())).device)
            with count:
                batch = {name: _repeated(sample, size, engine) for name, sample in one.items()}
                Values(engine.scheme, batch).ask(view, "fake", player)
            most = max(most, *count.moments)
    finally:
        before.put_back()
    return Line(0, most / size)


def _repeated(sample: Tensor, size: int, engine: Engine) -> Tensor:
    return laid_out(sample.expand(size, *sample.shape[1:]).contiguous(), engine.compute.channels_last is True)


def size_of(tensors: Sequence[Tensor]) -> float:
    """Return the total bytes of tensors."""
    return float(sum(tensor.nbytes for tensor in tensors))
