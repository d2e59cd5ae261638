"""Penalties on the discriminator's gradient with respect to its input.

They ask for `shown_real` and `shown`, the discriminator's inputs, which for a conditional one include the source. For a
map of scores, or several scales, the gradient is that of their sum, as in the public code of CycleGAN and StarGAN. They
need double backward, so they are registered with `precision="fp32"`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from attrs import field, frozen, validators
from torch import Tensor, nn


@frozen
class GradientPenalty:
    """The gradient penalty of WGAN-GP (Gulrajani et al. 2017, arXiv 1704.00028, Eq. 3, last term without its lambda).

    Attributes:
        target: target norm of the gradient; 1 in the paper.
        scale: divisor of the gradients: 2 if a paper has pixels in [-1, 1].
    """

    target: float = field(default=1.0, validator=validators.ge(0))
    scale: float = field(default=1.0, validator=validators.gt(0))

    def discriminator(self, discriminator: nn.Module, shown_real: Tensor, shown: Tensor) -> Tensor:
        """E[(|grad D(x^)| - target)^2] at x^ = e x + (1 - e) G(z), e ~ U[0, 1] for each sample, [N, ...]."""
        if shown_real.shape != shown.shape:
            raise ValueError(f"real and fake samples differ in shape: {[*shown_real.shape]} and {[*shown.shape]}")
        count, *rest = shown_real.shape
        share = torch.rand(count, *(1 for _ in rest), dtype=shown.dtype, device=shown.device)  # [N, 1, ...]
        between = share * shown_real + (1 - share) * shown
        norms: Tensor = slope(discriminator, between).norm(dim=1) / self.scale  # [N]
        return (norms - self.target).square().mean()


@frozen
class R1:
    """The zero-centred penalty on real samples (Mescheder et al. 2018, arXiv 1801.04406, Eq. 9, without its gamma).

    With `weight = { steps = [0], values = [160.0], every = 16 }` it is lazy (Karras et al. 2020, arXiv 1912.04958,
    appendix B): computed in every 16th step, with 16 times the weight.

    Attributes:
        scale: divisor of the gradients: 2 if a paper has pixels in [-1, 1].
    """

    scale: float = field(default=1.0, validator=validators.gt(0))

    def discriminator(self, discriminator: nn.Module, shown_real: Tensor) -> Tensor:
        """E[|grad D(x)|^2] / 2; samples are [N, ...]."""
        return _half_square(slope(discriminator, shown_real), self.scale)


@frozen
class R2:
    """The same penalty on fake samples (Mescheder et al. 2018, arXiv 1801.04406, Eq. 10, without its gamma).

    Attributes:
        scale: divisor of the gradients: 2 if a paper has pixels in [-1, 1].
    """

    scale: float = field(default=1.0, validator=validators.gt(0))

    def discriminator(self, discriminator: nn.Module, shown: Tensor) -> Tensor:
        """E[|grad D(G(z))|^2] / 2; samples are [N, ...]."""
        return _half_square(slope(discriminator, shown), self.scale)


def slope(discriminator: nn.Module, samples: Tensor) -> Tensor:
    """Return the gradient of each sample's score with respect to the sample, [N, elements]."""
    samples = samples.detach().requires_grad_()
    score, _ = discriminator(samples)
    (found,) = torch.autograd.grad(_total(score), samples, create_graph=True)
    return found.flatten(1)


def _total(score: Tensor | Sequence[Any]) -> Tensor:
    return score.sum() if isinstance(score, Tensor) else torch.stack([one.sum() for one in score]).sum()


def _half_square(slopes: Tensor, scale: float) -> Tensor:
    return (slopes / scale).square().sum(1).mean() / 2
