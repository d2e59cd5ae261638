"""StarGAN's networks (Choi et al. 2018, appendix, Tables 4 and 5)."""

from itertools import pairwise
from typing import Annotated

import torch
from attrs.validators import ge, le
from torch import Tensor, nn

from ganforge import Shape
from ganforge_networks.layers import Width, from_signed, require_pictures, size_of, to_signed

Domains = Annotated[int, ge(1), le(1000)]


class Generator(nn.Module):
    """G(x, c): planes with the label's one-hot code are stacked on the picture (section 3.1).

    A 7x7 convolution, two that halve the picture, residual blocks, two deconvolutions, a 7x7 convolution, tanh. None
    has a bias; all but the last are followed by instance norm with scale and shift.

    Args:
        source_shape: (channels, height, width) of a picture; height and width are multiples of 4.
        target_shape: the same; only the channels may differ.
        domains: number of the coupling's domains.
        width: channels after the first convolution.
        blocks: residual blocks.
    """

    codes: Tensor

    def __init__(
        self,
        source_shape: Shape,
        target_shape: Shape,
        *,
        domains: Domains,
        width: Width = 64,
        blocks: Annotated[int, ge(0), le(100)] = 6,
    ) -> None:
        super().__init__()
        _require_multiples(4, source_shape, target_shape)
        channels = [width, 2 * width, 4 * width]
        layers = _normed(nn.Conv2d(source_shape[0] + domains, width, 7, 1, 3, bias=False))  # [N, width, H, W]
        for level in range(2):
            layers += _normed(nn.Conv2d(channels[level], channels[level + 1], 4, 2, 1, bias=False))
        layers += [Residual(channels[2]) for _ in range(blocks)]  # [N, 4 width, H/4, W/4]
        for level in (2, 1):
            layers += _normed(nn.ConvTranspose2d(channels[level], channels[level - 1], 4, 2, 1, bias=False))
        layers += [nn.Conv2d(width, target_shape[0], 7, 1, 3, bias=False), nn.Tanh()]  # [N, C', H, W]
        self.layers = nn.Sequential(*layers)
        self.multiple, self.least = 4, 8
        self.register_buffer("codes", torch.eye(domains), persistent=False)

    def forward(self, pictures: Tensor, label: int) -> Tensor:
        """Translate pictures, [N, C, H, W] in [0, 1], into the domain with this label, to [N, C', H, W] in [0, 1]."""
        if label >= len(self.codes):
            raise ValueError(f"no domain has the label {label}; set generator.domains to that of the coupling")
        code = self.codes[label].to(pictures.dtype)  # [domains]
        planes = code[None, :, None, None].expand(pictures.shape[0], -1, *pictures.shape[2:])
        return from_signed(self.layers(torch.cat([to_signed(pictures), planes], 1)))


class Residual(nn.Module):
    """x + IN(conv3(ReLU(IN(conv3(x)))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first = _normed(nn.Conv2d(channels, channels, 3, 1, 1, bias=False))
        second = _normed(nn.Conv2d(channels, channels, 3, 1, 1, bias=False))[:-1]
        self.layers = nn.Sequential(*first, *second)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [N, C, H, W]."""
        changed: Tensor = self.layers(hidden)
        return hidden + changed


class Discriminator(nn.Module):
    """D with two heads: D_src scores patches, D_cls predicts the domain (section 3.1); no norm.

    Args:
        shape: (channels, height, width) of a picture; height and width are multiples of 2**halvings.
        domains: number of the coupling's domains.
        width: channels after the first convolution; they double with each halving.
        halvings: 4x4 convolutions that halve the picture.
    """

    def __init__(
        self, shape: Shape, *, domains: Domains, width: Width = 64, halvings: Annotated[int, ge(1), le(10)] = 6
    ) -> None:
        super().__init__()
        _require_multiples(2**halvings, shape)
        left = (shape[1] // 2**halvings, shape[2] // 2**halvings)
        channels = [shape[0], *(width * 2**level for level in range(halvings))]
        self.halve = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.01)) for before, after in pairwise(channels)
        )
        self.judge = nn.Conv2d(channels[-1], 1, 3, 1, 1, bias=False)
        self.classify = nn.Conv2d(channels[-1], domains, left, bias=False)

    def forward(self, pictures: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Score pictures and classify their domain.

        Args:
            pictures: [N, C, H, W] in [0, 1].

        Returns:
            score: logits of being real, [N, 1, H/2**halvings, W/2**halvings].
            features: the activation after each halving, [N, ...] each; the last entry are the logits of D_cls,
                [N, domains].
        """
        features, hidden = [], to_signed(pictures)
        for halve in self.halve:
            hidden = halve(hidden)  # [N, width 2^level, H/2^(level+1), W/2^(level+1)]
            features.append(hidden)
        return self.judge(hidden), (*features, self.classify(hidden).flatten(1))


def _normed(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    """Return a convolution followed by instance norm and ReLU."""
    return [convolution, nn.InstanceNorm2d(convolution.out_channels, affine=True), nn.ReLU(inplace=True)]


def _require_multiples(step: int, *shapes: Shape) -> None:
    require_pictures("stargan", *shapes)
    if any(side % step for side in shapes[0][1:]):
        raise ValueError(f"'stargan' needs a height and width that are multiples of {step}; got {size_of(shapes[0])}")
