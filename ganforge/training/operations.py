"""How much arithmetic there is: counted, without memory or arithmetic where it is counted on the meta device."""

import math
from types import SimpleNamespace
from typing import Any

import torch
from attrs import evolve
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ganforge.data.dataset import Dataset
from ganforge.recipe.plan import Compute, Plan
from ganforge.training import build
from ganforge.training.check import check
from ganforge.training.networks import META

SAMPLES = 2  # of a batch that is counted: some networks normalise over it


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the floating-point operations, two for each multiply-add, of products and convolutions within it.

    It counts by torch's formulas; torch's own counter follows modules, too, and fails in a gradient of a gradient.
    """

    operations = 0.0

    def __torch_dispatch__(self, call: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        """Count one call."""
        result = call(*given, **(named or {}))
        if (formula := flop_registry.get(call.overloadpacket)) is not None:
            self.operations += formula(*given, **(named or {}), out_val=result)
        return result


def cost_of_step(plan: Plan, dataset: Dataset) -> dict[str, Any]:
    """Count what a step takes: forward passes, losses and gradients of all players, on average over their rhythm.

    A batch counts as played in one part; in several, what players share is computed once more for each.

    Returns:
        `gflop`, of one step with the recipe's whole batch; `parameters` of each network by its name.

    Raises:
        RecipeError: the parts of the plan do not fit together.
        Exception: a part of it has no meta form, of any kind.
    """
    plain = Compute(precision="fp32", channels_last=False, compile=False, cuda_graph=False)
    plan = evolve(plan, compute=plain, train=evolve(plan.train, accumulate=1))
    bound, shapes = check(plan, dataset), build.shapes_of(plan, dataset)
    with META:
        batches: Any = SimpleNamespace(device=META, mean=lambda domain: torch.zeros(shapes[domain]))
        engine = build.make_engine(plan, bound, batches, shapes)
        batch = {field: torch.zeros(SAMPLES, *shape) for field, shape in shapes.items()}
        batch |= {field: torch.zeros(SAMPLES, dtype=torch.long) for field in build.labels_of(plan)}
        steps = math.lcm(*plan.train.every.values())
        with Counter() as counter:  # type: ignore[no-untyped-call]
            for step in range(steps):
                for _ in engine.turns(step, batch):
                    pass
    counts = {name: sum(one.numel() for one in network.parameters()) for name, network in engine.networks.items()}
    return {"gflop": counter.operations / steps / SAMPLES * plan.train.batch / 1e9, "parameters": counts}
