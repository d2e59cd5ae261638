"""What a step takes is counted without memory or arithmetic, and is what it takes."""

import math

import pytest

from ganforge.training.build import make_dataset
from ganforge.training.operations import Counter, cost_of_step


@pytest.mark.parametrize(
    ("recipe", "sets"),
    [
        ("discogan_toy", ("train.batch=4",)),
        ("discogan_toy", ("train.batch=4", "train.every={discriminator=3}")),
        ("gan_toy", ("train.batch=4", "losses.penalty.use=gradient-penalty")),  # a gradient of a gradient
    ],
    ids=["toy", "rhythm", "penalty"],
)
def test_what_is_counted_is_what_real_steps_take(make_engine, understand, recipe, sets):
    plan = understand(recipe, *sets)
    found = cost_of_step(plan, make_dataset(plan))
    engine, batches = make_engine(recipe, *sets, "compute.precision=fp32", "compute.channels_last=false")
    steps = math.lcm(*plan.train.every.values())
    with Counter() as counter:
        for step in range(steps):
            for _ in engine.turns(step, batches(step)):
                pass
    assert found["gflop"] * 1e9 == pytest.approx(counter.operations / steps, rel=1e-9)
    parameters = {name: sum(one.numel() for one in network.parameters()) for name, network in engine.networks.items()}
    assert found["parameters"] == parameters
