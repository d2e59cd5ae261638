"""DCGAN's generator from noise, and its discriminator (Radford et al. 2016, arXiv 1511.06434)."""

import math

from torch import Tensor, nn

from ganforge import Shape
from ganforge_networks.initialise import Preset, initialise
from ganforge_networks.layers import (
    Norm,
    Width,
    divide_by_norms,
    from_signed,
    normalisation,
    require_pictures,
    size_of,
    to_signed,
)


class Generator(nn.Module):
    """Deconvolutions from noise to a picture; values in [0, 1] (Figure 1).

    The first deconvolution projects the noise to 4x4 pixels; each further one doubles the size. All but the last are
    followed by the norm and ReLU, the last by tanh. There are biases only if `norm` is `none`.

    Args:
        source_shape: (n,) or (n, 1, 1), where n is the size of the noise.
        target_shape: (channels, height, width) of the output; a square whose side is a power of two, 8 or more.
        width: channels before the last deconvolution; they double with each earlier one.
        norm: normalisation after a deconvolution.
        spectral: whether weights are divided by their largest singular value (Miyato et al. 2018).
        init: preset of the initial weights.
    """

    def __init__(
        self,
        source_shape: Shape,
        target_shape: Shape,
        *,
        width: Width = 64,
        norm: Norm = "batch",
        spectral: bool = False,
        init: Preset = "dcgan",
    ) -> None:
        super().__init__()
        if len(source_shape) not in (1, 3) or source_shape[1:] not in ((), (1, 1)):
            raise ValueError(f"'dcgan' needs noise [n] or [n, 1, 1], got samples {list(source_shape)}")
        doublings = _doublings(target_shape)
        bias = norm == "none"
        channels = [width * 2**level for level in range(doublings)][::-1]
        layers: list[nn.Module] = [nn.ConvTranspose2d(source_shape[0], channels[0], 4, bias=bias)]
        for level in range(doublings):
            layers += [*normalisation(norm, channels[level]), nn.ReLU(inplace=True)]  # [N, channels, 4 2^level, ...]
            wanted = channels[level + 1] if level + 1 < doublings else target_shape[0]
            layers += [nn.ConvTranspose2d(channels[level], wanted, 4, 2, 1, bias=bias)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        initialise(self, init)
        if spectral:
            divide_by_norms(self)

    def forward(self, noise: Tensor) -> Tensor:
        """Generate pictures: [N, n] or [N, n, 1, 1] to [N, C, H, W] in [0, 1]."""
        return from_signed(self.layers(noise[:, :, None, None] if noise.ndim == 2 else noise))


class Discriminator(nn.Module):
    """Convolutions that halve the picture down to 4x4 pixels, and one that computes the score.

    All but the first and the last are followed by the norm. There are biases only if `norm` is `none`, as WGAN-GP's
    critic requires (Gulrajani et al. 2017, section 4).

    Args:
        shape: (channels, height, width) of a picture; a square whose side is a power of two, 8 or more.
        width: channels after the first convolution; they double with each further one.
        norm: normalisation after a convolution.
        spectral: whether weights are divided by their largest singular value (Miyato et al. 2018).
        init: preset of the initial weights.
    """

    def __init__(
        self, shape: Shape, *, width: Width = 64, norm: Norm = "batch", spectral: bool = False, init: Preset = "dcgan"
    ) -> None:
        super().__init__()
        bias = norm == "none"
        channels = [shape[0], *(width * 2**level for level in range(_doublings(shape)))]
        blocks: list[nn.Module] = []
        for level in range(len(channels) - 1):
            halve = nn.Conv2d(channels[level], channels[level + 1], 4, 2, 1, bias=bias)
            normalise = normalisation(norm, channels[level + 1]) if level else []
            blocks.append(nn.Sequential(halve, *normalise, nn.LeakyReLU(0.2, inplace=True)))  # [N, ..., H/2, W/2]
        self.halvings = nn.ModuleList(blocks)
        self.judge = nn.Conv2d(channels[-1], 1, 4, bias=bias)
        initialise(self, init)
        if spectral:
            divide_by_norms(self)

    def forward(self, pictures: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Score pictures.

        Args:
            pictures: [N, C, H, W] in [0, 1].

        Returns:
            score: logit of being real, [N, 1].
            features: activations of all hidden layers, [N, ...] each.
        """
        hidden = [to_signed(pictures)]
        for halve in self.halvings:
            hidden.append(halve(hidden[-1]))
        return self.judge(hidden[-1]).flatten(1), tuple(hidden[1:])


def _doublings(shape: Shape) -> int:
    """Return the number of doublings from 4x4 pixels to a picture.

    Raises:
        ValueError: it is not such a picture.
    """
    require_pictures("dcgan", shape)
    height, width = shape[1:]
    doublings = round(math.log2(height)) - 2
    if height != width or height != 4 * 2**doublings or doublings < 1:
        raise ValueError(f"'dcgan' takes squares whose side is 8, 16, 32, 64 and so on; got {size_of(shape)}")
    return doublings
