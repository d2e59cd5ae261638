"""Count floating-point operations; on the meta device without memory or arithmetic."""

import math
from types import SimpleNamespace
from typing import Any

import torch
from attrs import evolve
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ganforge.data.dataset import Dataset
from ganforge.recipe.plan import Plan
from ganforge.recipe.tables import Compute
from ganforge.training import build
from ganforge.training.check import check
from ganforge.training.networks import META

SAMPLES = 2  # batch size for counting; not 1, since some networks normalise over the batch


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the floating-point operations of products and convolutions, two for each multiply-add.

    It uses torch's formulas; torch's own counter also follows modules, and fails in a gradient of a gradient.
    """

    operations = 0.0

    def __torch_dispatch__(self, call: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        """Count one call."""
        result = call(*given, **(named or {}))
        if (formula := flop_registry.get(call.overloadpacket)) is not None:
            self.operations += formula(*given, **(named or {}), out_val=result)
        return result


def cost_of_step(plan: Plan, dataset: Dataset) -> dict[str, Any]:
    """Count the operations of a step: forward passes, losses and gradients of all players, averaged over the rhythm.

    The batch counts as one part; with several parts, values that players share are recomputed.

    Returns:
        `gflop` of one step with the recipe's whole batch, and the `parameters` of each network by name.

    Raises:
        RecipeError: the parts of the plan do not fit together.
        Exception: some operation, of any component, has no meta implementation.
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
