"""Collect losses on the device, so that the training loop waits for it only when they are read."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from ganforge.training import sharing
from ganforge.training.engine import Engine


@frozen
class Culprit:
    """The first loss that is not finite."""

    name: str
    step: int
    value: float


class Meter:
    """All losses since the last `clear`; with several ranks their means, which all ranks must ask for together."""

    def __init__(self, engine: Engine) -> None:
        """Take the engine, which knows the names of the losses."""
        self.engine = engine
        self._rows: dict[tuple[str, ...], list[Tensor]] = {}
        self._steps: dict[tuple[str, ...], list[int]] = {}

    def add(self, step: int, losses: Mapping[str, Tensor]) -> None:
        """Add the losses that the engine returned for a step."""
        for player, values in losses.items():
            names = tuple(self.engine.loss_names(player, step))
            # A CUDA graph that replays the next step may overwrite the values.
            self._rows.setdefault(names, []).append(values.clone())
            self._steps.setdefault(names, []).append(step)

    def _tables(self) -> Iterator[tuple[tuple[str, ...], Tensor]]:
        """Yield the names and values, [steps, losses], of each set of losses that a player computes together."""
        for names, rows in self._rows.items():
            table = torch.stack(rows)
            sharing.average([table], "the losses")
            yield names, table

    def means(self) -> dict[str, float]:
        """Return the mean of each loss over the steps that computed it, by name; this waits for the device."""
        found: dict[str, list[tuple[int, float]]] = {}
        for names, table in self._tables():
            for name, mean in zip(names, table.mean(0).tolist(), strict=True):
                found.setdefault(name, []).append((len(table), mean))
        return {
            name: parts[0][1] if len(parts) == 1 else sum(n * mean for n, mean in parts) / sum(n for n, _ in parts)
            for name, parts in found.items()
        }

    def culprit(self) -> Culprit | None:
        """Return the first loss that is not finite; an individual loss rather than the sum that contains it."""
        found = []
        for names, table in self._tables():
            wrong = ~table.isfinite()
            if wrong.any():
                row = int(wrong.any(1).nonzero()[0])
                column = max(wrong[row].nonzero().flatten().tolist(), key=lambda column: len(names[column]))
                found.append(Culprit(names[column], self._steps[names][row] + 1, float(table[row][column])))
        return min(found, key=lambda culprit: culprit.step, default=None)

    def clear(self) -> None:
        """Remove all losses."""
        self._rows, self._steps = {}, {}

    def state_dict(self) -> list[Any]:
        """Return what a checkpoint must keep."""
        return [(list(names), table, self._steps[names]) for names, table in self._tables()]

    def load_state_dict(self, state: Iterable[Any], device: torch.device) -> None:
        """Restore what `state_dict` returned."""
        self.clear()
        for names, rows, steps in state:
            self._rows[tuple(names)] = list(rows.to(device))
            self._steps[tuple(names)] = list(steps)


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor that contains a non-finite number."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not math.isfinite(float(tensor.detach().abs().sum())):
            return name
    return None
