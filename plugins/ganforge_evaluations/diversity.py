"""Whether translations are as diverse as real targets, or have collapsed."""

import math
from typing import Annotated

import torch
from attrs.validators import ge
from torch import Tensor

from ganforge import Findings, Trained
from ganforge_evaluations.pictures import inputs, translations


def diversity(trained: Trained, *, limit: Annotated[int, ge(2)] = 200) -> Findings:
    """Mean distance between translations over that between real targets: 1 if equally diverse, 0 if collapsed.

    Args:
        trained: networks that translate pictures or points.
        limit: largest number of test samples of each domain.

    Returns:
        `diversity_AB`, and the same for other directions; nan if real test samples do not differ.

    Raises:
        InputError: a domain has no test samples.
    """
    metrics: dict[str, float] = {}
    about: dict[str, int] = {}
    warnings = []
    for direction in trained.directions:
        real = inputs(trained, trained.target(direction), limit)
        translated = translations(trained, direction, limit)
        name = f"diversity_{direction}"
        metrics[name] = ratio(translated, real)
        if min(len(translated), len(real)) < 2:
            warnings.append(f"{name} cannot be measured: a single sample has no diversity")
        elif torch.equal(real, real[:1].expand_as(real)):
            warnings.append(f"{name} cannot be measured: all real samples are equal")
        about |= {f"pictures_{direction}": len(translated), f"real_{direction}": len(real)}
    return Findings(metrics, about=about, warnings=warnings)


def ratio(translated: Tensor, real: Tensor) -> float:
    """Return the mean Euclidean distance between translations over that between real samples, [N, ...] each.

    It is nan if real samples do not differ, or if there are fewer than two of either.
    """
    if len(translated) < 2 or len(real) < 2:
        return math.nan
    mine, theirs = (float(torch.pdist(samples.flatten(1).double()).mean()) for samples in (translated, real))
    return mine / theirs if theirs > 0 else math.nan
