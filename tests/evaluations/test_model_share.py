"""How much of translations' variance is the model's: numbers worked out by hand."""

import math

import pytest
import torch

from ganforge_evaluations.model_share import model_share


def pictures(*values):
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 3, 2, 2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.0, 1.0, 0.0, 1.0), 0.0),  # the angle decides
        ((0.0, 0.0, 1.0, 1.0), 1.0),  # the model decides
        ((0.0, 0.4, 0.2, 0.6), 0.2),  # deviations of 0.1 within, and of 0.3, 0.1, 0.1, 0.3 from the mean: 0.04 / 0.2
    ],
)
def test_two_models_from_two_angles_by_hand(values, expected):
    assert model_share(pictures(*values), [-15.0, 15.0, -15.0, 15.0]) == pytest.approx(expected, abs=1e-7)


def test_views_of_one_picture_do_not_count():
    views = [("a", 8.0), ("b", 8.0), ("a", 8.0), ("b", 8.0), ("a", 22.0)]
    assert model_share(pictures(0.0, 0.4, 0.2, 0.6, 0.9), views) == pytest.approx(0.2)


def test_the_share_is_one_minus_the_correlation_ratio():
    noise = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    views = [place % 3 for place in range(12)]
    by_view = noise.reshape(4, 3, -1)
    eta_squared = by_view.mean(0).var(0, correction=0).sum() / by_view.flatten(0, 1).var(0, correction=0).sum()
    assert model_share(noise, views) == pytest.approx(1 - float(eta_squared), rel=1e-5)


@pytest.mark.parametrize(
    ("values", "views"),
    [
        ((0.3,), [0.0]),
        ((0.3, 0.5), [0.0, 15.0]),
        ((0.5, 0.5, 0.5), [0.0, 0.0, 15.0]),
        ((0.5, math.nan, 0.2), [0.0, 0.0, 15.0]),
        ((0.5, math.inf, 0.2, 0.1), [0.0, 0.0, 15.0, 15.0]),
        ((), []),
    ],
)
def test_where_nothing_can_be_said_it_is_not_a_number(values, views):
    assert math.isnan(model_share(pictures(*values), views))
