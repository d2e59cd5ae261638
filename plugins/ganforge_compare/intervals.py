"""Means and differences over a few seeds: Student's t, and Holm's correction for many comparisons.

Student (1908), "The probable error of a mean"; Holm (1979), "A simple sequentially rejective multiple test procedure".
The distribution is computed from its finite sums for integer degrees of freedom.
"""

import math
import statistics
from collections.abc import Sequence

from attrs import frozen

HALVINGS = 200  # of the range of a quantile: more than a float can resolve
TINIEST = 1e-290  # smaller floats overflow as divisors
SAME = 1e-12  # relative deviations below it are rounding errors


@frozen
class Estimate:
    """The mean of some values, one for each seed, and how well it is known.

    Attributes:
        count: number of values.
        mean: their mean.
        deviation: the sample standard deviation, with n - 1 in the denominator; None for a single value.
        interval: the confidence interval of the mean; None for a single value, and for equal values, for which
            Student's t is undefined.
        p: of the two-sided t test that the mean is 0; None if there is no interval.
    """

    count: int
    mean: float
    deviation: float | None
    interval: tuple[float, float] | None
    p: float | None


def estimate(values: Sequence[float], level: float, size: float = 0.0) -> Estimate:
    """Estimate the mean of at least one finite value, with its confidence interval.

    Args:
        values: one for each seed.
        level: confidence level, between 0 and 1.
        size: size of the numbers whose differences the values are; values tiny beside it are rounding errors.

    >>> found = estimate([1.0, 2.0, 3.0], 0.95)
    >>> found.mean, found.deviation, [round(end, 3) for end in found.interval]
    (2.0, 1.0, [-0.484, 4.484])
    """
    tiny = max(SAME * max(size, *map(abs, values)), TINIEST)
    mean = 0.0 if abs(found := statistics.fmean(values)) <= tiny else found
    if len(values) == 1:
        return Estimate(1, mean, None, None, None)
    deviation = statistics.stdev(values)
    if deviation <= tiny:
        return Estimate(len(values), mean, 0.0, None, None)
    error = deviation / math.sqrt(len(values))
    margin = t_quantile(level, len(values) - 1) * error
    p = max(0.0, 1 - t_probability(abs(mean) / error, len(values) - 1))
    return Estimate(len(values), mean, deviation, (mean - margin, mean + margin), p)


def t_probability(t: float, freedom: int) -> float:
    """Return the probability that Student's t lies within -t..t.

    Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 26.7.3 for odd degrees of freedom and 26.7.4 for
    even ones.

    >>> round(t_probability(1.0, 1), 9), round(t_probability(2.0, 2), 9)
    (0.5, 0.816496581)
    """
    angle = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(1 + odd, freedom, 2):
        total += term
        term *= cosine**2 * power / (power + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def t_quantile(level: float, freedom: int) -> float:
    """Return the t for which Student's t lies within -t..t with the probability `level`, between 0 and 1.

    >>> round(t_quantile(0.95, 9), 3)
    2.262
    """
    low, high = 0.0, math.pi / 2  # of the angle whose tangent is t over the root of the degrees of freedom
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        inside = t_probability(math.sqrt(freedom) * math.tan(middle), freedom) < level
        low, high = (middle, high) if inside else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def holm(ps: Sequence[float]) -> list[float]:
    """Return each p with Holm's correction: below 1 - level, a difference is significant among all comparisons.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        corrected[place] = largest
    return corrected
