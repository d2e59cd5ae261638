"""pix2pix: translation learnt from pairs (Isola et al. 2017, arXiv:1611.07004), from A to B.

The discriminator sees the source beside the target; the generator's noise is dropout, in use as in training (3.1, 3.3).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from attrs import frozen
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu, relu

from ganforge import Coupling, Network, PictureDataset, Register, Samples, Shape, Split, Stored, View, hookimpl


def paired(source: Tensor, target: Tensor) -> Tensor:
    """(x, y), stacked along the channels: what D is shown, Eq. 1."""
    return torch.cat([source, target], 1)


def l1(fake: Tensor, real: Tensor) -> Tensor:
    """E|y - G(x, z)|, Eq. 3."""
    return (real - fake).abs().mean()


class Generator(nn.Module):
    """A small U-Net with batch normalisation and dropout."""

    def __init__(self, source_shape: Shape, target_shape: Shape, *, width: int = 64, rate: float = 0.5) -> None:
        super().__init__()
        self.rate = rate
        self.down1 = nn.Conv2d(source_shape[0], width, 4, 2, 1)
        self.down2 = nn.Conv2d(width, 2 * width, 4, 2, 1)
        self.norm2, self.norm1 = nn.BatchNorm2d(2 * width), nn.BatchNorm2d(width)
        self.up2 = nn.ConvTranspose2d(2 * width, width, 4, 2, 1)
        self.up1 = nn.ConvTranspose2d(2 * width, target_shape[0], 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Translate pictures in [0, 1]; no two translations are the same."""
        skip = leaky_relu(self.down1(x), 0.2)  # [N, width, H/2, W/2]
        inner = dropout(relu(self.norm2(self.down2(skip))), self.rate, training=True)  # [N, 2 width, H/4, W/4]
        return self.up1(torch.cat([relu(self.norm1(self.up2(inner))), skip], 1)).sigmoid()


class Discriminator(nn.Module):
    """A small PatchGAN: one score for each of overlapping patches (Section 3.2.2)."""

    def __init__(self, shape: Shape, *, width: int = 64) -> None:
        super().__init__()
        self.first, self.judge = nn.Conv2d(shape[0], width, 4, 2, 1), nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, pairs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Judge pairs, [N, 2 C, H, W]."""
        hidden = leaky_relu(self.first(pairs), 0.2)
        return self.judge(hidden), (hidden,)


@frozen
class Pix2pix(Coupling):
    """G from A to B, and a D of both together (Figure 2, Eq. 4)."""

    networks = (Network("G", "generator", ("A", "B")), Network("D", "discriminator", ("A", "B")))
    views = (View("AB", ("A", "B"), {"source": "A", "real": "B"}, {"generator": "G", "discriminator": "D"}),)


class Negatives(PictureDataset):
    """Pairs of a picture and its negative, [3, 8, 8]."""

    shapes = dict.fromkeys(("A", "B"), (3, 8, 8))
    groups = (("A", "B"),)

    def open(self, split: Split) -> Mapping[str, Samples]:
        """Return twelve pairs, the same ones in both splits."""
        pictures = torch.randint(256, (12, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        return {"A": Stored(12, pictures.__getitem__), "B": Stored(12, (255 - pictures).__getitem__)}

    def read(self, domain: str, path: Path) -> Tensor:
        """Read a picture of 8 x 8."""
        return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


@hookimpl
def ganforge_register(register: Register) -> None:
    register.value("paired", paired)
    register.loss("paired-l1", l1)
    register.generator("pix2pix", Generator)
    register.discriminator("pix2pix", Discriminator)
    register.coupling("pix2pix", Pix2pix)
    register.dataset("negatives", Negatives)
