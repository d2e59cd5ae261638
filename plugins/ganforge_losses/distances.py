"""Distances d(x_ABA, x_A) for the reconstruction loss (Kim et al. 2017, Eq. 3), which allows any metric.

All take two tensors of the same shape, [N, ...], and return their mean distance as a scalar. Differences are first
multiplied by `scale`: set 2 if a paper has pixels in [-1, 1], since ganforge's are in [0, 1].
"""

from typing import Annotated

from attrs.validators import ge, gt
from torch import Tensor
from torch.nn.functional import cosine_similarity, huber_loss

Scale = Annotated[float, gt(0)]


def l1(reconstructed: Tensor, source: Tensor, *, scale: Scale = 1.0) -> Tensor:
    """Mean of |reconstructed - source|."""
    return scale * difference(reconstructed, source).abs().mean()


def l2(reconstructed: Tensor, source: Tensor, *, scale: Scale = 1.0) -> Tensor:
    """Mean of (reconstructed - source)^2: the mean squared error."""
    return scale**2 * difference(reconstructed, source).square().mean()


def huber(reconstructed: Tensor, source: Tensor, *, delta: Annotated[float, gt(0)] = 1.0, scale: Scale = 1.0) -> Tensor:
    """Huber distance: r^2/2 up to delta, delta (|r| - delta/2) beyond (Huber 1964), mean over all elements."""
    difference(reconstructed, source)
    return huber_loss(scale * reconstructed, scale * source, delta=delta)


def cosine(reconstructed: Tensor, source: Tensor) -> Tensor:
    """Mean over the batch of 1 - cos(a), where a is the angle between the flattened samples; in 0..2."""
    difference(reconstructed, source)
    return 1 - cosine_similarity(reconstructed.flatten(1), source.flatten(1)).mean()


def hinge(
    reconstructed: Tensor, source: Tensor, *, margin: Annotated[float, ge(0)] = 0.02, scale: Scale = 1.0
) -> Tensor:
    """Mean of max(0, |reconstructed - source| - margin): errors within the margin do not count (Vapnik 1995)."""
    return (scale * difference(reconstructed, source).abs() - margin).clamp(min=0).mean()


def difference(one: Tensor, other: Tensor) -> Tensor:
    """Return the difference of two tensors; raise a ValueError if their shapes differ, instead of broadcasting."""
    if one.shape != other.shape:
        raise ValueError(f"shapes differ: {list(one.shape)} and {list(other.shape)}")
    return one - other
