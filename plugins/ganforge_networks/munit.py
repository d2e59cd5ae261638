"""MUNIT's networks (Huang et al. 2018, section 5.1 and appendix B).

All convolutions have a bias and pad by reflection.
"""

from itertools import pairwise
from typing import Annotated

import torch
from attrs.validators import ge, le
from torch import Tensor, nn
from torch.nn.functional import relu

from ganforge import Shape
from ganforge_networks.initialise import initialise
from ganforge_networks.layers import Width, from_signed, require_pictures, size_of, to_signed

Blocks = Annotated[int, ge(1), le(100)]
Halvings = Annotated[int, ge(1), le(8)]


class ContentEncoder(nn.Module):
    """E^c: a 7x7 convolution, convolutions that halve the picture, residual blocks; instance norm removes the style.

    Args:
        shape: (channels, height, width) of a picture; height and width are multiples of 2**halvings.
        width: channels after the first convolution; they double with each halving.
        halvings: 4x4 convolutions that halve the picture.
        blocks: residual blocks.
    """

    def __init__(self, shape: Shape, *, width: Width = 64, halvings: Halvings = 2, blocks: Blocks = 4) -> None:
        super().__init__()
        _require_sides("content-encoder", shape, step=2**halvings, least=2 ** (halvings + 1))
        self.halvings, self.channels = halvings, width * 2**halvings
        self.multiple, self.least = 2**halvings, 2 ** (halvings + 1)
        layers = [*_convolution(shape[0], width, 7), nn.InstanceNorm2d(width), nn.ReLU(inplace=True)]
        for level in range(halvings):
            layers += _convolution(width * 2**level, width * 2 ** (level + 1), 4, 2)
            layers += [nn.InstanceNorm2d(width * 2 ** (level + 1)), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, *(Residual(self.channels) for _ in range(blocks)))
        initialise(self, "kaiming")

    def forward(self, pictures: Tensor) -> Tensor:
        """Encode pictures, [N, C, H, W] in [0, 1], as [N, width 2**halvings, H/2**halvings, W/2**halvings]."""
        content: Tensor = self.layers(to_signed(pictures))
        return content


class StyleEncoder(nn.Module):
    """E^s: a 7x7 convolution, convolutions that halve the picture, global pooling, a 1x1 convolution; no norm.

    Args:
        shape: (channels, height, width) of a picture; height and width are at least 2**halvings.
        style: length of a style vector, given by the coupling.
        width: channels after the first convolution; they double with each of the first two halvings.
        halvings: 4x4 convolutions that halve the picture.
    """

    def __init__(self, shape: Shape, style: int, *, width: Width = 64, halvings: Halvings = 4) -> None:
        super().__init__()
        _require_sides("style-encoder", shape, least=max(4, 2**halvings))
        layers = [*_convolution(shape[0], width, 7), nn.ReLU(inplace=True)]
        channels = [width * 2 ** min(level, 2) for level in range(halvings + 1)]
        for before, after in pairwise(channels):
            layers += [*_convolution(before, after, 4, 2), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels[-1], style, 1), nn.Flatten())
        initialise(self, "kaiming")

    def forward(self, pictures: Tensor) -> Tensor:
        """Encode pictures, [N, C, H, W] in [0, 1], as styles, [N, style]."""
        style: Tensor = self.layers(to_signed(pictures))
        return style


class Decoder(nn.Module):
    """G: residual blocks whose scale and shift are set by the style (AdaIN), nearest upsampling with 5x5 convolutions.

    Three linear layers compute all scales and shifts from a style. Layer norm after upsampling keeps AdaIN's effect.

    Args:
        shape: (channels, height, width) of a picture.
        style: length of a style vector, given by the coupling.
        content_encoder: the encoder that it inverts, given by the coupling.
        blocks: residual blocks.
        hidden: units of the linear layers.
    """

    def __init__(
        self, shape: Shape, style: int, content_encoder: ContentEncoder, *, blocks: Blocks = 4, hidden: Width = 256
    ) -> None:
        super().__init__()
        self.multiple = 1
        channels = content_encoder.channels
        self.blocks = nn.ModuleList(Residual(channels) for _ in range(blocks))
        linear = [nn.Linear(style, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 4 * channels * blocks)]
        self.affine = nn.Sequential(linear[0], nn.ReLU(inplace=True), linear[1], nn.ReLU(inplace=True), linear[2])
        layers: list[nn.Module] = []
        for _ in range(content_encoder.halvings):
            layers += [nn.Upsample(scale_factor=2), *_convolution(channels, channels // 2, 5)]
            layers += [LayerNorm(channels // 2), nn.ReLU(inplace=True)]
            channels //= 2
        self.layers = nn.Sequential(*layers, *_convolution(channels, shape[0], 7), nn.Tanh())
        initialise(self, "kaiming")

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """Decode contents and styles to pictures, [N, C, H, W] in [0, 1]."""
        affine = self.affine(style)[:, :, None, None].chunk(len(self.blocks), 1)
        for block, own in zip(self.blocks, affine, strict=True):
            content = block(content, own)
        return from_signed(self.layers(content))


class Residual(nn.Module):
    """x + norm(conv3(ReLU(norm(conv3(x))))); the norm is an instance norm with or without given scale and shift."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(*_convolution(channels, channels, 3))
        self.second = nn.Sequential(*_convolution(channels, channels, 3))
        self.norm = nn.InstanceNorm2d(channels)

    def forward(self, hidden: Tensor, affine: Tensor | None = None) -> Tensor:
        """Return [N, C, H, W]; `affine` is [N, 4 C, 1, 1]: shift and scale of the first norm, then of the second."""
        changed = self.norm(self.first(hidden))
        if affine is None:
            return hidden + self.norm(self.second(relu(changed)))  # type: ignore[no-any-return]
        shift, scale, second_shift, second_scale = affine.chunk(4, 1)
        changed = relu(scale * changed + shift)
        return hidden + second_scale * self.norm(self.second(changed)) + second_shift  # type: ignore[no-any-return]


class LayerNorm(nn.Module):
    """Normalises each sample over all channels and positions; scale and shift for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.rand(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [N, C, H, W]; the epsilon is added to the deviation, as in the authors' code."""
        return self.normalised(hidden, *self.moments(hidden))

    def moments(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of each sample, [N, 1, 1, 1]."""
        variance, mean = torch.var_mean(hidden, (1, 2, 3), keepdim=True)
        return mean, variance

    def normalised(self, hidden: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the result of `forward` for [N, C, H, W] with this mean and variance."""
        return (hidden - mean) / (variance.sqrt() + 1e-5) * self.scale[:, None, None] + self.shift[:, None, None]


class Discriminator(nn.Module):
    """D: a network for each scale, with 4x4 convolutions that halve the picture and a 1x1 convolution; no norm.

    Args:
        shape: (channels, height, width) of a picture; height and width are at least 2**(layers + scales - 1).
        width: channels after the first convolution; they double with each further one.
        layers: convolutions that halve the picture.
        scales: number of networks; each sees the picture at half the size of the previous one.
    """

    def __init__(
        self, shape: Shape, *, width: Width = 64, layers: Halvings = 4, scales: Annotated[int, ge(1), le(8)] = 3
    ) -> None:
        super().__init__()
        _require_sides("munit", shape, least=2 ** (layers + scales - 1))
        channels = [shape[0], *(width * 2**level for level in range(layers))]
        self.halve = nn.ModuleList(
            nn.ModuleList(
                nn.Sequential(*_convolution(before, after, 4, 2), nn.LeakyReLU(0.2))
                for before, after in pairwise(channels)
            )
            for _ in range(scales)
        )
        self.judge = nn.ModuleList(nn.Conv2d(channels[-1], 1, 1) for _ in range(scales))
        self.shrink = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        initialise(self, "dcgan")

    def forward(self, pictures: Tensor) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Score pictures.

        Args:
            pictures: [N, C, H, W] in [0, 1].

        Returns:
            scores: a map for each scale, the finest first, which is [N, 1, H/2**layers, W/2**layers].
            features: the activation after each halving, scale by scale, [N, ...] each.
        """
        scores, features, shown = [], [], to_signed(pictures)
        for halvings, judge in zip(self.halve, self.judge, strict=True):
            hidden = shown
            for halve in halvings:  # type: ignore[attr-defined]
                hidden = halve(hidden)
                features.append(hidden)
            scores.append(judge(hidden))
            shown = self.shrink(shown)
        return scores, tuple(features)


def _convolution(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution with reflection padding that keeps or halves the size."""
    border = nn.ReflectionPad2d((kernel - 1) // 2)
    return [border, nn.Conv2d(channels_in, channels_out, kernel, stride)]


def _require_sides(name: str, shape: Shape, step: int = 1, least: int = 4) -> None:
    require_pictures(name, shape)
    if any(side % step for side in shape[1:]):
        raise ValueError(f"'{name}' needs a height and width that are multiples of {step}; got {size_of(shape)}")
    if min(shape[1:]) < least:
        raise ValueError(f"'{name}' needs pictures of {least}x{least} or more; got {size_of(shape)}")
