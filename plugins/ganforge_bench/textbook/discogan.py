"""DiscoGAN's step for pictures (Kim et al. 2017, arXiv 1703.05192, Algorithm of section 2.3 and section 3.2).

Each player recomputes every pass, in full precision, with torch's default optimizer, as public code does.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss


def make(batch: Mapping[str, Tensor], width: int = 64) -> "Step":
    """Make the step for pictures A and B, [N, C, H, W] in [0, 1]; height and width are multiples of 16."""
    return Step(batch["A"], batch["B"], width)


class Step:
    """Two generators with the losses of Eq. 3 and 4, two discriminators with that of Eq. 6."""

    def __init__(self, a: Tensor, b: Tensor, width: int) -> None:
        self.ab, self.ba = generator(a.shape[1], b.shape[1], width), generator(b.shape[1], a.shape[1], width)
        self.d_a, self.d_b = discriminator(a, width), discriminator(b, width)
        self.networks = {"G_AB": self.ab, "G_BA": self.ba, "D_A": self.d_a, "D_B": self.d_b}
        for network in self.networks.values():
            network.to(a.device)
        self.for_g, self.for_d = adam(self.ab, self.ba), adam(self.d_a, self.d_b)

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Train the discriminators, then the generators; return both losses."""
        a, b = batch["A"], batch["B"]

        # The discriminators learn to tell real pictures from translations.
        d_loss = judge(self.d_b, b, 1) + judge(self.d_b, self.ab(a).detach(), 0)
        d_loss = d_loss + judge(self.d_a, a, 1) + judge(self.d_a, self.ba(b).detach(), 0)
        self.for_d.zero_grad()
        d_loss.backward()  # type: ignore[no-untyped-call]
        self.for_d.step()

        # The generators learn to pass for real, and to find the way back.
        ab, ba = self.ab(a), self.ba(b)
        g_loss = judge(self.d_b, ab, 1) + judge(self.d_a, ba, 1)
        g_loss = g_loss + mse_loss(self.ba(ab), a) + mse_loss(self.ab(ba), b)
        self.for_g.zero_grad()
        g_loss.backward()  # type: ignore[no-untyped-call]
        self.for_g.step()
        return {"discriminator": d_loss.detach(), "generator": g_loss.detach()}


def judge(network: nn.Module, pictures: Tensor, target: int) -> Tensor:
    """Return the binary cross entropy of the scores of pictures, with target 1 for real and 0 for fake."""
    score = network(pictures)
    return binary_cross_entropy_with_logits(score, torch.full_like(score, target))


def adam(*networks: nn.Module) -> torch.optim.Adam:
    """Return the paper's optimizer."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999), weight_decay=1e-4)


def generator(channels_in: int, channels_out: int, width: int) -> nn.Sequential:
    """Return four convolutions that halve the picture and four deconvolutions that double it."""
    sizes = [width * 2**level for level in range(4)]
    layers: list[nn.Module] = halvings(channels_in, sizes)
    for before, after in pairwise(reversed(sizes)):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, channels_out, 4, 2, 1, bias=False), nn.Sigmoid())


def discriminator(pictures: Tensor, width: int) -> nn.Sequential:
    """Return four convolutions that halve the picture and one that makes a logit of the rest."""
    _, channels, height, breadth = pictures.shape
    sizes = [width * 2**level for level in range(4)]
    judging = nn.Conv2d(sizes[-1], 1, (height // 16, breadth // 16), bias=False)
    return nn.Sequential(*halvings(channels, sizes), judging)


def halvings(channels: int, sizes: list[int]) -> list[nn.Module]:
    """Return 4x4 convolutions that halve the picture; the first one has no batch norm."""
    layers: list[nn.Module] = [nn.Conv2d(channels, sizes[0], 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for before, after in pairwise(sizes):
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2, True)]
    return layers
