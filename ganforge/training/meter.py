"""Losses kept where they are computed, so that the loop waits for the device only when they are read."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from ganforge.recipe.plan import Phase
from ganforge.training.engine import Engine


@frozen
class Culprit:
    """The first loss that was not finite."""

    name: str
    step: int
    value: float


class Meter:
    """All losses since they were last cleared."""

    def __init__(self, engine: Engine) -> None:
        """Take the engine whose losses are added; it knows their names."""
        self.engine = engine
        self._rows: dict[Phase, list[Tensor]] = {}
        self._steps: dict[Phase, list[int]] = {}

    def add(self, step: int, losses: Mapping[Phase, Tensor]) -> None:
        """Add what the engine returned for a step."""
        for phase, values in losses.items():
            # The next step may overwrite the values where a step is replayed as a CUDA graph.
            self._rows.setdefault(phase, []).append(values.clone())
            self._steps.setdefault(phase, []).append(step)

    def means(self) -> dict[str, float]:
        """Return the mean of each loss by its name in the log; this waits for the device."""
        means: dict[str, float] = {}
        for phase, rows in self._rows.items():
            means |= zip(self.engine.loss_names(phase), torch.stack(rows).mean(0).tolist(), strict=True)
        return means

    def culprit(self) -> Culprit | None:
        """Return the first loss that was not finite; a single one, rather than the sum that it spoilt."""
        found = []
        for phase, rows in self._rows.items():
            wrong = ~torch.stack(rows).isfinite()  # [steps, losses]
            if wrong.any():
                row = int(wrong.any(1).nonzero()[0])
                names = self.engine.loss_names(phase)
                column = max(wrong[row].nonzero().flatten().tolist(), key=lambda column: len(names[column]))
                found.append(Culprit(names[column], self._steps[phase][row] + 1, float(rows[row][column])))
        return min(found, key=lambda culprit: culprit.step, default=None)

    def clear(self) -> None:
        """Begin anew."""
        self._rows, self._steps = {}, {}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {phase: (torch.stack(rows), self._steps[phase]) for phase, rows in self._rows.items()}

    def load_state_dict(self, state: Mapping[Phase, tuple[Tensor, list[int]]], device: torch.device) -> None:
        """Restore what `state_dict` returned."""
        self._rows = {phase: list(rows.to(device)) for phase, (rows, _) in state.items()}
        self._steps = {phase: list(steps) for phase, (_, steps) in state.items()}


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor that holds a number that is not finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not math.isfinite(float(tensor.detach().abs().sum())):
            return name
    return None
