"""The generator `example`."""

from typing import Annotated

from attrs.validators import ge
from ganforge import Register, Shape, hookimpl
from torch import Tensor, nn


class Example(nn.Module):
    """Two convolutions that halve the picture, and two transposed convolutions that restore its size.

    Args:
        source_shape: (channels, height, width) of the input; height and width are multiples of 4.
        target_shape: (channels, height, width) of the output; only the channels may differ.
        width: channels after the first convolution.
    """

    multiple = 4  # it translates pictures of any size whose height and width are multiples of this
    least = 4  # the smallest height and width

    def __init__(self, source_shape: Shape, target_shape: Shape, *, width: Annotated[int, ge(1)] = 16) -> None:
        super().__init__()
        if len(source_shape) != 3 or source_shape[1:] != target_shape[1:] or any(side % 4 for side in source_shape[1:]):
            raise ValueError(f"'example' needs pictures whose sides are multiples of 4, got {list(source_shape)}")
        self.layers = nn.Sequential(
            nn.Conv2d(source_shape[0], width, 4, 2, 1),  # [N, width, H/2, W/2]
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1),  # [N, 2 width, H/4, W/4]
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1),  # [N, width, H/2, W/2]
            nn.ReLU(),
            nn.ConvTranspose2d(width, target_shape[0], 4, 2, 1),  # [N, C, H, W]
            nn.Sigmoid(),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Translate pictures: [N, C, H, W] in [0, 1] to [N, C', H, W] in [0, 1]."""
        translated: Tensor = self.layers(pictures)
        return translated


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the generator."""
    register.generator("example", Example)
