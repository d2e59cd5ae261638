"""Networks of StyleGAN2's layers (Karras et al. 2020, arXiv 1912.04958), as in SinCUT.

Park et al. 2020 (arXiv 2007.15651) train them on crops of a single picture; the layers follow their code.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
from attrs.validators import ge, le
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear, pad

from ganforge import Shape
from ganforge_networks.layers import Width, activations, from_signed, require_pictures, size_of, to_signed


class Generator(nn.Module):
    """Residual blocks without styles, with noise at each doubling; values are not limited to [0, 1].

    Args:
        source_shape: (channels, height, width) of the input; height and width are multiples of 2^halvings.
        target_shape: the same of the output; only the channels may differ.
        width: channels are 512 width / side, at most 512 for sides of 32 or less; the side is rounded to the nearest
            power of two.
        blocks: residual blocks that keep the size, half of them before and half after the innermost point.
        halvings: halvings of height and width.
    """

    def __init__(
        self,
        source_shape: Shape,
        target_shape: Shape,
        *,
        width: Width = 10,
        blocks: Annotated[int, ge(0), le(100)] = 6,
        halvings: Annotated[int, ge(0), le(8)] = 1,
    ) -> None:
        super().__init__()
        require_pictures("stylegan2", source_shape, target_shape)
        if any(side % 2**halvings for side in source_shape[1:]):
            raise ValueError(
                f"'stylegan2' halves pictures {halvings} times, but {size_of(source_shape)} cannot be halved so often"
            )
        side = 2 ** round(math.log2(min(source_shape[1:])))
        sides = [side // 2**level for level in range(halvings + 1)]
        channels = [max(1, _capped(round(512 * width / side), side, 512)) for side in sides]
        keep = [_Block(channels[-1], channels[-1], halve=False) for _ in range(2 * (blocks // 2))]
        halve = [_Block(*pair, halve=True) for pair in pairwise(channels)]  # [N, C, H/2, W/2]
        double = [_Double(*pair) for pair in pairwise(channels[::-1])]  # [N, C, 2 H, 2 W]
        half = len(keep) // 2
        self.encoder = nn.Sequential(nn.Identity(), _convolve(source_shape[0], channels[0], 1), *halve, *keep[:half])
        self.decoder = nn.Sequential(*keep[half:], *double, _convolve(channels[0], target_shape[0], 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """Translate pictures: [N, C, H, W] in [0, 1] to [N, C', H, W]."""
        return from_signed(self.decoder(self.encoder(to_signed(pictures))))

    def features(self, pictures: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Return the activations after some layers of the encoder, and compute no further layers.

        Args:
            pictures: [N, C, H, W] in [0, 1].
            layers: indices, from 0, as in the public code, such as SinCUT's 0, 2, 4.

        Raises:
            ValueError: there is no such layer.
        """
        return activations(list(self.encoder), to_signed(pictures), layers)


class Discriminator(nn.Module):
    """Residual blocks that halve the picture down to 4x4 pixels, and two linear layers; no norm.

    Args:
        shape: (channels, height, width) of a picture; a square whose side is a power of two, 8 or more.
        width: channels are 256 width / side, at most 384 for sides of 32 or less.
    """

    def __init__(self, shape: Shape, *, width: Width = 8) -> None:
        super().__init__()
        require_pictures("stylegan2", shape)
        side = shape[1]
        if side != shape[2] or side < 8 or side & (side - 1):
            raise ValueError(f"'stylegan2' takes squares whose side is 8, 16, 32, 64 and so on; got {size_of(shape)}")
        sides = [side // 2**level for level in range(int(math.log2(side)) - 1)]  # ..., 8, 4
        channels = [max(1, _capped(256 * width // side, side, 384)) for side in sides]
        halve = [_Block(*pair, halve=True) for pair in pairwise(channels)]  # [N, C, H/2, W/2]
        self.blocks = nn.Sequential(_convolve(shape[0], channels[0], 1), *halve)
        self.last = _convolve(channels[-1], channels[-1], 3)
        self.judge = nn.Sequential(_Linear(channels[-1] * 16, channels[-1], active=True), _Linear(channels[-1], 1))

    def forward(self, pictures: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Score pictures.

        Args:
            pictures: [N, C, H, W] in [0, 1].

        Returns:
            score: logit of being real, [N, 1].
            features: activations of the hidden layers, [N, ...] each.
        """
        hidden = [to_signed(pictures)]
        for block in (*self.blocks, self.last):
            hidden.append(block(hidden[-1]))
        return self.judge(hidden[-1].flatten(1)), tuple(hidden[1:])


def _capped(channels: int, side: int, most: int) -> int:
    return min(most, channels) if side <= 32 else channels


class _Blur(nn.Module):
    """A blur with [1, 3, 3, 1] after zero padding; the kernel sums to `gain`."""

    kernel: Tensor

    def __init__(self, padding: int, gain: float = 1.0) -> None:
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0])
        self.padding = padding
        self.register_buffer("kernel", gain * line[:, None] * line / 64)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.kernel.flip(0, 1).expand(x.shape[1], 1, 4, 4)
        return conv2d(pad(x, [self.padding] * 4), kernel, groups=x.shape[1])


class _Convolution(nn.Module):
    """A convolution whose weights are divided by sqrt(fan in) whenever it is used (Karras et al. 2018, section 4.1)."""

    def __init__(self, channels_in: int, channels_out: int, size: int, stride: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in, size, size))
        self.stride, self.padding = stride, size // 2 if stride == 1 else 0
        self.scale = 1 / math.sqrt(channels_in * size**2)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight * self.scale, stride=self.stride, padding=self.padding)


class _Activation(nn.Module):
    """A bias, a leaky ReLU, and a gain that keeps the variance."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(x + self.bias, 0.2) * math.sqrt(2)


class _Linear(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, active: bool = False) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(outputs, inputs)), nn.Parameter(torch.zeros(outputs))
        self.active, self.scale = active, 1 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        made = linear(x, self.weight * self.scale, self.bias)
        return leaky_relu(made, 0.2) * math.sqrt(2) if self.active else made


def _convolve(channels_in: int, channels_out: int, size: int, *, halve: bool = False, active: bool = True) -> nn.Module:
    blur = [_Blur((size + 1) // 2)] if halve else []
    then = [_Activation(channels_out)] if active else []
    return nn.Sequential(*blur, _Convolution(channels_in, channels_out, size, 2 if halve else 1), *then)


class _Block(nn.Module):
    """Two convolutions plus a skip connection, divided by sqrt(2)."""

    def __init__(self, channels_in: int, channels_out: int, *, halve: bool) -> None:
        super().__init__()
        self.first = _convolve(channels_in, channels_in, 3)
        self.second = _convolve(channels_in, channels_out, 3, halve=halve)
        self.skip = _convolve(channels_in, channels_out, 1, halve=True, active=False) if halve else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return (self.second(self.first(x)) + self.skip(x)) / math.sqrt(2)  # type: ignore[no-any-return]


class _Double(nn.Module):
    """Double height and width by a deconvolution with normalised weights and a blur, then add noise."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in, 3, 3))
        self.blur = _Blur(1, gain=4.0)
        self.strength = nn.ParameterList([torch.zeros(1)])
        self.activation = _Activation(channels_out)
        self.scale = 1 / math.sqrt(channels_in * 9)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        weight = weight * torch.rsqrt(weight.square().sum([1, 2, 3], keepdim=True) + 1e-8)
        doubled = self.blur(conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        noise = torch.randn_like(doubled[:, :1])
        return self.activation(doubled + self.strength[0] * noise)  # type: ignore[no-any-return]
