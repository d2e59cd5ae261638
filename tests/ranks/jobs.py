"""What ranks are asked to do in these tests; alone, a process does it all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ganforge.runs import memory_need
from ganforge.training import ranks, sharing
from ganforge.training.meter import Meter
from ganforge.training.rows import Rows, Shared
from tests.coats import doubled, engine_of, plan_of


def train(
    folder: Path,
    methods: Sequence[str],
    sets: Sequence[str],
    steps: int,
    double: bool,
    rounding: float = 0.0,
    measured: bool = False,
) -> dict[str, Any]:
    """Return the losses of each method's steps, and what is drawn at random afterwards.

    The first weights are multiplied by 1 + `rounding`, to see what becomes of that. Where it is `measured`, the memory
    that it needs is found first.
    """
    found = {}
    for method in methods:
        place = folder / f"{method}-{ranks.rank()}"
        place.mkdir(parents=True)
        engine, batches = engine_of(method, place, sets, double=double)
        with torch.no_grad():
            for parameter in (one for module in engine.modules.values() for one in module.parameters()):
                parameter.mul_(1 + rounding)
        torch.manual_seed(1)
        if measured:
            memory_need.NO_QUESTION = 0.0
            one = {name: samples[:1] for name, samples in doubled(batches(0), 0, batches).items()}
            said = memory_need.check_memory(plan_of(method, place, sets), engine, one, 4, [].append, resumed=False)
            assert said.startswith("memory: about ")
        meter = Meter(engine)
        for step in range(steps):
            batch = batches(step)
            meter.add(step, engine.step(step, doubled(batch, step, batches) if double else batch))
        rows = [[names, table.tolist()] for names, table, _ in meter.state_dict()]
        held = [tensor for module in engine.modules.values() for tensor in module.state_dict().values()]
        told = [sum(float(tensor.double().abs().sum()) for tensor in held), float(torch.rand(()))]
        everywhere = ranks.exchange("what was learnt", told)
        if "compute.sync_norm=false" not in sets:
            assert all(one == told for one in everywhere), f"{method}: ranks have come apart"
        found[method] = {"losses": rows, "random": told[1]}
    return found


def draw(folder: Path) -> list[Any]:
    """Return what functions of torch draw for the rows of a batch of 8, of all ranks."""
    size = 8 // ranks.world()
    torch.manual_seed(0)
    mine = torch.arange(size * 6, dtype=torch.float32).view(size, 6) * 0 + 1
    pictures = torch.ones(size, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    with Shared(Rows(8, ranks.rank() * size, size), torch.device("cpu"), False, None):
        drawn = [
            torch.rand(size, 3),
            torch.randn((size, 2)),
            torch.rand(size=(size, 1)),
            torch.randint(9, (size,)).float(),
            torch.randint(3, 9, (size, 2)).float(),
            torch.randn_like(pictures),
            nn.functional.dropout(mine, 0.5),
            nn.Dropout2d(0.5)(pictures),
            torch.empty(size, 4).uniform_(),
            torch.empty(size, 4).normal_(),
        ]
        alike = [torch.rand(()), torch.randperm(5).float(), torch.rand(5, 5)]
    return [sharing.gather(one).flatten().tolist() for one in drawn] + [one.flatten().tolist() for one in alike]


def normalise(folder: Path) -> list[Any]:
    """Return what batch normalisation makes of 8 maps, its statistics, and gradients of the first and second order."""
    size = 8 // ranks.world()
    rows = Rows(8, ranks.rank() * size, size)
    with Shared(rows, torch.device("cpu"), True, None):
        made, first, second, norm = _normalised(rows.of(_maps()))
    sharing.average([norm.weight.grad], "weights")
    mine = [sharing.gather(one) for one in (made, first / ranks.world(), second / ranks.world())]
    return _numbers([*mine, norm.running_mean, norm.running_var, norm.weight.grad])


def normalise_plainly() -> list[Any]:
    """Return the same of torch's own batch normalisation."""
    made, first, second, norm = _normalised(_maps())
    return _numbers([made, first, second, norm.running_mean, norm.running_var, norm.weight.grad])


def _maps() -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return 3 + torch.randn(8, 4, 3, 3, generator=random, dtype=torch.float64)


def _normalised(maps: torch.Tensor) -> Any:
    """Normalise, and differentiate a mean and a penalty on its gradient."""
    norm = nn.BatchNorm2d(4).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0, -1.0]))
    given = maps.clone().requires_grad_()
    made = norm(given)
    loss = made.pow(3).mean()
    (first,) = torch.autograd.grad(loss, given, create_graph=True)
    # Mean over samples of the squared gradient of each one's own share of the loss.
    penalty = (first * len(maps)).square().sum() / len(maps)
    second, norm.weight.grad = torch.autograd.grad(penalty, [given, norm.weight])
    return made, first, second, norm


def _numbers(tensors: Sequence[Any]) -> list[list[float]]:
    return [tensor.flatten().tolist() for tensor in tensors]
