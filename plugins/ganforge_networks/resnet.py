"""CycleGAN's generator (Zhu et al. 2017, arXiv 1703.10593, appendix 7.2), also with CUT's layers."""

from collections.abc import Sequence
from typing import Annotated, Literal

from attrs.validators import ge, le
from torch import Tensor, nn

from ganforge import Shape
from ganforge_networks.initialise import Preset, initialise
from ganforge_networks.layers import (
    BlurDown,
    BlurUp,
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

Padding = Literal["reflect", "replicate", "zeros"]
PADS = {"reflect": nn.ReflectionPad2d, "replicate": nn.ReplicationPad2d, "zeros": nn.ZeroPad2d}


class Generator(nn.Module):
    """Residual blocks between layers that halve the picture and layers that double it; values in [0, 1].

    Convolutions have a bias if the norm is `instance`, as in the authors' code. Any size with at least two pixels after
    the halvings works; if it is not a multiple, the surplus of the output is cut off.

    Args:
        source_shape: (channels, height, width) of the input.
        target_shape: the same of the output; only the channels may differ.
        width: channels after the first convolution; they double with each halving.
        blocks: residual blocks; CycleGAN has 9 for 256x256 and 6 for 128x128.
        halvings: halvings of height and width; 2 in CycleGAN, 4 in pix2pixHD's global generator (Wang et al. 2018).
        norm: normalisation after a convolution.
        dropout: dropout rate in each block.
        padding: how blocks continue their input beyond its edges: `reflect`, `replicate` (the edge) or `zeros`.
        down: `strided` convolutions, or `antialiased` ones, which are followed by a blur (Park et al. 2020).
        up: `deconvolution`, or a convolution after an `antialiased` doubling (Park et al. 2020), or after a `resize`
            that repeats pixels (Odena et al. 2016).
        init: preset of the initial weights.
    """

    def __init__(
        self,
        source_shape: Shape,
        target_shape: Shape,
        *,
        width: Width = 64,
        blocks: Annotated[int, ge(0), le(100)] = 9,
        halvings: Annotated[int, ge(0), le(8)] = 2,
        norm: Norm = "instance",
        dropout: Rate = 0.0,
        padding: Padding = "reflect",
        down: Literal["strided", "antialiased"] = "strided",
        up: Literal["deconvolution", "antialiased", "resize"] = "deconvolution",
        init: Preset = "dcgan",
    ) -> None:
        super().__init__()
        require_pictures("resnet", source_shape, target_shape)
        least = max(4, 2**halvings + 1)
        if min(source_shape[1:]) < least:
            raise ValueError(
                f"'resnet' with {halvings} halvings needs pictures of {least}x{least} or more; "
                f"got {size_of(source_shape)}, set fewer halvings"
            )
        bias = norm == "instance"
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(source_shape[0], width, 7, bias=bias)]
        layers += [*normalisation(norm, width), nn.ReLU()]  # [N, width, H, W]
        for level in range(halvings):
            channels = width * 2**level
            stride = 2 if down == "strided" else 1
            layers += [nn.Conv2d(channels, 2 * channels, 3, stride, 1, bias=bias)]
            layers += [*normalisation(norm, 2 * channels), nn.ReLU()]
            layers += [BlurDown(2 * channels)] if down == "antialiased" else []  # [N, 2 channels, H/2, W/2]
        layers += [Block(width * 2**halvings, norm, dropout, padding) for _ in range(blocks)]
        for level in range(halvings, 0, -1):
            channels = width * 2**level
            layers += _double(channels, up, bias)  # [N, channels/2, 2 H, 2 W]
            layers += [*normalisation(norm, channels // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, target_shape[0], 7), nn.Tanh()]  # [N, C', H, W]
        self.layers = nn.Sequential(*layers)
        self.multiple, self.least = 2**halvings, least
        initialise(self, init)

    def forward(self, pictures: Tensor) -> Tensor:
        """Translate pictures: [N, C, H, W] in [0, 1] to [N, C', H, W] in [0, 1]."""
        height, width = pictures.shape[2:]
        return from_signed(self.layers(to_signed(pictures))[:, :, :height, :width])

    def features(self, pictures: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Return the activations after some layers, [N, ...] each, and compute no further layers.

        Args:
            pictures: [N, C, H, W] in [0, 1].
            layers: indices in the sequence, from 0, as in the public code, such as CUT's 0, 4, 8, 12, 16.

        Raises:
            ValueError: there is no such layer.
        """
        return activations(list(self.layers), to_signed(pictures), layers)


class Block(nn.Module):
    """Two convolutions, whose result is added to their input (He et al. 2016)."""

    def __init__(self, channels: int, norm: Norm, dropout: float, padding: Padding) -> None:
        super().__init__()
        bias, pad = norm == "instance", PADS[padding]
        layers: list[nn.Module] = [pad(1), nn.Conv2d(channels, channels, 3, bias=bias)]
        layers += [*normalisation(norm, channels), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout else []
        layers += [pad(1), nn.Conv2d(channels, channels, 3, bias=bias), *normalisation(norm, channels)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Compute [N, C, H, W] to the same shape."""
        changed: Tensor = x + self.layers(x)
        return changed


def _double(channels: int, up: str, bias: bool) -> list[nn.Module]:
    """Double height and width, and halve the channels."""
    if up == "deconvolution":
        return [nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, output_padding=1, bias=bias)]
    if up == "resize":
        return enlarge(channels, channels // 2, bias=bias)
    return [BlurUp(channels), nn.Conv2d(channels, channels // 2, 3, padding=1, bias=bias)]
