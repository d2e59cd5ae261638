import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from ganforge.testing import components_of

(GAN,) = (component.factory for component in components_of("ganforge_losses") if component.name == "gan")


def test_at_a_score_of_zero_everybody_is_undecided():
    score = torch.zeros(4, 1)
    assert float(GAN().generator(score)) == pytest.approx(math.log(2))
    assert float(GAN().discriminator(score, score)) == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_is_binary_cross_entropy_with_the_smoothed_target_for_real_samples_only(smoothing):
    real, fake = torch.randn(16, 1), torch.randn(16, 1)
    expected = bce(real, torch.full_like(real, 1 - smoothing)) + bce(fake, torch.zeros_like(fake))
    torch.testing.assert_close(GAN(smoothing=smoothing).discriminator(real, fake), expected)
    torch.testing.assert_close(GAN(smoothing=smoothing).generator(fake), bce(fake, torch.ones_like(fake)))


def test_extreme_scores_stay_finite():
    assert float(GAN().generator(torch.tensor([[-1e4]]))) == pytest.approx(1e4)
    assert float(GAN().discriminator(torch.tensor([[1e4]]), torch.tensor([[-1e4]]))) == 0


@pytest.mark.parametrize("smoothing", [-0.1, 0.5])
def test_smoothing_has_a_range(smoothing):
    with pytest.raises(ValueError, match="smoothing"):
        GAN(smoothing=smoothing)
