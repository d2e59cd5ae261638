"""Losses added up where they are computed, so that the loop waits for the device only when they are read."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganforge.engine import Engine
from ganforge.plan import Phase
from ganforge.registry import PHASES


class Meter:
    """The means of all losses since they were last cleared."""

    def __init__(self, engine: Engine) -> None:
        """Take the engine whose losses are added; it knows their names."""
        self.engine = engine
        self._sums: dict[Phase, Tensor] = {}
        self._counts: dict[Phase, int] = {}

    def add(self, losses: Mapping[Phase, Tensor]) -> None:
        """Add what a step returned."""
        for phase, values in losses.items():
            if phase in self._sums:
                self._sums[phase].add_(values)
                self._counts[phase] += 1
            else:
                self._sums[phase], self._counts[phase] = values.clone(), 1

    def means(self) -> dict[str, float]:
        """Return the mean of each loss by its name in the log; this waits for the device."""
        means: dict[str, float] = {}
        for phase in PHASES:
            if phase in self._sums:
                values = (self._sums[phase] / self._counts[phase]).tolist()
                means |= zip(self.engine.loss_names(phase), values, strict=True)
        return means

    def clear(self) -> None:
        """Begin anew."""
        self._sums, self._counts = {}, {}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"sums": self._sums, "counts": self._counts}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Restore what `state_dict` returned."""
        self._sums = {phase: sums.to(device) for phase, sums in state["sums"].items()}
        self._counts = dict(state["counts"])
