"""Signs of a failing training: collapse and dead units."""

from collections.abc import Mapping, Sequence

import torch
from attrs import frozen
from torch import Tensor

from ganforge import Run, Seen
from ganforge_observers import log

COLLAPSED = 0.05  # of the diversity of real samples


@frozen
class Signs:
    """For each direction the diversity of its translations, and the dead output units with their values."""

    diversity: Mapping[str, float]
    dead: Mapping[str, Mapping[int, float]]


def look(views: Sequence[Seen]) -> Signs:
    """Examine the translations of the fixed test inputs."""
    return Signs(
        {view.name: diversity(view["fake"], view["real"]) for view in views if "real" in view},
        {view.name: {u: float(view["fake"][:, u].flatten()[0]) for u in dead_units(view["fake"])} for view in views},
    )


def tell(run: Run, signs: Signs) -> None:
    """Log the diversity of translations, and warn of collapse and of dead output units."""
    log.append(run, {"step": run.step, "sample_diversity": signs.diversity})
    for direction, value in signs.diversity.items():
        if value < COLLAPSED and run.step > 0:
            run.warn(
                f"step {run.step}: the translations {direction} are nearly all the same, {value:.3f} of the diversity "
                "of real samples: the generator has collapsed. Try another seed, or a larger reconstruction weight"
            )
    for direction, units in signs.dead.items():
        for unit, value in units.items():
            run.warn(
                f"step {run.step}: output unit {unit} of the generator {direction} is dead: always {value:.3g}. "
                "A generator that ends in a ReLU recovers only by chance; try another seed or output"
            )


def diversity(translated: Tensor, real: Tensor) -> float:
    """Return the mean distance between translations over that between real samples, [N, ...] each; 1 if equal."""
    between = [torch.pdist(samples.flatten(1).double()).mean() for samples in (translated, real)]
    return float(between[0] / between[1]) if len(real) > 1 and len(translated) > 1 and between[1] > 0 else 1.0


def dead_units(translated: Tensor) -> list[int]:
    """Return the units, along dimension 1 of [N, units, ...], whose values are all equal."""
    if len(translated) < 2:
        return []
    values = translated.transpose(0, 1).flatten(1)  # [units, N ...]
    constant: list[int] = (values == values[:, :1]).all(1).nonzero().flatten().tolist()
    return constant
