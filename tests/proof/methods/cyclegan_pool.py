"""CycleGAN (Zhu et al. 2017, arXiv 1703.10593) in the order of its authors' code: the generators play first.

The discriminators are then shown the fakes from before the generators' update, out of a pool of past ones. So the
recipe says `[values.fake] use = "fake", lasts = true` and `[values.shown] use = "pool"`.
"""

import torch
from attrs import frozen
from torch import Tensor, nn

from ganforge import Coupling, Network, Register, View, hookimpl


class Pool(nn.Module):
    """A history of fakes (Shrivastava et al. 2017, section 2.3): discriminators are shown the newest or older ones.

    While the pool is filled, every fake goes in and is shown. Afterwards, with probability 1/2, a fake takes the place
    of a random one in the pool, and that is shown.

    Args:
        size: of the pool, 50 in the paper (section 4).
    """

    def __init__(self, *, size: int = 50) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("count", torch.zeros(1, dtype=torch.long))
        self.register_buffer("past", None)  # [size, *shape], once a fake has shown its shape

    def generator(self, fake: Tensor) -> Tensor:
        """The generator is judged by what it makes now."""
        return fake

    def discriminator(self, fake: Tensor) -> Tensor:
        """Exchange the fakes, [N, *shape], one after the other."""
        if self.past is None:
            self.past = fake.new_zeros(self.size, *fake.shape[1:])
        return torch.cat([self._exchange(one) for one in fake.split(1)])

    def _exchange(self, fake: Tensor) -> Tensor:
        full = self.count >= self.size  # [1]; nothing here waits for the device
        place = torch.where(full, torch.randint(self.size, (1,), device=fake.device), self.count)
        enters = ~full | (torch.rand(1, device=fake.device) < 0.5)
        enters = enters.view(-1, *(1 for _ in fake.shape[1:]))
        found = self.past.index_select(0, place)
        self.past.index_copy_(0, place, torch.where(enters, fake, found))
        self.count.copy_((self.count + 1).clamp(max=self.size))
        return torch.where(enters & full.view_as(enters), found, fake)


@frozen
class LeastSquares:
    """The adversarial loss of LSGAN (Mao et al. 2017), in place of Eq. 1 (section 4, "Training details")."""

    def generator(self, fake_score: Tensor) -> Tensor:
        """E[(D(G(x)) - 1)^2]."""
        return (fake_score - 1).square().mean()

    def discriminator(self, real_score: Tensor, fake_score: Tensor) -> Tensor:
        """(E[(D(y) - 1)^2] + E[D(G(x))^2]) / 2: halved, which slows D down (appendix 7.1)."""
        return ((real_score - 1).square().mean() + fake_score.square().mean()) / 2


def cycle(reconstructed: Tensor, source: Tensor) -> Tensor:
    """E[|F(G(x)) - x|_1], Eq. 2, a mean over elements as in the authors' code; its weight lambda is 10."""
    return (reconstructed - source).abs().mean()


def unchanged(identity: Tensor, real: Tensor) -> Tensor:
    """E[|G(y) - y|_1], L_identity of section 5.2; its weight is lambda / 2."""
    return (identity - real).abs().mean()


G, F = Network("G", "generator", ("A", "B")), Network("F", "generator", ("B", "A"))
D_X, D_Y = Network("D_X", "discriminator", ("A",)), Network("D_Y", "discriminator", ("B",))


@frozen
class CycleGAN(Coupling):
    """Figure 3a: G translates X to Y, F translates back, and each domain has a discriminator."""

    players = ("generator", "discriminator")
    networks = (G, F, D_X, D_Y)
    views = (
        View(
            "AB", ("A", "B"), {"source": "A", "real": "B"}, {"generator": "G", "inverse": "F", "discriminator": "D_Y"}
        ),
        View(
            "BA", ("B", "A"), {"source": "B", "real": "A"}, {"generator": "F", "inverse": "G", "discriminator": "D_X"}
        ),
    )


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register what CycleGAN adds."""
    register.coupling("cyclegan", CycleGAN)
    register.value("pool", Pool)
    register.loss("least-squares", LeastSquares)
    register.loss("cycle", cycle)
    register.loss("unchanged", unchanged)
