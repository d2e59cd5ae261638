"""The coarse-to-fine generator (section 3.1, Figure 2): enhancers at full size around a global generator at half."""

from collections.abc import Iterable
from typing import Annotated

from attrs.validators import ge, le
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ganforge import Shape

Count = Annotated[int, ge(0), le(100)]


class Residual(nn.Module):
    """Two 3x3 convolutions with a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        halves = [
            [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)] for _ in range(2)
        ]
        self.layers = nn.Sequential(*halves[0], nn.ReLU(inplace=True), *halves[1])

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to the same."""
        return x + self.layers(x)  # type: ignore[no-any-return]


class LocalEnhancer(nn.Module):
    """A global generator on the downscaled picture, and enhancers that each double its size and refine it.

    Args:
        source_shape: (channels, height, width) of the input; height and width are multiples of
            2 ** (halvings + enhancers), and at least twice as large.
        target_shape: the same of the output; only the channels may differ.
        width: channels of the outermost enhancer; the global generator starts with width * 2 ** enhancers channels.
        enhancers: number of enhancers; 1 in the paper, for 2048x1024. For none, use `resnet` with 4 halvings.
        halvings: halvings in the global generator.
        blocks: residual blocks of the global generator.
        local_blocks: residual blocks of each enhancer.
    """

    def __init__(
        self,
        source_shape: Shape,
        target_shape: Shape,
        *,
        width: Annotated[int, ge(1), le(4096)] = 32,
        enhancers: Annotated[int, ge(1), le(8)] = 1,
        halvings: Annotated[int, ge(1), le(8)] = 4,
        blocks: Count = 9,
        local_blocks: Count = 3,
    ) -> None:
        super().__init__()
        _require_fit(source_shape, target_shape, 2 ** (halvings + enhancers))
        self.multiple = 2 ** (halvings + enhancers)
        self.least = 2 * self.multiple
        widest = width * 2**enhancers
        coarse = [*_first(source_shape[0], widest)]
        for level in range(halvings):
            coarse += _halve(widest * 2**level)
        coarse += [Residual(widest * 2**halvings) for _ in range(blocks)]
        for level in reversed(range(halvings)):
            coarse += _double(widest * 2**level)
        self.coarse = nn.Sequential(*coarse)  # [N, widest, H / 2^enhancers, W / 2^enhancers]
        self.encoders, self.decoders = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(enhancers)):
            channels = width * 2**level
            self.encoders.append(nn.Sequential(*_first(source_shape[0], channels), *_halve(channels)))
            refine = [Residual(channels * 2) for _ in range(local_blocks)]
            self.decoders.append(nn.Sequential(*refine, *_double(channels)))
        self.last = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, target_shape[0], 7), nn.Tanh())
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, 0.02)

    def forward(self, pictures: Tensor) -> Tensor:
        """Translate pictures: [N, C, H, W] in [0, 1] to [N, C', H, W] in [0, 1]."""
        pyramid = [2 * pictures - 1]
        for _ in self.encoders:
            pyramid.append(avg_pool2d(pyramid[-1], 3, 2, 1, count_include_pad=False))
        made = self.coarse(pyramid.pop())
        for encode, decode in zip(self.encoders, self.decoders, strict=True):
            made = decode(encode(pyramid.pop()) + made)
        translated: Tensor = self.last(made)
        return (translated + 1) / 2


def _first(channels_in: int, channels_out: int) -> Iterable[nn.Module]:
    return nn.ReflectionPad2d(3), nn.Conv2d(channels_in, channels_out, 7), *_normalised(channels_out)


def _halve(channels: int) -> Iterable[nn.Module]:
    return nn.Conv2d(channels, 2 * channels, 3, 2, 1), *_normalised(2 * channels)


def _double(channels: int) -> Iterable[nn.Module]:
    return nn.ConvTranspose2d(2 * channels, channels, 3, 2, 1, output_padding=1), *_normalised(channels)


def _normalised(channels: int) -> Iterable[nn.Module]:
    return nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)


def _require_fit(source: Shape, target: Shape, step: int) -> None:
    """Raise a ValueError unless these are pictures of one size that can be halved often enough."""
    if len(source) != 3:
        raise ValueError(f"'local-enhancer' needs pictures [channels, height, width], got samples {list(source)}")
    sizes = ["x".join(map(str, shape[1:])) for shape in (source, target)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"'local-enhancer' keeps the size of pictures, but they differ: {', '.join(sizes)}")
    if source[1] % step or source[2] % step or min(source[1:]) < 2 * step:
        wanted = f"multiples of {step}, and {2 * step} or more"
        raise ValueError(f"height and width must be {wanted} (set halvings, enhancers or size); got {sizes[0]}")
