"""Penalties on gradients that are known: those of linear and of quadratic discriminators."""

import pytest
import torch
from torch import nn

from ganforge.testing import components_of

COMPONENTS = {component.name: component for component in components_of("ganforge_losses")}
REAL, FAKE = torch.tensor([[1.0, 2.0], [0.0, 4.0]]), torch.tensor([[3.0, 0.0], [0.0, -1.0]])


class Linear(nn.Module):
    """D(x) = 3 x1 + 4 x2, whose gradient has the norm 5; or as parts of a map, or of scales."""

    def __init__(self, form: str = "score") -> None:
        super().__init__()
        self.form = form
        self.weight = nn.Parameter(torch.tensor([3.0, 4.0]))

    def forward(self, samples):
        parts = samples * self.weight
        score = {"score": parts.sum(1, keepdim=True), "map": parts, "scales": [parts[:, :1], parts[:, 1:]]}[self.form]
        return score, ()


class Quadratic(nn.Module):
    """D(x) = |x|^2 / 2, whose gradient is x."""

    def forward(self, samples):
        return samples.square().flatten(1).sum(1, keepdim=True) / 2, ()


def value(name, network, **settings):
    loss = COMPONENTS[name].factory(**settings)
    shown = {"gradient-penalty": (REAL, FAKE), "r1": (REAL,), "r2": (FAKE,)}[name]
    return loss.discriminator(network, *shown)


@pytest.mark.parametrize("form", ["score", "map", "scales"])
@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("gradient-penalty", {}, 16),
        ("gradient-penalty", {"target": 0.0}, 25),
        ("gradient-penalty", {"scale": 2.0}, 2.25),
        ("r1", {}, 25 / 2),
        ("r1", {"scale": 2.0}, 25 / 8),
        ("r2", {}, 25 / 2),
        ("r2", {"scale": 2.0}, 25 / 8),
    ],
    ids=str,
)
def test_the_gradient_of_a_linear_discriminator(name, settings, expected, form):
    assert value(name, Linear(form), **settings).item() == pytest.approx(expected)


def test_r1_looks_at_real_samples_and_r2_at_fake_ones():
    assert value("r1", Quadratic()).item() == pytest.approx((5 + 16) / 4)
    assert value("r2", Quadratic()).item() == pytest.approx((9 + 1) / 4)


def test_interpolates_lie_between_a_real_and_a_fake_sample():
    penalty = COMPONENTS["gradient-penalty"].factory(target=0.0)
    torch.manual_seed(0)
    found = penalty.discriminator(Quadratic(), REAL, FAKE).item()
    torch.manual_seed(0)
    e = torch.rand(2, 1)
    assert found == pytest.approx(float((e * REAL + (1 - e) * FAKE).square().sum(1).mean()))
    assert e[0] != e[1]


@pytest.mark.parametrize("name", ["gradient-penalty", "r1", "r2"])
def test_the_discriminator_learns_by_it_and_what_it_is_shown_does_not(name):
    network = Linear()
    value(name, network).backward()
    factor = 2 * (5 - 1) / 5 if name == "gradient-penalty" else 1.0  # d (|a| - 1)^2 / da, and d |a|^2 / 2 / da
    torch.testing.assert_close(network.weight.grad, factor * torch.tensor([3.0, 4.0]))
    assert REAL.grad is None


@pytest.mark.parametrize("name", ["gradient-penalty", "r1", "r2"])
def test_a_flat_discriminator_has_a_finite_penalty_and_gradient(name):
    network = Linear()
    with torch.no_grad():
        network.weight.zero_()
    found = value(name, network)
    found.backward()
    assert found.isfinite()
    assert network.weight.grad.isfinite().all()


@pytest.mark.parametrize("name", ["gradient-penalty", "r1", "r2"])
def test_they_are_never_computed_in_half_precision(name):
    assert COMPONENTS[name].precision == "fp32"


def test_real_and_fake_samples_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"differ in shape: \[2, 2\] and \[1, 2\]"):
        COMPONENTS["gradient-penalty"].factory().discriminator(Linear(), REAL, FAKE[:1])


@pytest.mark.parametrize(("name", "settings"), [("gradient-penalty", {"target": -1.0}), ("r1", {"scale": 0.0})])
def test_settings_have_ranges(name, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        COMPONENTS[name].factory(**settings)
