"""pix2pix's generator (Isola et al. 2017, arXiv 1611.07004, section 3.2.1) as in the authors' PyTorch code."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from attrs.validators import ge, le
from torch import Tensor, nn
from torch.nn.functional import dropout as drop

from ganforge import Shape
from ganforge_networks.initialise import Preset, initialise
from ganforge_networks.layers import (
    Norm,
    Rate,
    Width,
    activations,
    enlarge,
    from_signed,
    normalisation,
    require_pictures,
    size_of,
    to_signed,
)


class Generator(nn.Module):
    """U-Net: an encoder, and a decoder with skip connections from each level; values in [0, 1].

    Convolutions have a bias if the norm is `instance`, as in the authors' code; the first and the innermost have no
    norm. Dropout is the generator's noise, so it is always active.

    Args:
        source_shape: (channels, height, width) of the input; height and width are multiples of 2^levels.
        target_shape: the same of the output; only the channels may differ.
        width: channels after the first convolution; they double with each level, up to 8 times as many.
        levels: convolutions that halve height and width: 8 for 256x256 and 7 for 128x128, down to 1x1.
        norm: normalisation after a convolution.
        dropout: dropout rate in the decoder's levels - 5 blocks after the innermost one, at least in one block.
        up: `deconvolution`, or a convolution after a `resize` that repeats pixels (Odena et al. 2016).
        init: preset of the initial weights.
    """

    def __init__(
        self,
        source_shape: Shape,
        target_shape: Shape,
        *,
        width: Width = 64,
        levels: Annotated[int, ge(2), le(12)] = 8,
        norm: Norm = "batch",
        dropout: Rate = 0.5,
        up: Literal["deconvolution", "resize"] = "deconvolution",
        init: Preset = "dcgan",
    ) -> None:
        super().__init__()
        require_pictures("unet", source_shape, target_shape)
        _require_halvings(source_shape, levels)
        channels = [width * min(2**level, 8) for level in range(levels)]
        bias = norm == "instance"
        encoder: list[nn.Module] = [nn.Conv2d(source_shape[0], width, 4, 2, 1, bias=bias)]  # [N, width, H/2, W/2]
        for level in range(1, levels):
            halve = nn.Conv2d(channels[level - 1], channels[level], 4, 2, 1, bias=bias)
            normalise = normalisation(norm, channels[level]) if level < levels - 1 else []
            encoder += [nn.Sequential(nn.LeakyReLU(0.2), halve, *normalise)]  # [N, channels, H/2^(level+1), ...]
        decoder: list[nn.Module] = []
        for level in range(levels - 1, 0, -1):
            inputs = channels[level] * (1 if level == levels - 1 else 2)
            double = _double(inputs, channels[level - 1], up, bias)  # [N, channels, H/2^level, ...]
            rate = dropout if levels - 1 - max(1, levels - 5) <= level < levels - 1 else 0.0
            decoder += [nn.Sequential(nn.ReLU(), *double, *normalisation(norm, channels[level - 1]), Dropout(rate))]
        decoder += [nn.Sequential(nn.ReLU(), *_double(2 * width, target_shape[0], up, True), nn.Tanh())]
        self.multiple = 2**levels
        self.noisy = dropout > 0  # outside of training, too
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        initialise(self, init)

    def forward(self, pictures: Tensor) -> Tensor:
        """Translate pictures: [N, C, H, W] in [0, 1] to [N, C', H, W] in [0, 1]."""
        hidden = self.features(pictures, range(len(self.encoder)))
        made = self.decoder[0](hidden.pop())
        for block in list(self.decoder)[1:]:
            made = block(torch.cat([hidden.pop(), made], 1))
        return from_signed(made)

    def features(self, pictures: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Return the activations after some levels of the encoder, and compute no further levels.

        Args:
            pictures: [N, C, H, W] in [0, 1].
            layers: indices of levels, from 0: [N, channels, H/2^(index+1), W/2^(index+1)] each.

        Raises:
            ValueError: there is no such level.
        """
        return activations(list(self.encoder), to_signed(pictures), layers)


class Dropout(nn.Module):
    """Dropout that is active in training and afterwards (Isola et al. 2017, section 3.3)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Apply dropout in any mode."""
        return drop(x, self.rate, training=True) if self.rate else x


def _double(channels_in: int, channels_out: int, up: str, bias: bool) -> list[nn.Module]:
    if up == "resize":
        return enlarge(channels_in, channels_out, bias=bias)
    return [nn.ConvTranspose2d(channels_in, channels_out, 4, 2, 1, bias=bias)]


def _require_halvings(shape: Shape, levels: int) -> None:
    most = 0
    while all(side % 2 ** (most + 1) == 0 for side in shape[1:]):
        most += 1
    if most < levels:
        hint = f"set levels to {most} or less" if most > 1 else "use another size"
        raise ValueError(
            f"'unet' halves pictures {levels} times, but {size_of(shape)} can be halved {most} times; {hint}"
        )
