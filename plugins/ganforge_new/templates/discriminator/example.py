"""The discriminator `example`."""

from typing import Annotated

from attrs.validators import ge
from ganforge import Register, Shape, hookimpl
from torch import Tensor, nn


class Example(nn.Module):
    """Convolutions that halve the picture twice, and one that scores each patch.

    Args:
        shape: (channels, height, width) of a picture; height and width are at least 8.
        width: channels after the first convolution.
    """

    def __init__(self, shape: Shape, *, width: Annotated[int, ge(1)] = 16) -> None:
        super().__init__()
        if len(shape) != 3 or min(shape[1:]) < 8:
            raise ValueError(f"'example' needs pictures of 8x8 or more, got {list(shape)}")
        self.first = nn.Conv2d(shape[0], width, 4, 2, 1)
        self.second = nn.Conv2d(width, 2 * width, 4, 2, 1)
        self.judge = nn.Conv2d(2 * width, 1, 3, 1, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Score pictures, [N, C, H, W] in [0, 1].

        Returns:
            score: logit of being real for each patch, [N, 1, H/4, W/4].
            features: activations of the hidden layers, for feature matching.
        """
        first = self.first(pictures).relu()  # [N, width, H/2, W/2]
        second = self.second(first).relu()  # [N, 2 width, H/4, W/4]
        return self.judge(second), (first, second)


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the discriminator."""
    register.discriminator("example", Example)
