"""Checks of optimizers."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from attrs import NOTHING, evolve
from torch import nn

from ganforge_check.checks import Finding, Subject, claims


def _parameters() -> list[nn.Parameter]:
    """Return three parameters; the last one has a gradient near zero."""
    return [nn.Parameter(torch.ones(3)), nn.Parameter(torch.full((2, 2), -2.0)), nn.Parameter(torch.tensor(0.5))]


def _made(subject: Subject, parameters: Sequence[nn.Parameter]) -> Any:
    """Make the optimizer, with a learning rate of 0.01 if it has no default."""
    rate = {"lr": 0.01} if subject.settings.get("lr") is NOTHING else {}
    return subject.component.factory(parameters, **evolve(subject, settings={**subject.settings, **rate}).complete())


def _step(optimizer: Any, parameters: Sequence[nn.Parameter]) -> float:
    """Minimise a sum of squares by one step; return its value before the step."""
    value = torch.stack([parameter.square().sum() for parameter in parameters]).sum()
    for parameter, slope in zip(parameters, torch.autograd.grad(value, list(parameters)), strict=True):
        parameter.grad = slope
    optimizer.step()
    return float(value.detach())


@claims("optimizer")
def descends(subject: Subject) -> Iterator[Finding]:
    """It is a torch.optim.Optimizer, changes every parameter, and goes downhill on a parabola."""
    parameters = _parameters()
    optimizer = _made(subject, parameters)
    if not isinstance(optimizer, torch.optim.Optimizer):
        yield Finding(f"it returns a {type(optimizer).__name__}", "return a torch.optim.Optimizer of the parameters")
        return
    before = [parameter.detach().clone() for parameter in parameters]
    values = [_step(optimizer, parameters) for _ in range(21)]
    unmoved = [
        place for place, (one, other) in enumerate(zip(parameters, before, strict=True)) if torch.equal(one, other)
    ]
    if unmoved:
        yield Finding(f"{len(unmoved)} of {len(before)} parameters do not change", "pass all parameters to it")
    if not values[-1] < values[0]:
        yield Finding(
            f"in 20 steps a sum of squares goes from {values[0]:.4g} to {values[-1]:.4g}",
            "check the sign of its step",
        )


@claims("optimizer")
def carried_on(subject: Subject) -> Iterator[Finding]:
    """Its state_dict is complete: a new one that loads it continues as the first would, bit for bit."""
    first = _parameters()
    optimizer = _made(subject, first)
    for _ in range(3):
        _step(optimizer, first)
    second = [nn.Parameter(parameter.detach().clone()) for parameter in first]
    other = _made(subject, second)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(3):
        _step(optimizer, first)
        _step(other, second)
    by = max(float((one - its).abs().max()) for one, its in zip(first, second, strict=True))
    if by > 0:
        fix = "keep what it needs in self.state[parameter] and in param_groups, not in attributes"
        yield Finding(f"after its state was restored its steps differ by {by:.3g}", fix)


@claims("optimizer")
def rate(subject: Subject) -> Iterator[Finding]:
    """Its parameter groups hold `lr`, so that it can follow a schedule and be logged."""
    if "lr" not in _made(subject, _parameters()).param_groups[0]:
        yield Finding("its parameter groups have no 'lr'", "name its learning rate lr")
