"""Student's t, intervals and Holm's correction, against printed tables and numbers worked out by hand."""

import importlib
import math

import pytest

intervals = importlib.import_module("ganforge_compare.intervals")


@pytest.mark.parametrize(
    ("freedom", "quantiles"),
    [
        (1, (6.314, 12.706, 63.657)),
        (2, (2.920, 4.303, 9.925)),
        (3, (2.353, 3.182, 5.841)),
        (4, (2.132, 2.776, 4.604)),
        (5, (2.015, 2.571, 4.032)),
        (9, (1.833, 2.262, 3.250)),
        (10, (1.812, 2.228, 3.169)),
        (29, (1.699, 2.045, 2.756)),
        (30, (1.697, 2.042, 2.750)),
        (120, (1.658, 1.980, 2.617)),
    ],
)
def test_quantiles_are_those_of_the_printed_tables(freedom, quantiles):
    """Fisher and Yates, table III: two-sided 90, 95 and 99 %."""
    found = [intervals.t_quantile(level, freedom) for level in (0.90, 0.95, 0.99)]
    assert found == pytest.approx(quantiles, abs=6e-4)
    for level, quantile in zip((0.90, 0.95, 0.99), found, strict=True):
        assert intervals.t_probability(quantile, freedom) == pytest.approx(level, abs=1e-12)


def test_quantiles_of_one_and_two_degrees_of_freedom_are_those_of_the_closed_forms():
    for level in (1e-6, 0.1, 0.5, 0.999, 0.999999):
        assert intervals.t_quantile(level, 1) == pytest.approx(math.tan(math.pi * level / 2), rel=1e-9)
        assert intervals.t_quantile(level, 2) == pytest.approx(level * math.sqrt(2 / (1 - level**2)), rel=1e-9)


def test_the_interval_and_the_p_of_a_mean_are_those_of_students_own_example():
    """The extra hours of sleep of ten patients, second drug less first: Student (1908), t = 4.0621, p = 0.00283."""
    extra = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    found = intervals.estimate(extra, 0.95)
    assert (found.count, found.mean, found.deviation) == (10, pytest.approx(1.58), pytest.approx(1.2300, abs=5e-5))
    assert found.interval == pytest.approx((0.7001142, 2.4598858), abs=5e-8)
    assert found.p == pytest.approx(0.002833, abs=5e-7)


def test_values_of_which_students_t_says_nothing_have_no_interval():
    assert intervals.estimate([3.0], 0.95) == intervals.Estimate(1, 3.0, None, None, None)
    assert intervals.estimate([3.0, 3.0, 3.0], 0.95) == intervals.Estimate(3, 3.0, 0.0, None, None)
    assert intervals.estimate([0.0, 0.0], 0.95) == intervals.Estimate(2, 0.0, 0.0, None, None)
    rounding = intervals.estimate([0.3 - 0.2, 0.4 - 0.3], 0.95, 0.4)
    assert (rounding.deviation, rounding.interval) == (0.0, None)
    nothing = intervals.estimate([0.1 + 0.2 - 0.3, 0.0], 0.95, 0.3)
    assert (nothing.mean, nothing.interval) == (0.0, None)


def test_large_and_tiny_values_are_estimated_as_well():
    assert intervals.estimate([0.0] * 9 + [5e-324], 0.95).interval is None
    for size in (1e-150, 1e149):
        found = intervals.estimate([size, 2 * size, 3 * size], 0.95)
        assert found.interval == pytest.approx((-0.48413771 * size, 4.48413771 * size), rel=1e-7)


def test_a_higher_level_has_a_wider_interval():
    width = [
        math.dist(*([end] for end in intervals.estimate([1, 2, 4], level).interval)) for level in (0.5, 0.95, 0.99)
    ]
    assert width == sorted(width)
    assert width[0] > 0


def test_holms_correction_is_that_of_his_procedure():
    """The smallest p is multiplied by their number, the next one by one less, and none falls below the one before."""
    assert intervals.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert intervals.holm([0.02, 0.01, 0.0125, 0.6]) == pytest.approx([0.04, 0.04, 0.04, 0.6])
    assert intervals.holm([0.9, 0.8]) == [1.0, 1.0]
    assert intervals.holm([0.2]) == [0.2]
    assert intervals.holm([]) == []
