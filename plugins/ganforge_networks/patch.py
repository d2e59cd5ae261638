"""pix2pix's patch discriminator (Isola et al. 2017, arXiv 1611.07004, section 3.2.2)."""

from typing import Annotated, Literal

from attrs.validators import ge, in_, le
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ganforge import Shape
from ganforge_networks.initialise import Preset, initialise
from ganforge_networks.layers import (
    BlurDown,
    Norm,
    Width,
    divide_by_norms,
    normalisation,
    require_pictures,
    size_of,
    to_signed,
)


class Discriminator(nn.Module):
    """PatchGAN: scores overlapping patches, of 70x70 pixels with three layers.

    The first convolution has no norm. The first and the last have a bias; the others have one if the norm is
    `instance`, as in the authors' code.

    Args:
        shape: (channels, height, width) of a picture.
        width: channels after the first convolution; they double with each further one, up to 8 times as many.
        layers: convolutions that halve the picture, before two that do not; 0 scores pixels with 1x1 convolutions.
        norm: normalisation after a convolution.
        spectral: whether weights are divided by their largest singular value (Miyato et al. 2018).
        down: `strided` convolutions, or `antialiased` ones, which are followed by a blur (Park et al. 2020).
        scales: number of discriminators; each sees the picture at half the size of the previous one (pix2pixHD, Wang et
            al. 2018).
        padding: padding of convolutions; 2 in pix2pixHD.
        init: preset of the initial weights.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        width: Width = 64,
        layers: Annotated[int, ge(0), le(8)] = 3,
        norm: Norm = "instance",
        spectral: bool = False,
        down: Literal["strided", "antialiased"] = "strided",
        scales: Annotated[int, ge(1), le(8)] = 1,
        padding: Annotated[int, in_([1, 2])] = 1,
        init: Preset = "dcgan",
    ) -> None:
        super().__init__()
        require_pictures("patch", shape)
        least = 1 if layers == 0 or padding == 2 else 3 * 2**layers
        if -(-min(shape[1:]) // 2 ** (scales - 1)) < least:
            needed = (least - 1) * 2 ** (scales - 1) + 1
            raise ValueError(
                f"'patch' with {layers} layers and scales = {scales} needs pictures of {needed}x{needed} or more; "
                f"got {size_of(shape)}, set fewer layers or scales"
            )
        # The coarsest scale comes first, as in the public code.
        judges = [_pixels(shape[0], width, norm) if layers == 0 else [] for _ in range(scales)]
        if layers:
            judges = [_patches(shape[0], width, layers, norm, down, padding) for _ in range(scales)]
        self.judges = nn.ModuleList(nn.ModuleList(judge) for judge in judges)
        initialise(self, init)
        if spectral:
            divide_by_norms(self)

    def forward(self, pictures: Tensor) -> tuple[Tensor | list[Tensor], tuple[Tensor, ...]]:
        """Score pictures.

        Args:
            pictures: [N, C, H, W] in [0, 1].

        Returns:
            score: logits of being real, [N, 1, H', W']; with several scales a list of them, the finest first.
            features: activations of all hidden layers, [N, ...] each; those of the finest scale first.
        """
        scores: list[Tensor] = []
        features: list[Tensor] = []
        shown = to_signed(pictures)
        for judge in reversed(self.judges):
            if scores:
                shown = avg_pool2d(shown, 3, 2, 1, count_include_pad=False)  # [N, C, ceil(H/2), ceil(W/2)]
            hidden = [shown]
            for block in judge:  # type: ignore[attr-defined]
                hidden.append(block(hidden[-1]))
            features += hidden[1:-1]
            scores.append(hidden[-1])
        return scores if len(scores) > 1 else scores[0], tuple(features)


def _patches(channels: int, width: int, layers: int, norm: Norm, down: str, padding: int) -> list[nn.Module]:
    """Return the blocks of the PatchGAN."""
    bias = norm == "instance"
    sizes = [channels, *(width * min(2**level, 8) for level in range(layers + 1))]
    blocks: list[nn.Module] = []
    for level in range(layers + 1):
        halve = level < layers
        stride = 2 if halve and down == "strided" else 1
        convolve = nn.Conv2d(sizes[level], sizes[level + 1], 4, stride, padding, bias=bias or level == 0)
        normalise = normalisation(norm, sizes[level + 1]) if level else []
        blur = [BlurDown(sizes[level + 1])] if halve and down == "antialiased" else []
        blocks.append(nn.Sequential(convolve, *normalise, nn.LeakyReLU(0.2, inplace=True), *blur))  # [N, ..., H/2, W/2]
    return [*blocks, nn.Conv2d(sizes[-1], 1, 4, 1, padding)]  # [N, 1, H', W']


def _pixels(channels: int, width: int, norm: Norm) -> list[nn.Module]:
    """Return the blocks of the PixelGAN."""
    bias = norm == "instance"
    first = nn.Sequential(nn.Conv2d(channels, width, 1), nn.LeakyReLU(0.2, inplace=True))
    second = [nn.Conv2d(width, 2 * width, 1, bias=bias), *normalisation(norm, 2 * width)]
    return [first, nn.Sequential(*second, nn.LeakyReLU(0.2, inplace=True)), nn.Conv2d(2 * width, 1, 1, bias=bias)]
