"""Adversarial losses: what the discriminator and the generator play for."""

from collections.abc import Callable, Sequence

import torch
from attrs import field, frozen, validators
from torch import Tensor
from torch.nn.functional import softplus

Score = Tensor | Sequence[Tensor]  # of any shape; of a discriminator at several scales one for each


@frozen
class GAN:
    """The standard GAN with the non-saturating generator loss (Goodfellow et al. 2014; Kim et al. 2017, Eq. 4 and 6).

    Scores are logits, so with D = sigmoid(score): -log D = softplus(-score) and -log(1 - D) = softplus(score). The
    expectation is the mean over all entries of a score, and over the scales where there are several.

    Attributes:
        smoothing: the target of real samples is 1 - smoothing (one-sided label smoothing, Salimans et al. 2016).
    """

    smoothing: float = field(default=0.0, validator=[validators.ge(0), validators.lt(0.5)])

    def generator(self, fake_score: Score) -> Tensor:
        """-E[log D(G(x))], Eq. 4; `fake_score` may have any shape."""
        return mean(lambda score: softplus(-score), fake_score)

    def discriminator(self, real_score: Score, fake_score: Score) -> Tensor:
        """-E[log D(x)] - E[log(1 - D(G(x)))], Eq. 6; scores may have any shape."""
        real = mean(lambda score: softplus(-score), real_score)
        if self.smoothing:  # -(1-s) log D - s log(1-D) = softplus(-score) + s * score
            real = real + self.smoothing * mean(lambda score: score, real_score)
        return real + mean(softplus, fake_score)


def mean(of: Callable[[Tensor], Tensor], score: Score) -> Tensor:
    """Return the mean of a function of a score, over its entries and over its scales."""
    if isinstance(score, Tensor):
        return of(score).mean()
    return torch.stack([of(one).mean() for one in score]).mean()
