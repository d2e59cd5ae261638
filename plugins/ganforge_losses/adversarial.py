"""Adversarial losses of the discriminator and the generator.

An expectation E is the mean over all entries of a score of any shape, and over its scales if there are several.
"""

from collections.abc import Callable, Sequence

import torch
from attrs import field, frozen, validators
from torch import Tensor
from torch.nn.functional import relu, softplus

from ganforge import batch_mean

Score = Tensor | Sequence[Tensor]  # of any shape; a list for a discriminator with several scales


@frozen
class GAN:
    """The standard GAN with the non-saturating generator loss (Goodfellow et al. 2014; Kim et al. 2017, Eq. 4 and 6).

    Scores are logits, so with D = sigmoid(score): -log D = softplus(-score) and -log(1 - D) = softplus(score).

    Attributes:
        smoothing: the target of real samples is 1 - smoothing (one-sided label smoothing, Salimans et al. 2016).
        halved: the discriminator minimises half of its loss, which slows it down (pix2pix, Isola et al. 2017, section
            3.3).
    """

    smoothing: float = field(default=0.0, validator=[validators.ge(0), validators.lt(0.5)])
    halved: bool = False

    def generator(self, fake_score: Score) -> Tensor:
        """-E[log D(G(x))], Eq. 4; `fake_score` may have any shape."""
        return mean(lambda score: softplus(-score), fake_score)

    def discriminator(self, real_score: Score, fake_score: Score) -> Tensor:
        """-E[log D(x)] - E[log(1 - D(G(x)))], Eq. 6; scores may have any shape."""
        real = mean(lambda score: softplus(-score), real_score)
        if self.smoothing:  # -(1-s) log D - s log(1-D) = softplus(-score) + s * score
            real = real + self.smoothing * mean(lambda score: score, real_score)
        return _share(self.halved) * (real + mean(softplus, fake_score))


@frozen
class LeastSquares:
    """Least squares GAN with the targets 1 for real and 0 for fake (Mao et al. 2017, Eq. 2 and 9, without their 1/2).

    The paper halves both players' losses: set a weight of 0.5, or `halved` for the discriminator alone.

    Attributes:
        halved: the discriminator minimises half of its loss (CycleGAN, Zhu et al. 2017, appendix 7.1).
    """

    halved: bool = False

    def generator(self, fake_score: Score) -> Tensor:
        """E[(D(G(x)) - 1)^2]; `fake_score` may have any shape."""
        return mean(lambda score: (score - 1).square(), fake_score)

    def discriminator(self, real_score: Score, fake_score: Score) -> Tensor:
        """E[(D(y) - 1)^2] + E[D(G(x))^2]; scores may have any shape."""
        real = mean(lambda score: (score - 1).square(), real_score)
        return _share(self.halved) * (real + mean(torch.square, fake_score))


@frozen
class HingeGAN:
    """The hinge loss (Lim & Ye 2017, arXiv 1705.02894; Miyato et al. 2018, arXiv 1802.05957, Eq. 16 and 17).

    Attributes:
        halved: the discriminator minimises half of its loss.
    """

    halved: bool = False

    def generator(self, fake_score: Score) -> Tensor:
        """-E[D(G(x))]; `fake_score` may have any shape."""
        return -mean(_itself, fake_score)

    def discriminator(self, real_score: Score, fake_score: Score) -> Tensor:
        """E[max(0, 1 - D(y))] + E[max(0, 1 + D(G(x)))]; scores may have any shape."""
        real = mean(lambda score: relu(1 - score), real_score)
        return _share(self.halved) * (real + mean(lambda score: relu(1 + score), fake_score))


@frozen
class Wasserstein:
    """The Wasserstein GAN (Arjovsky et al. 2017, arXiv 1701.07875, Eq. 2 and Algorithm 1).

    Scores are used as they are. The critic must be kept Lipschitz: by the update `clip`, or by a gradient penalty.
    """

    def generator(self, fake_score: Score) -> Tensor:
        """-E[D(G(z))]; `fake_score` may have any shape."""
        return -mean(_itself, fake_score)

    def discriminator(self, real_score: Score, fake_score: Score) -> Tensor:
        """E[D(G(z))] - E[D(x)]; scores may have any shape."""
        return mean(_itself, fake_score) - mean(_itself, real_score)


@frozen
class Relativistic:
    """Compares each real sample with a fake one (Jolicoeur-Martineau 2018; R3GAN, Huang et al. 2024, Eq. 2).

    The loss is the softplus of the difference of two scores, entry by entry. This is the RSGAN of Jolicoeur-Martineau
    (arXiv 1807.00734) and, together with `r1` and `r2`, the loss of R3GAN (arXiv 2501.05441).

    Attributes:
        average: compare each score with the mean of the other side's scores instead: RaSGAN (arXiv 1807.00734). Both
            players then have two terms.
    """

    average: bool = False

    def generator(self, real_score: Score, fake_score: Score) -> Tensor:
        """E[softplus(D(x) - D(G(z)))]; the scores have the same shape, or are lists with equally many scales."""
        return self._loss(fake_score, real_score)

    def discriminator(self, real_score: Score, fake_score: Score) -> Tensor:
        """E[softplus(D(G(z)) - D(x))]; the scores have the same shape, or are lists with equally many scales."""
        return self._loss(real_score, fake_score)

    def _loss(self, higher: Score, lower: Score) -> Tensor:
        """The loss of a player who wants the first score to be higher than the second."""
        if not isinstance(higher, Tensor) or not isinstance(lower, Tensor):
            return torch.stack([self._loss(*pair) for pair in zip(higher, lower, strict=True)]).mean()
        if self.average:
            means = [batch_mean(score).mean() for score in (lower, higher)]
            return softplus(means[0] - higher).mean() + softplus(lower - means[1]).mean()
        if higher.shape != lower.shape:
            raise ValueError(
                f"scores are compared in pairs, but have the shapes {[*higher.shape]} and {[*lower.shape]}"
            )
        return softplus(lower - higher).mean()


def mean(of: Callable[[Tensor], Tensor], score: Score) -> Tensor:
    """Return the mean of a function of a score, over its entries and over its scales."""
    if isinstance(score, Tensor):
        return of(score).mean()
    return torch.stack([of(one).mean() for one in score]).mean()


def _share(halved: bool) -> float:
    return 0.5 if halved else 1.0


def _itself(score: Tensor) -> Tensor:
    return score
