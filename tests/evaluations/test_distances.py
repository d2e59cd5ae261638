"""Distances of distributions: by hand, by closed formulas, and by the code that the literature measures with."""

import importlib
import math

import numpy as np
import pytest
import torch

distances = importlib.import_module("ganforge_evaluations.fidelity.distances")


def draw(count, size, seed, *, scale=1.0):
    return scale * torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exactly(mean, covariance, count=50):
    """Features whose sample mean and covariance are these."""
    mean, covariance = torch.tensor(mean).double(), torch.tensor(covariance).double()
    raw = draw(count, len(mean), 0)
    white = torch.linalg.qr(raw - raw.mean(0)).Q * math.sqrt(count - 1)
    values, vectors = torch.linalg.eigh(covariance)
    return white @ (vectors * values.clamp(min=0).sqrt()).T + mean


def test_equal_features_have_no_distance_and_a_shift_has_its_square():
    features = draw(50, 4, 0)
    assert distances.frechet(features, features) == pytest.approx(0, abs=1e-9)
    assert distances.frechet(features, features + torch.tensor([3.0, 4.0, 0.0, 0.0])) == pytest.approx(25)


def test_gaussians_of_one_dimension():
    """(m1 - m2)^2 + (s1 - s2)^2: deviations 1 and 3 of the samples."""
    one = torch.tensor([[-1.0], [0.0], [1.0]])  # variance 1
    assert distances.frechet(one, 3 * one) == pytest.approx(4)


def test_gaussians_with_the_same_axes():
    """|m1 - m2|^2 + the sum of (s1 - s2)^2 along the axes, some of which have no width: singular covariances."""
    one = exactly([1.0, 2.0, 3.0], [[4.0, 0, 0], [0, 0, 0], [0, 0, 9.0]])
    other = exactly([1.0, 0.0, 3.0], [[1.0, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert distances.frechet(one, other) == pytest.approx(4 + (2 - 1) ** 2 + 0 + 3**2)


def test_gaussians_of_two_dimensions_with_other_axes():
    """For 2 x 2 matrices tr (C1 C2)^(1/2) = (tr C1 C2 + 2 det^(1/2) C1 C2)^(1/2)."""
    first, second = [[2.0, 1.0], [1.0, 3.0]], [[5.0, -2.0], [-2.0, 1.0]]
    product = np.array(first) @ np.array(second)
    shared = math.sqrt(np.trace(product) + 2 * math.sqrt(np.linalg.det(product)))
    found = distances.frechet(exactly([0.0, 0.0], first), exactly([0.0, 1.0], second))
    assert found == pytest.approx(1 + 5 + 6 - 2 * shared)


def test_fewer_pictures_than_features_of_one_line_each():
    """Two pictures each span one line: covariances (2, 0)(2, 0)' / 2 and (2, 2)(2, 2)' / 2, means 1 apart."""
    one = torch.tensor([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    other = torch.tensor([[-1.0, -1.0, 1.0], [1.0, 1.0, 1.0]])
    # tr C1 = 2, tr C2 = 4, and the one singular value of X1 X2' is 2.
    assert distances.frechet(one, other) == pytest.approx(1 + 2 + 4 - 2 * 2)


def test_constant_pictures_are_as_far_apart_as_their_features():
    one, other = torch.zeros(5, 8), torch.full((4, 8), 2.0)
    assert distances.frechet(one, other) == pytest.approx(32)
    assert distances.frechet(one, one) == 0
    assert distances.kernel_distance(one, other) == (pytest.approx((4 + 1) ** 3 + 1 - 2), 0)
    assert distances.precision_recall(one, other) == (0, 0)
    constant = draw(1, 2048, 0).float().expand(10, -1)
    assert distances.precision_recall(constant, constant.clone()) == (1, 1)


@pytest.mark.parametrize("count", [0, 1])
def test_of_one_picture_nothing_is_measured(count):
    one, other = draw(count, 4, 0), draw(9, 4, 1)
    for first, second in ((one, other), (other, one)):
        assert math.isnan(distances.frechet(first, second))
        assert all(map(math.isnan, distances.kernel_distance(first, second)))
        assert all(map(math.isnan, distances.precision_recall(first, second)))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_not_finite_have_no_distance(value):
    one, other = draw(9, 4, 0), draw(9, 4, 1)
    one[3, 2] = value
    for first, second in ((one, other), (other, one)):
        assert math.isnan(distances.frechet(first, second))
        assert all(map(math.isnan, distances.kernel_distance(first, second)))
        assert all(map(math.isnan, distances.precision_recall(first, second)))


def test_the_kernel_distance_of_a_few_numbers():
    """Features 0, 1 and 2, 2; k(x, y) = (xy + 1)^3: within 1 and 125; between 1, 1, 27, 27."""
    one, other = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [2.0]])
    distance, error = distances.kernel_distance(one, other)
    assert distance == pytest.approx(1 + 125 - 2 * (1 + 1 + 27 + 27) / 4)
    assert math.isnan(error)  # without one of two nothing is left to estimate by


def test_the_standard_error_is_the_jackknifes():
    one, other = draw(7, 3, 0), draw(5, 3, 1) + 1

    def whole(x, y):
        """The unbiased estimate by its definition, without a sum that leaves anything out."""
        within = [
            np.mean([(a @ b / 3 + 1) ** 3 for i, a in enumerate(z) for j, b in enumerate(z) if i != j]) for z in (x, y)
        ]
        return sum(within) - 2 * np.mean([(a @ b / 3 + 1) ** 3 for a in x for b in y])

    def variance(values):
        values = np.array(values)
        return (len(values) - 1) / len(values) * ((values - values.mean()) ** 2).sum()

    first = [whole(torch.cat([one[:place], one[place + 1 :]]), other) for place in range(7)]
    second = [whole(one, torch.cat([other[:place], other[place + 1 :]])) for place in range(5)]
    error = distances.kernel_distance(one, other)[1]
    assert error == pytest.approx(math.sqrt(variance(first) + variance(second)))


def test_the_standard_error_is_how_much_the_distance_varies_over_sets_of_pictures():
    found = [distances.kernel_distance(draw(30, 8, seed), draw(30, 8, 1000 + seed) + 0.5) for seed in range(150)]
    values, errors = np.array(found).T
    assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(), rel=0.2)


def test_precision_and_recall_by_hand():
    """On a line, k = 1: real balls [0, 2] around 1, [-1, 1] around 0, [9, 11] and [10, 12]; translated ones below."""
    real = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    translated = torch.tensor([[0.5], [1.5], [5.0]])  # reach to [-0.5, 1.5], [0.5, 2.5], [1.5, 8.5]
    assert distances.precision_recall(translated, real, neighbours=1) == (2 / 3, 2 / 4)


def test_a_collapse_is_precise_and_recalls_little():
    real = draw(200, 4, 0)
    precision, recall = distances.precision_recall(real[:1] + draw(200, 4, 1, scale=1e-3), real)
    assert precision == 1
    assert recall <= 0.01


@pytest.mark.parametrize("shapes", [(60, 90, 32), (90, 60, 32), (40, 30, 64), (50, 50, 16)], ids=str)
def test_agreement_with_torch_fidelity(shapes):
    pytest.importorskip("torch_fidelity")
    from torch_fidelity import metric_fid, metric_kid, metric_prc

    count, others, size = shapes
    mixing = draw(size, size, 2)
    one, other = ((draw(n, size, seed) @ mixing / 4 + seed / 5).float().relu() for n, seed in ((count, 0), (others, 1)))
    statistics = [metric_fid.fid_features_to_statistics(features) for features in (one, other)]
    (expected,) = metric_fid.fid_statistics_to_metric(*statistics, verbose=False).values()
    assert distances.frechet(one, other) == pytest.approx(expected, rel=1e-5)

    told = {"verbose": False, "kid_subset_size": 20, "kid_subsets": 7}
    expected = metric_kid.kid_features_to_metric(one, other, **told)
    found = distances.kernel_distance(one, other, subsets=7, size=20)[0]
    assert found == pytest.approx(expected[metric_kid.KEY_METRIC_KID_MEAN], rel=1e-4)

    expected = metric_prc.prc_features_to_metric(one, other, verbose=False)
    found = distances.precision_recall(one, other)
    assert found == pytest.approx((expected[metric_prc.KEY_METRIC_PRECISION], expected[metric_prc.KEY_METRIC_RECALL]))
    assert 0 < found[0] < 1


@pytest.mark.filterwarnings("ignore")
def test_agreement_with_clean_fid():
    pytest.importorskip("cleanfid")
    from cleanfid.fid import frechet_distance, kernel_distance

    one, other = ((draw(60, 32, seed) @ draw(32, 32, 2) / 4 + seed / 5).float().relu() for seed in (0, 1))
    (first, second) = ((features.numpy().mean(0), np.cov(features.numpy(), rowvar=False)) for features in (one, other))
    assert distances.frechet(one, other) == pytest.approx(frechet_distance(*first, *second), rel=1e-5)
    # Of 60 pictures each of its subsets is the whole.
    expected = kernel_distance(one.numpy(), other.numpy(), num_subsets=2)
    assert distances.kernel_distance(one, other)[0] == pytest.approx(expected, rel=1e-4)
