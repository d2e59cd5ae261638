"""Losses for pictures: structural similarity and total variation."""

from typing import Annotated

import torch
from attrs.validators import ge, gt
from torch import Tensor
from torch.nn.functional import conv2d

from ganforge_losses.distances import Scale, difference

K1, K2 = 0.01, 0.03  # of a range of 1 (Wang et al. 2004, section III.C)


def ssim(
    reconstructed: Tensor,
    source: Tensor,
    *,
    window: Annotated[int, ge(1)] = 11,
    deviation: Annotated[float, gt(0)] = 1.5,
) -> Tensor:
    """1 - mean structural similarity of pictures (Wang et al. 2004, Eq. 13 to 17), in 0..2.

    Each channel is compared in every Gaussian window inside the picture. The mean is over windows, channels and
    pictures. A picture smaller than the window has one window, as large as the picture.

    Args:
        reconstructed: [N, C, H, W] in [0, 1].
        source: the same.
        window: side of the window in pixels; 11 in the paper.
        deviation: deviation of the Gaussian in pixels; 1.5 in the paper.
    """
    difference(reconstructed, source)
    _require_pictures(source, "ssim")
    count, channels, height, width = source.shape
    moments = [reconstructed, source, reconstructed.square(), source.square(), reconstructed * source]
    maps = torch.cat(moments).reshape(-1, 1, height, width)  # [5 N C, 1, H, W]
    rows, columns = (_gaussian(min(window, side), deviation, source) for side in (height, width))
    maps = conv2d(conv2d(maps, rows[:, None].expand(1, 1, -1, 1)), columns.expand(1, 1, 1, -1))
    x, y, xx, yy, xy = maps.reshape(5, count, channels, *maps.shape[2:])
    variances = (xx - x.square()).clamp(min=0) + (yy - y.square()).clamp(min=0)  # rounding may make them negative
    c1, c2 = K1**2, K2**2
    likeness = (2 * x * y + c1) * (2 * (xy - x * y) + c2) / ((x.square() + y.square() + c1) * (variances + c2))
    found: Tensor = 1 - likeness.mean()
    return found


def total_variation(fake: Tensor, *, scale: Scale = 1.0) -> Tensor:
    """Mean |difference| of vertical neighbours plus that of horizontal neighbours (Rudin et al. 1992, anisotropic).

    Args:
        fake: [N, C, H, W].
        scale: factor of the differences: 2 if a paper has pixels in [-1, 1].
    """
    _require_pictures(fake, "total-variation")
    differences = [fake.diff(dim=dim).abs() for dim in (2, 3)]
    # A picture with one row or column has no such neighbours.
    return scale * torch.stack([found.sum() / max(1, found.numel()) for found in differences]).sum()


def _gaussian(size: int, deviation: float, like: Tensor) -> Tensor:
    """Return the weights along one axis of the window, which sum to 1."""
    places = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    weights = torch.exp(-places.square() / (2 * deviation**2))
    return weights / weights.sum()


def _require_pictures(samples: Tensor, name: str) -> None:
    if samples.ndim != 4:
        raise ValueError(f"'{name}' needs pictures [N, channels, height, width], got {list(samples.shape)}")
