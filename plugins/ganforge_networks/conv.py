"""DiscoGAN's convolutional networks, with the widths of the authors' code (Kim et al. 2017, section 3.2)."""

from collections.abc import Sequence
from typing import Annotated

from attrs.validators import in_
from torch import Tensor, nn

from ganforge import Shape
from ganforge_networks.initialise import Preset, initialise
from ganforge_networks.layers import Width, activations, size_of

STRIDED = 4


class Generator(nn.Module):
    """Encoder of 4x4 convolutions and decoder of 4x4 deconvolutions; values in [0, 1].

    Args:
        source_shape: (channels, height, width) of the input; height and width are multiples of 16.
        target_shape: the same of the output; only the channels may differ.
        layers: number of convolutions, and of deconvolutions: 4 halve the picture each; a fifth reduces the rest to
            one pixel.
        width: channels after the first convolution; they double with each halving.
        bottleneck: channels of that one pixel, with 5 layers.
        init: preset of the initial weights.
    """

    def __init__(
        self,
        source_shape: Shape,
        target_shape: Shape,
        *,
        layers: Annotated[int, in_([4, 5])] = 4,
        width: Width = 64,
        bottleneck: Width = 100,
        init: Preset = "dcgan",
    ) -> None:
        super().__init__()
        left = _left_over(source_shape)
        if source_shape[1:] != target_shape[1:]:
            sizes = f"{size_of(source_shape)}, {size_of(target_shape)}"
            raise ValueError(f"'conv' keeps the size of pictures, but A and B differ: {sizes}")
        channels = [source_shape[0], *(width * 2**level for level in range(STRIDED))]
        blocks: list[nn.Module] = []
        for level in range(STRIDED):
            blocks += _down(channels[level], channels[level + 1], norm=level > 0)  # [N, width 2^level, ...]
        if layers == STRIDED + 1:
            blocks += [nn.Conv2d(channels[-1], bottleneck, left, bias=False), nn.BatchNorm2d(bottleneck)]
            blocks += [nn.LeakyReLU(0.2, inplace=True)]  # [N, bottleneck, 1, 1]
            blocks += [nn.ConvTranspose2d(bottleneck, channels[-1], left, bias=False), nn.BatchNorm2d(channels[-1])]
            blocks += [nn.ReLU(inplace=True)]  # [N, 8 width, H/16, W/16]
        for level in range(STRIDED - 1, 0, -1):
            blocks += [nn.ConvTranspose2d(channels[level + 1], channels[level], 4, 2, 1, bias=False)]
            blocks += [nn.BatchNorm2d(channels[level]), nn.ReLU(inplace=True)]  # [N, width 2^(level-1), ...]
        blocks += [nn.ConvTranspose2d(width, target_shape[0], 4, 2, 1, bias=False), nn.Sigmoid()]  # [N, C, H, W]
        self.layers = nn.Sequential(*blocks)
        self.multiple = 2**STRIDED if layers == STRIDED else None  # a bottleneck of one pixel has one size
        initialise(self, init)

    def forward(self, pictures: Tensor) -> Tensor:
        """Translate pictures: [N, C, H, W] in [0, 1] to [N, C', H, W] in [0, 1]."""
        translated: Tensor = self.layers(pictures)
        return translated

    def features(self, pictures: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Return the activations after some layers of the sequence, counted from 0, and compute no further layers.

        Raises:
            ValueError: there is no such layer.
        """
        return activations(list(self.layers), pictures, layers)


class Discriminator(nn.Module):
    """Four 4x4 convolutions that halve the picture, and one that computes the score.

    Args:
        shape: (channels, height, width) of a picture; height and width are multiples of 16.
        width: channels after the first convolution; they double with each halving.
        init: preset of the initial weights.
    """

    def __init__(self, shape: Shape, *, width: Width = 64, init: Preset = "dcgan") -> None:
        super().__init__()
        left = _left_over(shape)
        channels = [shape[0], *(width * 2**level for level in range(STRIDED))]
        self.halvings = nn.ModuleList(
            nn.Sequential(*_down(channels[level], channels[level + 1], norm=level > 0)) for level in range(STRIDED)
        )
        self.judge = nn.Conv2d(channels[-1], 1, left, bias=False)
        initialise(self, init)

    def forward(self, pictures: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Score pictures.

        Args:
            pictures: [N, C, H, W] in [0, 1].

        Returns:
            score: logit of being real, [N, 1].
            features: activations after the second, third and fourth convolution, [N, ...] each.
        """
        features = []
        hidden = pictures
        for halve in self.halvings:
            hidden = halve(hidden)  # [N, width 2^level, H/2^(level+1), W/2^(level+1)]
            features.append(hidden)
        score = self.judge(hidden).flatten(1)  # [N, 1]
        return score, tuple(features[1:])


def _down(channels_in: int, channels_out: int, *, norm: bool) -> list[nn.Module]:
    """Halve height and width; the network's first layer has no batch norm."""
    normalise = [nn.BatchNorm2d(channels_out)] if norm else []
    return [nn.Conv2d(channels_in, channels_out, 4, 2, 1, bias=False), *normalise, nn.LeakyReLU(0.2, inplace=True)]


def _left_over(shape: Shape) -> tuple[int, int]:
    """Return the height and width after four halvings.

    Raises:
        ValueError: the shape is not that of a picture, or cannot be halved four times.
    """
    if len(shape) != 3:
        raise ValueError(f"'conv' needs pictures [channels, height, width], got samples {list(shape)}; try 'mlp'")
    _, height, width = shape
    step = 2**STRIDED
    if height % step or width % step:
        near = (max(1, round(height / step)) * step, max(1, round(width / step)) * step)
        raise ValueError(
            f"'conv' halves pictures {STRIDED} times, so height and width must be multiples of {step}; "
            f"got {size_of(shape)}, try {near[0]}x{near[1]}"
        )
    return height // step, width // step
