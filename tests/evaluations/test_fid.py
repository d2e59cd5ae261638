"""Distances of distributions against numbers worked out by hand, and by NumPy's general eigenvalues."""

import importlib
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ganforge import InputError
from tests.conftest import as_trained

fid = importlib.import_module("ganforge_evaluations.fid")


def test_equal_features_have_no_distance_and_a_shift_has_its_square():
    features = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    assert fid.frechet(features, features) == pytest.approx(0, abs=1e-9)
    assert fid.frechet(features, features + torch.tensor([3.0, 4.0, 0.0, 0.0])) == pytest.approx(25, abs=1e-5)


def test_gaussians_of_one_dimension():
    """(m1 - m2)^2 + (s1 - s2)^2: deviations 1 and 3 of the samples."""
    one = torch.tensor([[-1.0], [0.0], [1.0]])  # variance 1
    assert fid.frechet(one, 3 * one) == pytest.approx(4)


def test_the_frechet_distance_is_that_of_the_root_of_the_product_of_covariances():
    random = torch.Generator().manual_seed(1)
    one, other = (torch.randn(40, 5, generator=random) @ torch.randn(5, 5, generator=random) for _ in range(2))
    first, second = np.cov(one.double().numpy().T), np.cov(other.double().numpy().T)
    shared = np.sqrt(np.linalg.eigvals(first @ second).real.clip(0)).sum()
    means = ((one.double().mean(0) - other.double().mean(0)) ** 2).sum()
    assert fid.frechet(one, other) == pytest.approx(float(means) + np.trace(first + second) - 2 * shared, rel=1e-6)


def test_the_kernel_distance_of_a_few_numbers():
    """Features 0, 1 and 2, 2; k(x, y) = (xy + 1)^3: within 1 and 125; between 1, 1, 27, 27."""
    one, other = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [2.0]])
    assert fid.kernel_distance(one, other) == pytest.approx(1 + 125 - 2 * (1 + 1 + 27 + 27) / 4)


def test_features_that_are_not_finite_have_no_distance():
    one, other = torch.full((3, 2), math.nan), torch.eye(3, 2)
    assert math.isnan(fid.frechet(one, other))
    assert math.isnan(fid.kernel_distance(one, other))


@pytest.fixture
def trained(understand, pairs):
    """Identities in both directions."""
    plan = understand("discogan_edges2shoes", f"dataset.root={pairs}", "dataset.size=16")
    networks = {"G_AB": nn.Identity(), "G_BA": nn.Identity()}
    return as_trained(plan, networks, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "not shipped"), (b"", "cannot be read"), ({"a": torch.ones(1)}, "does not hold the weights")],
)
def test_what_is_no_feature_network_is_refused(content, message, trained, tmp_path):
    path = tmp_path / "features.safetensors"
    if isinstance(content, dict):
        save_file(content, path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        fid.fid(trained, features=None if content is None else path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_local_feature_network_measures_both_directions(trained, tmp_path):
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    save_file(inception_v3(weights=None, init_weights=False).state_dict(), tmp_path / "features.safetensors")
    with trained.evaluating():
        found = fid.fid(trained, features=tmp_path / "features.safetensors").metrics
        kernel = fid.kid(trained, features=tmp_path / "features.safetensors").metrics
    assert set(found) == {"fid_AB", "fid_BA"}
    assert found["fid_AB"] == pytest.approx(found["fid_BA"], rel=1e-6)  # both compare the same two sets
    assert kernel["kid_AB"] == pytest.approx(kernel["kid_BA"], rel=1e-6)
