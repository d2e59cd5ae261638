"""Distances between two sets of features: the formulas, independent of pictures and networks."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

ROWS = 1000  # of a matrix of pairs, at a time
SEED = 2020  # of torch-fidelity's subsets
ROUNDING = 1e-12  # relative to squared lengths: a smaller squared distance counts as 0


def frechet(one: Tensor, other: Tensor) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of the means and covariances of features (Heusel 2017, Eq. 6).

    With centred features X1, X2, divided by the root of their number minus one, C1 = X1' X1 and C2 = X2' X2, and the
    trace of (C1 C2)^(1/2) is the sum of the singular values of X1 X2'. So no root of a covariance is needed, which is
    singular if there are fewer pictures than features.

    Args:
        one: [N, F].
        other: [M, F].

    Returns:
        At least 0; nan if features are not finite or a set has fewer than two.
    """
    one, other = one.double(), other.double()
    if min(len(one), len(other)) < 2 or not (one.isfinite().all() and other.isfinite().all()):
        return math.nan
    first, second = _centred(one), _centred(other)
    shared = torch.linalg.svdvals(first @ second.T).sum()
    means = (one.mean(0) - other.mean(0)).square().sum()
    return max(0.0, float(means + first.square().sum() + second.square().sum() - 2 * shared))


def _centred(features: Tensor) -> Tensor:
    """Return X, at most [F, F], with X' X the covariance of features [N, F]."""
    centred = (features - features.mean(0)) / math.sqrt(len(features) - 1)
    if len(features) <= features.shape[1]:
        return centred
    triangle: Tensor = torch.linalg.qr(centred, mode="r").R
    return triangle


def kernel_distance(one: Tensor, other: Tensor, *, subsets: int = 100, size: int = 1000) -> tuple[float, float]:
    """Return the squared maximum mean discrepancy under (x.y / F + 1)^3, and its standard error (Bińkowski 2018).

    As in the literature, it is the mean of the unbiased estimates (Eq. 4) over random subsets, drawn as in
    torch-fidelity. Estimates of subsets of the same pictures are not independent, and are all equal if a subset is the
    whole set. So the standard error is the jackknife's: from the estimates of all pictures without each single one,
    with independent sides (Efron and Stein 1981).

    Args:
        one: [N, F].
        other: [M, F].
        subsets: number of subsets.
        size: size of a subset on each side, limited by the smaller side.

    Returns:
        The distance, which may be slightly below 0, and is nan if features are not finite or a set has fewer than two;
        and its standard error, nan with fewer than three.
    """
    one, other = one.double(), other.double()
    if min(len(one), len(other)) < 2 or not (one.isfinite().all() and other.isfinite().all()):
        return math.nan, math.nan
    size = min(size, len(one), len(other))
    random = np.random.RandomState(SEED)
    estimates = []
    for _ in range(subsets if size < max(len(one), len(other)) else 1):  # all subsets would be the same
        first = one[random.choice(len(one), size, replace=False)]
        second = other[random.choice(len(other), size, replace=False)]
        estimates.append(_discrepancy(first, second))
    return float(np.mean(estimates)), _standard_error(one, other)


def _kernel(one: Tensor, other: Tensor) -> Tensor:
    return (one @ other.T / one.shape[1] + 1) ** 3


def _discrepancy(one: Tensor, other: Tensor) -> float:
    within = sum(_within(features).sum() / (len(features) * (len(features) - 1)) for features in (one, other))
    return float(within - 2 * _between(one, other).sum() / (len(one) * len(other)))


def _between(one: Tensor, other: Tensor) -> Tensor:
    """Return the sum of the kernel of each feature of `one` with all of `other`, [N]."""
    return torch.cat([_kernel(part, other).sum(1) for part in torch.split(one, ROWS)])


def _within(features: Tensor) -> Tensor:
    """Return the sum of the kernel of each feature with all others of the same set, [N]."""
    own = (features.square().sum(1) / features.shape[1] + 1) ** 3
    return _between(features, features) - own


def _standard_error(one: Tensor, other: Tensor) -> float:
    """Return the jackknife standard error of the unbiased estimate: the root of the sum of both sides' variances."""
    if min(len(one), len(other)) < 3:
        return math.nan
    within = _within(one), _within(other)
    between = _between(one, other), _between(other, one)
    variance = 0.0
    for mine, cross, theirs in zip(within, between, reversed(within), strict=True):
        count, others = len(mine), len(theirs)
        without = (  # [count]: the estimate without each feature of this side
            (mine.sum() - 2 * mine) / ((count - 1) * (count - 2))
            + theirs.sum() / (others * (others - 1))
            - 2 * (cross.sum() - cross) / ((count - 1) * others)
        )
        variance += float((count - 1) * without.var(correction=0))
    return math.sqrt(variance)


def precision_recall(translated: Tensor, real: Tensor, *, neighbours: int = 3) -> tuple[float, float]:
    """Return the share of each set that lies in the manifold of the other (Kynkäänniemi et al. 2019, Eq. 1 and 2).

    The manifold of a set is the union of balls around its features; the radius of each is the distance to its k-th
    nearest neighbour in the set.

    Args:
        translated: [N, F].
        real: [M, F].
        neighbours: k.

    Returns:
        Precision, the share of translations in the manifold of the real ones, and recall, the reverse; nan if features
        are not finite or a set has no k-th neighbour.
    """
    translated, real = translated.double(), real.double()
    if min(len(translated), len(real)) <= neighbours or not (translated.isfinite().all() and real.isfinite().all()):
        return math.nan, math.nan
    return _covered(translated, real, neighbours), _covered(real, translated, neighbours)


def _covered(some: Tensor, others: Tensor, neighbours: int) -> float:
    """Return the share of `some` that lie in a ball around `others`."""
    # The nearest neighbour is the feature itself.
    radii = torch.cat([part.kthvalue(neighbours + 1, dim=1).values for part in _squared(others, others)])  # [M]
    inside = torch.cat([(part <= radii).any(1) for part in _squared(some, others)])  # [N]
    return float(inside.double().mean())


def _squared(some: Tensor, others: Tensor) -> Iterator[Tensor]:
    """Yield squared distances, [n, M], for `n` rows at a time; rounding errors of equal features become 0."""
    lengths = others.square().sum(1)
    for part in torch.split(some, ROWS):
        sums = part.square().sum(1)[:, None] + lengths
        found = sums - 2 * part @ others.T
        yield torch.where(found > ROUNDING * sums, found, 0.0)
