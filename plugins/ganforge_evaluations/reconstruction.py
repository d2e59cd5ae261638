"""The reconstruction error of translations (Kim et al. 2017, Eq. 3)."""

import math
from typing import Annotated

import torch
from attrs.validators import ge
from torch import Tensor

from ganforge import Findings, InputError, Trained
from ganforge_evaluations.pictures import inputs, reconstructing


def reconstruction(trained: Trained, *, limit: Annotated[int, ge(1)] = 1000) -> Findings:
    """Error of the cycle x -> G_AB(x) -> G_BA(G_AB(x)), for each domain with a cycle in the coupling.

    Args:
        trained: networks that translate pictures or points.
        limit: largest number of test samples of each domain.

    Returns:
        For each such domain, such as A, the metrics of `measure` under names such as `cycle_l1_A`; where a domain is
        translated to several others, for each direction, such as `cycle_l1_AB`.

    Raises:
        InputError: there is no way back.
    """
    metrics: dict[str, float] = {}
    about: dict[str, int] = {}
    warnings = []
    sources = {direction: trained.source(direction) for direction in sorted(reconstructing(trained))}
    for direction, domain in sources.items():
        label = domain if [*sources.values()].count(domain) == 1 else direction
        source = inputs(trained, domain, limit)
        back = trained.translate(direction, source, value="reconstructed")
        about[f"pictures_{label}"] = len(source)
        metrics |= {f"{name}_{label}": value for name, value in measure(source, back).items()}
        if torch.equal(source, source[:1].expand_as(source)):
            warnings.append(f"cycle_error_{label} cannot be measured: the samples do not differ from their mean")
    if not metrics:
        raise InputError("reconstruction needs a coupling with a way back, such as 'gan-recon' or 'discogan'")
    return Findings(metrics, about=about, warnings=warnings)


def measure(source: Tensor, reconstructed: Tensor) -> dict[str, float]:
    """Measure reconstructions, [N, ...] both.

    Returns:
        cycle_l1: mean of |x' - x|.
        cycle_rmse: sqrt of the mean of (x' - x)^2.
        cycle_error: sqrt(E|x' - x|^2 / E|x - mean|^2): 0 is perfect, 1 no better than the mean sample. nan if
            all samples are equal, or there is only one.
    """
    source, reconstructed = source.double(), reconstructed.double()
    error = reconstructed - source
    variance = float((source - source.mean(0)).square().mean())
    rmse = float(error.square().mean().sqrt())
    return {
        "cycle_l1": float(error.abs().mean()),
        "cycle_rmse": rmse,
        "cycle_error": rmse / math.sqrt(variance) if variance > 0 else math.nan,
    }
