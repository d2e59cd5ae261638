"""Translations compared with the truth, if the test split has pairs (Kim et al. 2017, Figure 9)."""

from functools import partial
from typing import Annotated

import torch
from attrs.validators import ge
from torch import Tensor

from ganforge import Findings, Trained
from ganforge_evaluations.pictures import between, inputs, pairs, require_pictures, rows_figure

SHOWN = 10
WINDOW, SIGMA = 11, 1.5  # of SSIM
C1, C2 = 0.01**2, 0.03**2


def paired_error(trained: Trained, *, limit: Annotated[int, ge(1)] = 500) -> Findings:
    """L1, PSNR and SSIM between translations and their true partners, with two untrained baselines.

    Args:
        trained: networks that translate pictures.
        limit: largest number of test pairs.

    Returns:
        For each direction, such as AB: `l1_AB`, `psnr_AB` (dB) and `ssim_AB`; the same for the mean picture of the
        target's train split, `l1_mean_AB` ..., and, if shapes agree, for the untranslated input, `l1_identity_AB` ....
        The figure `paired`.

    Raises:
        InputError: the samples are not pictures, or the test split has no pairs.
    """
    require_pictures(trained, "paired-error")
    metrics: dict[str, float] = {}
    about: dict[str, int] = {}
    rows: list[tuple[str, Tensor]] = []
    for direction in between(trained, list(trained.dataset.shapes)):
        aim = trained.target(direction)
        source, target = pairs(trained, limit, trained.source(direction), aim)
        translated = trained.translate(direction, source)
        guesses = {"": translated, "mean_": inputs(trained, aim, limit, "train").mean(0).expand_as(target)}
        if source.shape == target.shape:
            guesses["identity_"] = source
        for label, guess in guesses.items():
            metrics |= {f"{name}_{label}{direction}": value for name, value in measure(guess, target).items()}
        about[f"pictures_{direction}"] = len(source)
        rows += [("input", source[:SHOWN]), (direction, translated[:SHOWN]), ("truth", target[:SHOWN])]
    return Findings(metrics, {"paired": partial(rows_figure, rows)}, about)


def measure(translated: Tensor, truth: Tensor) -> dict[str, float]:
    """Measure translations against the truth, [N, C, H, W] in [0, 1] both: means over the pictures.

    Returns:
        l1: mean absolute error.
        psnr: 10 log10(1 / mean squared error of a picture), in dB; at most 100.
        ssim: structural similarity (Wang et al. 2004), if its window fits into the pictures.
    """
    translated, truth = translated.double(), truth.double()
    squared = (translated - truth).square().flatten(1).mean(1)
    found = {
        "l1": float((translated - truth).abs().mean()),
        "psnr": float((-10 * squared.clamp(min=1e-10).log10()).mean()),
    }
    if min(truth.shape[-2:]) >= WINDOW:
        found["ssim"] = float(ssim(translated, truth).mean())
    return found


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004, Eq. 13) with a Gaussian window of 11 pixels, sigma 1.5, data range 1.

    Args:
        one: [N, C, H, W] in [0, 1], H and W at least 11.
        other: the same.

    Returns:
        The mean over channels and all positions of the window, [N].
    """
    down, right = (band(side).to(one) for side in one.shape[-2:])

    def blur(pictures: Tensor) -> Tensor:
        return (down @ pictures @ right.T).flatten(1)

    x, y = blur(one), blur(other)
    xx, yy, xy = blur(one * one) - x * x, blur(other * other) - y * y, blur(one * other) - x * y
    values = (2 * x * y + C1) * (2 * xy + C2) / ((x * x + y * y + C1) * (xx + yy + C2))
    return values.mean(1)


def band(side: int) -> Tensor:
    """Return the matrix [side - 10, side] whose rows hold the Gaussian window, shifted by one pixel each."""
    place = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    line = torch.exp(-place.square() / (2 * SIGMA**2))
    rows = torch.zeros(side - WINDOW + 1, side, dtype=torch.float64)
    for start, row in enumerate(rows):
        row[start : start + WINDOW] = line / line.sum()
    return rows
