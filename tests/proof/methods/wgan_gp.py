"""WGAN-GP (Gulrajani et al. 2017, arXiv 1704.00028), with the R1 penalty beside it (Mescheder et al. 2018, 1801.04406).

Samples are made of noise z ~ N(0, 1) alone. The critic D takes five steps for each one of the generator G (Algorithm 1):
`[train] every = { generator = 5 }`. Penalties differentiate the critic twice, so they are computed in fp32.
"""

import torch
from attrs import frozen
from torch import Tensor, nn

from ganforge import Coupling, Network, Register, View, hookimpl


@frozen
class Wasserstein:
    """The critic's scores are used as they are: no logarithm, no sigmoid."""

    def discriminator(self, real_score: Tensor, fake_score: Tensor) -> Tensor:
        """E[D(G(z))] - E[D(x)], the first two terms of Eq. 3."""
        return fake_score.mean() - real_score.mean()

    def generator(self, fake_score: Tensor) -> Tensor:
        """-E[D(G(z))], Algorithm 1, line 12."""
        return -fake_score.mean()


@frozen
class GradientPenalty:
    """The last term of Eq. 3, without its factor lambda, which is the loss's weight (10 in the paper)."""

    def discriminator(self, discriminator: nn.Module, shown_real: Tensor, shown: Tensor) -> Tensor:
        """E[(|grad D(x^)| - 1)^2] at x^ = e x + (1 - e) G(z) with e ~ U[0, 1] for each sample; samples [N, ...]."""
        count, *rest = shown_real.shape
        share = torch.rand(count, *(1 for _ in rest), dtype=shown.dtype, device=shown.device)  # [N, 1, ...]
        between = share * shown_real + (1 - share) * shown
        return (slope(discriminator, between).norm(dim=1) - 1).square().mean()


@frozen
class R1:
    """The zero-centred penalty on real samples (Mescheder et al. 2018, Eq. 9), without its factor gamma.

    Its weight may count in some steps alone: `weight = { steps = [0], values = [160.0], every = 16 }` is the lazy
    regularization of Karras et al. 2020 (1912.04958, appendix B), which multiplies it by the interval.
    """

    def discriminator(self, discriminator: nn.Module, shown_real: Tensor) -> Tensor:
        """E[|grad D(x)|^2] / 2."""
        return slope(discriminator, shown_real).square().sum(1).mean() / 2


def slope(discriminator: nn.Module, samples: Tensor) -> Tensor:
    """The gradient of each sample's score with respect to the sample, [N, elements]."""
    samples = samples.detach().requires_grad_()
    score, _ = discriminator(samples)
    (found,) = torch.autograd.grad(score.sum(), samples, create_graph=True)
    return found.flatten(1)


@frozen
class FromNoise(Coupling):
    """A generator that makes samples of domain B of noise, and a critic."""

    form: list[int] = [16]  # noqa: RUF008  # of the noise of a sample: [16], or [16, 1, 1] for deconvolutions

    networks = (Network("G", "generator", ("Z", "B")), Network("D", "discriminator", ("B",)))
    views = (View("B", ("Z", "B"), {"source": "Z", "real": "B"}, {"generator": "G", "discriminator": "D"}),)

    @property
    def noise(self) -> dict[str, tuple[int, ...]]:
        """z ~ N(0, 1)."""
        return {"Z": tuple(self.form)}


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register what WGAN-GP adds."""
    register.coupling("from-noise", FromNoise)
    register.loss("wasserstein", Wasserstein)
    register.loss("gradient-penalty", GradientPenalty, precision="fp32")
    register.loss("r1", R1, precision="fp32")
