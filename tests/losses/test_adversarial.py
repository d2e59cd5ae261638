"""Adversarial losses against numbers worked out by hand, on scores of any shape and on several scales."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from ganforge.testing import components_of

LOSSES = {component.name: component.factory for component in components_of("ganforge_losses")}
GAN = LOSSES["gan"]
REAL, FAKE = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [3.0]])
NAMES = ["gan", "least-squares", "hinge-gan", "wasserstein", "relativistic"]


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


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


@pytest.mark.parametrize("smoothing", [-0.1, 0.5])
def test_smoothing_has_a_range(smoothing):
    with pytest.raises(ValueError, match="smoothing"):
        GAN(smoothing=smoothing)


@pytest.mark.parametrize(
    ("name", "settings", "discriminator", "generator"),
    [
        ("least-squares", {}, (1 + 4) / 2 + (0.25 + 9) / 2, (0.25 + 4) / 2),
        ("least-squares", {"halved": True}, ((1 + 4) / 2 + (0.25 + 9) / 2) / 2, (0.25 + 4) / 2),
        ("hinge-gan", {}, (0 + 2) / 2 + (1.5 + 4) / 2, -(0.5 + 3) / 2),
        ("hinge-gan", {"halved": True}, ((0 + 2) / 2 + (1.5 + 4) / 2) / 2, -(0.5 + 3) / 2),
        ("wasserstein", {}, (0.5 + 3) / 2 - (2 - 1) / 2, -(0.5 + 3) / 2),
        ("relativistic", {}, (softplus(0.5 - 2) + softplus(3 + 1)) / 2, (softplus(2 - 0.5) + softplus(-1 - 3)) / 2),
        (
            "relativistic",  # the mean scores are 0.5 of real samples and 1.75 of fake ones
            {"average": True},
            (softplus(1.75 - 2) + softplus(1.75 + 1)) / 2 + (softplus(0.5 - 0.5) + softplus(3 - 0.5)) / 2,
            (softplus(0.5 - 0.5) + softplus(0.5 - 3)) / 2 + (softplus(2 - 1.75) + softplus(-1 - 1.75)) / 2,
        ),
    ],
    ids=str,
)
def test_both_players_minimise_what_the_papers_say(name, settings, discriminator, generator):
    loss = LOSSES[name](**settings)
    given = {"real_score": REAL, "fake_score": FAKE} if name == "relativistic" else {"fake_score": FAKE}
    assert float(loss.discriminator(REAL, FAKE)) == pytest.approx(discriminator)
    assert float(loss.generator(**given)) == pytest.approx(generator)


@pytest.mark.parametrize("name", NAMES)
def test_a_map_counts_by_its_mean_and_every_scale_alike(name):
    loss = LOSSES[name]()
    fine, coarse = (
        (REAL.reshape(1, 1, 2, 1), FAKE.reshape(1, 1, 2, 1)),
        (torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)),
    )
    both = [torch.stack([loss.discriminator(*pair) for pair in (fine, coarse)]).mean()]
    torch.testing.assert_close(loss.discriminator(*fine), loss.discriminator(REAL, FAKE))
    for kind in (list, tuple):
        torch.testing.assert_close(loss.discriminator(*map(kind, zip(fine, coarse, strict=True))), both[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_scores_stay_finite_with_their_gradients(name, size):
    loss = LOSSES[name]()
    scores = {"real_score": torch.full((2, 1), size), "fake_score": torch.full((2, 1), -size)}
    for player in ("discriminator", "generator"):
        given = {key: score.clone().requires_grad_() for key, score in scores.items()}
        if player == "generator" and name != "relativistic":
            del given["real_score"]
        value = getattr(loss, player)(**given)
        value.backward()
        assert value.isfinite()
        assert all(score.grad.isfinite().all() for score in given.values())


def test_extreme_scores_of_the_standard_gan():
    assert float(GAN().generator(torch.tensor([[-1e4]]))) == pytest.approx(1e4)
    assert float(GAN().discriminator(torch.tensor([[1e4]]), torch.tensor([[-1e4]]))) == 0
    assert float(GAN(halved=True).discriminator(torch.tensor([[-1e4]]), torch.tensor([[1e4]]))) == pytest.approx(1e4)


def test_pairs_are_not_broadcast():
    with pytest.raises(ValueError, match=r"in pairs, but have the shapes \[2, 1\] and \[3, 1\]"):
        LOSSES["relativistic"]().discriminator(torch.zeros(2, 1), torch.zeros(3, 1))
