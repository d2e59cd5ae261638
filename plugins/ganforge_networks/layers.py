"""Layers and helpers that several networks share."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from attrs.validators import ge, le, lt
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad
from torch.nn.utils.parametrizations import spectral_norm

from ganforge import Shape

Norm = Literal["instance", "batch", "group", "none"]
Width = Annotated[int, ge(1), le(4096)]
Rate = Annotated[float, ge(0), lt(1)]


def normalisation(norm: Norm, channels: int) -> list[nn.Module]:
    """Return a layer that normalises [N, channels, H, W]; an empty list for `none`.

    `instance` has neither scales nor running statistics (Ulyanov et al. 2016); `group` has 32 groups, or the largest
    number that divides both 32 and the channels (Wu and He 2018).
    """
    if norm == "instance":
        return [nn.InstanceNorm2d(channels)]
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "group":
        return [nn.GroupNorm(math.gcd(32, channels), channels)]
    return []


def divide_by_norms(network: nn.Module) -> None:
    """Divide every convolution's weights by their largest singular value (Miyato et al. 2018)."""
    for module in [one for one in network.modules() if isinstance(one, nn.Conv2d | nn.ConvTranspose2d)]:
        spectral_norm(module)


class BlurDown(nn.Module):
    """Halve height and width after a blur with [1, 2, 1] (Zhang 2019, arXiv 1904.11486)."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("kernel", _kernel([1, 2, 1], channels))

    def forward(self, x: Tensor) -> Tensor:
        """Compute [N, C, H, W] to [N, C, ceil(H/2), ceil(W/2)]."""
        return conv2d(pad(x, (1, 1, 1, 1), "reflect"), self.kernel, stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    """Double height and width, with a blur of [1, 3, 3, 1] (Zhang 2019; Park et al. 2020, the authors' code)."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("kernel", 4 * _kernel([1, 3, 3, 1], channels))

    def forward(self, x: Tensor) -> Tensor:
        """Compute [N, C, H, W] to [N, C, 2 H, 2 W]."""
        padded = pad(x, (1, 1, 1, 1), "replicate")
        doubled = conv_transpose2d(padded, self.kernel, stride=2, padding=2, groups=x.shape[1])
        return doubled[:, :, 1:-1, 1:-1]


def _kernel(weights: Sequence[float], channels: int) -> Tensor:
    """Return the normalised outer product of weights with themselves for each channel: [channels, 1, k, k]."""
    line = torch.tensor(weights, dtype=torch.float32)
    return (line[:, None] * line / line.sum() ** 2).repeat(channels, 1, 1, 1)


def enlarge(channels_in: int, channels_out: int, *, bias: bool) -> list[nn.Module]:
    """Double height and width without checkerboard artifacts: repeat pixels, then convolve (Odena et al. 2016)."""
    return [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(channels_in, channels_out, 3, bias=bias)]


def activations(sequence: Sequence[nn.Module], x: Tensor, layers: Sequence[int]) -> list[Tensor]:
    """Return the activations after some layers of a sequence, and compute no further layers.

    Args:
        sequence: consecutive layers.
        x: input of the first one.
        layers: their indices, from 0.

    Raises:
        ValueError: there is no such layer.
    """
    if wrong := [number for number in layers if not 0 <= number < len(sequence)]:
        raise ValueError(f"no layer {wrong[0]}: the generator has the layers 0 to {len(sequence) - 1}")
    found: dict[int, Tensor] = {}
    for number in range(max(layers, default=-1) + 1):
        x = sequence[number](x)
        if number in layers:
            following = sequence[number + 1] if number + 1 < len(sequence) else None
            found[number] = x.clone() if getattr(following, "inplace", False) else x
    return [found[number] for number in layers]


def to_signed(pictures: Tensor) -> Tensor:
    """Convert pixels in [0, 1] to [-1, 1], as in papers."""
    return 2 * pictures - 1


def from_signed(pixels: Tensor) -> Tensor:
    """Convert pixels in [-1, 1] to [0, 1]."""
    return (pixels + 1) / 2


def size_of(shape: Shape) -> str:
    """Format a picture's size, such as `64x64`."""
    return "x".join(map(str, shape[1:]))


def require_pictures(name: str, *shapes: Shape) -> None:
    """Check that shapes are those of pictures of one size.

    Raises:
        ValueError: they are not.
    """
    for shape in shapes:
        if len(shape) != 3:
            raise ValueError(f"'{name}' needs pictures [channels, height, width], got samples {list(shape)}")
    if len({shape[1:] for shape in shapes}) > 1:
        raise ValueError(f"'{name}' keeps the size of pictures, but they differ: {', '.join(map(size_of, shapes))}")
