"""Adaptive discriminator augmentation (Karras et al. 2020, arXiv 2006.06676), with one differentiable change.

Everything that the discriminator is shown, real or not, is changed with probability p, and the generator is trained
through the change (Figure 2c). The recipe says `[values.shown] use = "changed"` and, for real samples,
`[values.shown_real] use = "changed", on = { fake = "real" }`. Each direction has a p of its own.
"""

from typing import Annotated

import torch
from attrs import field, frozen, validators
from torch import Tensor, nn

from ganforge import Register, hookimpl


class Probability(nn.Module):
    """p, which starts at 0 (section 3.1)."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("p", torch.zeros(()))

    def forward(self) -> Tensor:
        """The tensor itself: whoever changes it changes what is seen next."""
        return self.p


def changed(
    fake: Tensor, probability: Tensor, *, strength: Annotated[float, validators.ge(0)] = 0.2
) -> Tensor:  # the brightness of appendix B, "Color transformations", with the deviation 0.2
    """Add to each sample, with probability p, one number of N(0, strength^2); samples are [N, ...]."""
    each = (len(fake), *(1 for _ in fake.shape[1:]))
    now = torch.rand(each, dtype=fake.dtype, device=fake.device) < probability
    added = strength * torch.randn(each, dtype=fake.dtype, device=fake.device)
    return torch.where(now, fake + added, fake)


@frozen
class Adaptive:
    """Steers p so that the overfitting heuristic r_t stays at a target (section 3.1).

    Attributes:
        target: of r_t.
        speed: by how much p moves at a time: the interval times the batch over 500,000 pictures, in the paper.
        interval: of steps in which it moves.
        players: whose steps count.
    """

    target: float = 0.6
    speed: float = field(default=5e-4, validator=validators.gt(0))
    interval: int = field(default=4, validator=validators.ge(1))
    players: list[str] = ["discriminator"]  # noqa: RUF008  # a setting's default, read and never changed

    def after(self, step: int, real_score: Tensor, probability: Tensor) -> None:
        """r_t = E[sign(D_train)], Eq. 1: above the target D overfits, and p grows."""
        if step % self.interval == 0:
            heuristic = real_score.sign().mean()
            probability.add_(self.speed * (heuristic - self.target).sign()).clamp_(0, 1)


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register what ADA adds."""
    register.value("probability", Probability)
    register.value("changed", changed)
    register.update("adaptive", Adaptive)
