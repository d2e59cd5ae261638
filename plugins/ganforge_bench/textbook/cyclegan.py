"""CycleGAN's step (Zhu et al. 2017, arXiv 1703.10593, sections 3, 4 and 7), in the order of its authors' code.

The generators play first, with cycles and identities; the discriminators are then shown these translations, or older
ones from a pool. ResNet with 9 blocks, PatchGAN of 70x70 pixels, full precision, torch's default optimizer.
"""

import random
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

CYCLE, IDENTITY, POOL, BLOCKS = 10.0, 0.5, 50, 9


def make(batch: Mapping[str, Tensor], width: int = 64) -> "Step":
    """Make the step for pictures A and B, [N, C, H, W] in [0, 1]; height and width are multiples of 4."""
    return Step(batch["A"], batch["B"], width)


class Step:
    """Two generators, two discriminators, two pools."""

    def __init__(self, a: Tensor, b: Tensor, width: int) -> None:
        self.ab, self.ba = generator(a.shape[1], b.shape[1], width), generator(b.shape[1], a.shape[1], width)
        self.d_a, self.d_b = discriminator(a.shape[1], width), discriminator(b.shape[1], width)
        self.networks = {"G_AB": self.ab, "G_BA": self.ba, "D_A": self.d_a, "D_B": self.d_b}
        for network in self.networks.values():
            network.to(a.device)
        self.for_g, self.for_d = adam(self.ab, self.ba), adam(self.d_a, self.d_b)
        self.past_a, self.past_b = Pool(), Pool()

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Train the generators, then the discriminators; return both losses."""
        a, b = 2 * batch["A"] - 1, 2 * batch["B"] - 1

        # The generators learn to pass for real, to find the way back, and to leave alone what needs no translation.
        ab, ba = self.ab(a), self.ba(b)
        back_a, back_b = self.ba(ab), self.ab(ba)
        let_learn(self.d_a, self.d_b, learn=False)
        self.for_g.zero_grad()
        g_loss = IDENTITY * CYCLE * (l1_loss(self.ba(a), a) + l1_loss(self.ab(b), b))
        g_loss = g_loss + judge(self.d_b, ab, 1) + judge(self.d_a, ba, 1)
        g_loss = g_loss + CYCLE * (l1_loss(back_a, a) + l1_loss(back_b, b))
        g_loss.backward()  # type: ignore[no-untyped-call]
        self.for_g.step()

        # The discriminators learn to tell real pictures from present and past translations.
        let_learn(self.d_a, self.d_b, learn=True)
        self.for_d.zero_grad()
        d_losses = []
        for network, real, fake in ((self.d_a, a, self.past_a(ba)), (self.d_b, b, self.past_b(ab))):
            d_losses.append(0.5 * (judge(network, real, 1) + judge(network, fake, 0)))
            d_losses[-1].backward()  # type: ignore[no-untyped-call]
        self.for_d.step()
        return {"generator": g_loss.detach(), "discriminator": (d_losses[0] + d_losses[1]).detach()}


class Pool:
    """Past translations: with probability 1/2 one of them is shown, and the new one takes its place (section 4)."""

    def __init__(self) -> None:
        self.past: list[Tensor] = []

    def __call__(self, fakes: Tensor) -> Tensor:
        """Exchange translations, [N, C, H, W]."""
        return torch.cat([self.exchange(fake) for fake in torch.split(fakes.detach(), 1)])

    def exchange(self, fake: Tensor) -> Tensor:
        """Keep a translation, and return it or an older one."""
        if len(self.past) < POOL:
            self.past.append(fake)
        elif random.random() > 0.5:
            place = random.randrange(POOL)
            fake, self.past[place] = self.past[place], fake
        return fake


def judge(network: nn.Module, pictures: Tensor, target: int) -> Tensor:
    """Return the mean squared distance of the scores of pictures from a target, 1 for real and 0 for fake."""
    score = network(pictures)
    return mse_loss(score, torch.full_like(score, target))


def let_learn(*networks: nn.Module, learn: bool) -> None:
    """Turn gradients of the networks' weights on or off."""
    for network in networks:
        network.requires_grad_(learn)


def adam(*networks: nn.Module) -> torch.optim.Adam:
    """Return the paper's optimizer."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999))


def generator(channels_in: int, channels_out: int, width: int) -> nn.Sequential:
    """Return c7s1-64, d128, d256, nine R256, u128, u64, c7s1-3 (section 7.2); pixels in [-1, 1]."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(channels_in, width, 7), *normed(width)]
    for channels in (width, 2 * width):
        layers += [nn.Conv2d(channels, 2 * channels, 3, 2, 1), *normed(2 * channels)]
    layers += [Block(4 * width) for _ in range(BLOCKS)]
    for channels in (4 * width, 2 * width):
        layers += [nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, output_padding=1), *normed(channels // 2)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, channels_out, 7), nn.Tanh())


def normed(channels: int) -> list[nn.Module]:
    """Return the layers that follow a convolution."""
    return [nn.InstanceNorm2d(channels), nn.ReLU(True)]


class Block(nn.Module):
    """A residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), *normed(channels)]
        second = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]
        self.layers = nn.Sequential(*first, *second)

    def forward(self, x: Tensor) -> Tensor:
        """Compute [N, C, H, W] to the same shape."""
        changed: Tensor = x + self.layers(x)
        return changed


def discriminator(channels: int, width: int) -> nn.Sequential:
    """Return C64, C128, C256, C512 and a convolution to logits [N, 1, H', W'] (section 7.2)."""
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for before, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
        layers += [nn.Conv2d(before, 2 * before, 4, stride, 1), nn.InstanceNorm2d(2 * before), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))
