"""Structural similarity against a plain computation window by window; total variation by hand."""

import math

import numpy as np
import pytest
import torch

from ganforge.testing import components_of

LOSSES = {component.name: component.factory for component in components_of("ganforge_losses")}
ssim, total_variation = LOSSES["ssim"], LOSSES["total-variation"]


def plain_ssim(x: np.ndarray, y: np.ndarray, size: int = 11, deviation: float = 1.5) -> float:
    """Wang et al. 2004, section III.B: SSIM of one channel, the mean over all windows inside of it."""
    line = [math.exp(-((i - (size - 1) / 2) ** 2) / (2 * deviation**2)) for i in range(size)]
    w = np.outer(line, line)
    w /= w.sum()
    found = []
    for top in range(x.shape[0] - size + 1):
        for left in range(x.shape[1] - size + 1):
            a, b = (picture[top : top + size, left : left + size] for picture in (x, y))
            mu_a, mu_b = (w * a).sum(), (w * b).sum()
            var_a, var_b = (w * (a - mu_a) ** 2).sum(), (w * (b - mu_b) ** 2).sum()
            cov = (w * (a - mu_a) * (b - mu_b)).sum()
            brightness = (2 * mu_a * mu_b + 0.01**2) / (mu_a**2 + mu_b**2 + 0.01**2)
            found.append(brightness * (2 * cov + 0.03**2) / (var_a + var_b + 0.03**2))
    return float(np.mean(found))


@pytest.mark.parametrize(("settings", "size"), [({}, 11), ({"window": 5}, 5), ({"window": 4}, 4)], ids=str)
def test_it_is_the_mean_over_windows_channels_and_pictures(settings, size):
    random = torch.Generator().manual_seed(1)
    x = torch.rand(2, 3, 13, 16, generator=random, dtype=torch.float64)
    y = (x + 0.3 * torch.randn(x.shape, generator=random, dtype=torch.float64)).clamp(0, 1)
    each = [plain_ssim(a.numpy(), b.numpy(), size) for a, b in zip(x.flatten(0, 1), y.flatten(0, 1), strict=True)]
    assert float(ssim(x, y, **settings)) == pytest.approx(1 - np.mean(each), abs=1e-9)


def test_equals_are_alike_and_opposites_are_not():
    x = torch.rand(1, 1, 20, 20)
    assert float(ssim(x, x)) == pytest.approx(0, abs=1e-6)
    assert 1 < float(ssim(x, 1 - x)) <= 2
    assert float(ssim(torch.zeros(1, 1, 11, 11), torch.ones(1, 1, 11, 11))) == pytest.approx(1 - 1e-4 / 1.0001)


def test_a_smaller_picture_is_one_window():
    x, y = torch.rand(2, 1, 1, 7, 7, dtype=torch.float64)
    assert float(ssim(x, y)) == pytest.approx(1 - plain_ssim(x[0, 0].numpy(), y[0, 0].numpy(), 7), abs=1e-9)


def test_flat_pictures_and_large_numbers_have_finite_gradients():
    for picture in (torch.zeros(1, 1, 12, 12), torch.full((1, 1, 12, 12), 1e4)):
        x = picture.clone().requires_grad_()
        ssim(x, picture + 1e-3).backward()
        assert x.grad.isfinite().all()


def test_total_variation_is_the_mean_step_down_and_across():
    picture = torch.tensor([[[[0.0, 1.0, 0.0], [2.0, 2.0, 5.0]]]])  # down: 2, 1, 5; across: 1, 1, 0, 3
    assert float(total_variation(picture)) == pytest.approx(8 / 3 + 5 / 4)
    assert float(total_variation(picture, scale=2.0)) == pytest.approx(2 * (8 / 3 + 5 / 4))
    assert float(total_variation(torch.ones(2, 3, 4, 4))) == 0
    assert float(total_variation(torch.rand(2, 3, 1, 1))) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ssim(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 7)), "shapes differ"),
        (lambda: ssim(torch.zeros(4, 2), torch.zeros(4, 2)), r"'ssim' needs pictures .* got \[4, 2\]"),
        (lambda: total_variation(torch.zeros(4, 2)), r"'total-variation' needs pictures .* got \[4, 2\]"),
    ],
    ids=["shapes", "points", "variation"],
)
def test_what_is_no_picture_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
