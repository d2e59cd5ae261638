"""Distances against numbers worked out by hand."""

import pytest
import torch

from ganforge.testing import components_of

LOSSES = {component.name: component.factory for component in components_of("ganforge_losses")}
X = torch.tensor([[1.0, 2.0], [0.0, -4.0]])
ZERO = torch.zeros(2, 2)


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("l1", {}, 7 / 4),
        ("l2", {}, 21 / 4),
        ("huber", {}, (0.5 + 1.5 + 0 + 3.5) / 4),
        ("huber", {"delta": 2.0}, (0.5 + 2 + 0 + 6) / 4),
        ("hinge", {"margin": 1.0}, (0 + 1 + 0 + 3) / 4),
        ("hinge", {"margin": 0.0}, 7 / 4),
        ("l1", {"scale": 2.0}, 14 / 4),
        ("l2", {"scale": 2.0}, 84 / 4),
        ("huber", {"scale": 2.0}, (1.5 + 3.5 + 0 + 7.5) / 4),
        ("hinge", {"margin": 1.0, "scale": 2.0}, (1 + 3 + 0 + 7) / 4),
    ],
)
def test_distance_to_zero(name, settings, expected):
    assert float(LOSSES[name](X, ZERO, **settings)) == pytest.approx(expected)


def test_cosine_of_parallel_orthogonal_and_opposite_samples():
    cosine = LOSSES["cosine"]
    assert float(cosine(X, 3 * X)) == pytest.approx(0, abs=1e-6)
    assert float(cosine(X, -X)) == pytest.approx(2)
    assert float(cosine(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))) == pytest.approx(1)


@pytest.mark.parametrize("name", ["l1", "l2", "huber", "cosine", "hinge"])
def test_a_distance_vanishes_for_equals_and_refuses_to_broadcast(name):
    assert float(LOSSES[name](X, X)) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match=r"shapes differ: \[2, 2\] and \[2, 1\]"):
        LOSSES[name](X, X[:, :1])


def test_feature_matching_compares_batch_means_layer_by_layer():
    real = (torch.tensor([[0.0, 2.0], [2.0, 4.0]]), torch.tensor([[1.0], [3.0]]))  # means [1, 3] and [2]
    fake = (torch.tensor([[1.0, 0.0], [1.0, 2.0]]), torch.tensor([[5.0], [5.0]]))  # means [1, 1] and [5]
    assert float(LOSSES["feature-matching"](real, fake)) == pytest.approx((0 + 4) / 2 + 9)
    assert float(LOSSES["feature-matching"](real, fake, last=1)) == pytest.approx(9)


def test_the_features_of_pix2pixhd_are_compared_sample_by_sample():
    real = (torch.tensor([[0.0, 2.0], [2.0, 4.0]]), torch.tensor([[1.0], [3.0]]))
    fake = (torch.tensor([[1.0, 0.0], [1.0, 2.0]]), torch.tensor([[5.0], [5.0]]))  # differ by 6/4 and by 3
    assert float(LOSSES["feature-l1"](real, fake)) == pytest.approx(4 * (1.5 + 3) / 2)
    scales = [
        LOSSES["feature-l1"](kind(real, real[::-1]), kind(fake, fake[::-1])) for kind in (lambda *s: s, lambda *s: [*s])
    ]
    assert [float(found) for found in scales] == pytest.approx([9.0, 9.0])  # two scales of two layers
    four = [(torch.zeros(1, 1),) * 4, (torch.tensor([[1.0]]),) * 4]
    assert float(LOSSES["feature-l1"](*four)) == pytest.approx(4)  # the sum over four layers, as in the authors' code


def test_features_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="shapes differ"):
        LOSSES["feature-l1"]((torch.zeros(2, 3),), (torch.zeros(1, 3),))
