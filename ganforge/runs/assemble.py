"""Make the engine and batches of a plan: choose the device, replace `auto`, and check that all parts fit."""

import torch
from attrs import evolve
from torch import Tensor

from ganforge.data.batches import Batches
from ganforge.data.dataset import Dataset, Report, Sources, Stored, as_float, random_generator
from ganforge.data.reading import silent
from ganforge.errors import InputError, RecipeError
from ganforge.recipe.plan import Plan
from ganforge.training import build, numerics, ranks
from ganforge.training.check import check
from ganforge.training.engine import Engine


def pick_device(name: str) -> torch.device:
    """Return a device by name; `auto` is CUDA, else MPS, else the CPU. Raise an InputError if it does not exist."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    have = [device for device, there in present.items() if there]
    if name == "auto":
        return torch.device(have[0])
    if name.partition(":")[0] not in have:
        raise InputError(f"there is no device '{name}'; this machine has: {', '.join(have)}")
    return torch.device(name)


def settle(plan: Plan, device: torch.device) -> tuple[Plan, Dataset]:
    """Make the data set, check that all parts fit together, and replace `auto` by what suits the device.

    Raise a RecipeError if parts do not fit.
    """
    dataset = build.make_dataset(plan)
    check(plan, dataset)
    require_parts(plan)
    compute = numerics.settle(plan.compute, plan.train.batch, dataset.shapes, device)
    return evolve(plan, compute=compute), dataset


def require_parts(plan: Plan) -> None:
    """Raise a RecipeError if the batch cannot be divided equally among ranks and parts."""
    batch, parts = plan.train.batch, plan.train.accumulate * ranks.world()
    if batch % parts:
        among = [f"{ranks.world()} devices"] if ranks.world() > 1 else []
        among += [f"{plan.train.accumulate} parts"] if plan.train.accumulate > 1 else []
        near = " or ".join(str(size) for size in (batch // parts * parts, (batch // parts + 1) * parts) if size)
        message = f"a batch of {batch} cannot be divided equally into {' of '.join(reversed(among))}; try {near}"
        raise RecipeError([plan.recipe.problem(("train", "batch"), message)])


def rows_of(plan: Plan) -> list[int]:
    """Return the rows of a step's batch that this rank plays: its share of each part."""
    parts, world = plan.train.accumulate, ranks.world()
    size = plan.train.batch // (parts * world)
    return [(part * world + ranks.rank()) * size + row for part in range(parts) for row in range(size)]


def assemble(
    plan: Plan, dataset: Dataset, sources: Sources, device: torch.device, report: Report = silent
) -> tuple[Engine, Batches]:
    """Make the engine and batches of a plan, without a run's folder.

    `plan` and `dataset` are what `settle` returned, `sources` the training samples of each domain; `report` is called
    with (what, done, total) while they are read.
    """
    numerics.apply(plan.compute)
    bound = check(plan, dataset)
    with plan.located(("dataset",)):
        batches = Batches(
            sources,
            batch=plan.train.batch,
            seed=plan.train.seed,
            device=device,
            groups=dataset.groups,
            residency=plan.compute.residency,
            augment=plan.train.augment,
            report=report,
            rows=rows_of(plan) if ranks.world() > 1 else None,
            beside=ranks.beside(),
        )
    return build.make_engine(plan, bound, batches, build.shapes_of(plan, dataset)), batches


def probes_of(plan: Plan, sources: Sources) -> dict[str, Tensor]:
    """Return the fixed inputs of the sample pictures, the same number from each domain."""
    probes, count = {}, plan.record.samples
    with plan.located(("dataset",)):
        for domain, samples in sources.items():
            if isinstance(samples, Stored):
                probes[domain] = as_float(samples.load(range(min(count, samples.length))))
            else:
                probes[domain] = samples.draw(count, random_generator(plan.train.seed, "probe", domain))
    size = min(map(len, probes.values()))
    return {domain: probe[:size] for domain, probe in probes.items()}
