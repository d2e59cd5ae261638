"""Adversarial losses: what the discriminator and the generator play for."""

from attrs import field, frozen, validators
from torch import Tensor
from torch.nn.functional import softplus


@frozen
class GAN:
    """The standard GAN with the non-saturating generator loss (Goodfellow et al. 2014; Kim et al. 2017, Eq. 4 and 6).

    Scores are logits, so with D = sigmoid(score): -log D = softplus(-score) and -log(1 - D) = softplus(score).

    Attributes:
        smoothing: the target of real samples is 1 - smoothing (one-sided label smoothing, Salimans et al. 2016).
    """

    smoothing: float = field(default=0.0, validator=[validators.ge(0), validators.lt(0.5)])

    def generator(self, fake_score: Tensor) -> Tensor:
        """-E[log D(G(x))], Eq. 4; `fake_score` may have any shape."""
        return softplus(-fake_score).mean()

    def discriminator(self, real_score: Tensor, fake_score: Tensor) -> Tensor:
        """-E[log D(x)] - E[log(1 - D(G(x)))], Eq. 6; scores may have any shape."""
        real = softplus(-real_score).mean()
        if self.smoothing:  # -(1-s) log D - s log(1-D) = softplus(-score) + s * score
            real = real + self.smoothing * real_score.mean()
        return real + softplus(fake_score).mean()
