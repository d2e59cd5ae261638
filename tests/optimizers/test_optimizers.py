"""Settings of optimizers that torch does not have by itself."""

import pytest
import torch
from torch import nn

from ganforge.testing import components_of

OPTIMIZERS = {component.name: component.factory for component in components_of("ganforge_optimizers")}
GRADIENTS = [1.0, -2.0, 0.5]


def steps(optimizer, parameter, before=lambda step: None):
    """Take steps along fixed gradients, and return where they lead."""
    found = []
    for step, gradient in enumerate(GRADIENTS):
        before(step)
        parameter.grad = torch.tensor(gradient, dtype=parameter.dtype)
        optimizer.step()
        found.append(float(parameter.detach()))
    return found


def parameter():
    return nn.Parameter(torch.zeros((), dtype=torch.float64))


def test_beta2_takes_the_place_of_the_second_beta():
    one, other = parameter(), parameter()
    mine = OPTIMIZERS["adam"]([one], lr=0.1, betas=(0.2, 0.9), beta2=0.5)
    theirs = OPTIMIZERS["adam"]([other], lr=0.1, betas=(0.2, 0.5))
    assert steps(mine, one) == steps(theirs, other)


def test_beta2_may_change_from_step_to_step():
    one, other = parameter(), parameter()
    mine = OPTIMIZERS["adam"]([one], lr=0.1, betas=(0.2, 0.9), beta2=0.9)
    plain = torch.optim.Adam([other], lr=0.1, betas=(0.2, 0.9), fused=True)

    def change(step):
        mine.param_groups[0]["beta2"] = 0.9 + 0.03 * step
        plain.param_groups[0]["betas"] = (0.2, 0.9 + 0.03 * step)

    assert steps(mine, one, change) == steps(plain, other, change)


def test_a_schedule_of_beta2_is_followed(make_engine, toy):
    schedule = "optimizer.beta2={steps=[0, 2], values=[0.9, 0.99], between='linear'}"
    engine, batches = make_engine(toy, schedule)
    found = []
    for step in range(4):
        engine.step(step, batches(step))
        found.append(engine.players["generator"].optimizer.param_groups[0]["betas"])
    assert [beta2 for _, beta2 in found] == pytest.approx([0.9, 0.945, 0.99, 0.99])
    assert {beta1 for beta1, _ in found} == {0.5}
