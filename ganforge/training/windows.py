"""What a kernel sees at each of its places, and the way back: convolutions by hand."""

from collections.abc import Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor
from torch.nn.functional import pad

Pair = tuple[int, int]


@frozen
class Window:
    """How a kernel moves over the larger one of two maps.

    Attributes:
        batch: the number of samples.
        large: height and width of the larger map.
        small: those of the smaller one: the places that the kernel takes.
        kernel: height and width.
        stride: down and to the right.
        padding: above and below, left and right.
    """

    batch: int
    large: Pair
    small: Pair
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def columns(self, maps: Tensor) -> Tensor:
        """Return what the kernel sees at each place: [N, C, H, W] to [N * places, kernel height * width * C]."""
        (down, right), channels = self.padding, maps.shape[1]
        around = pad(maps.permute(0, 2, 3, 1), (0, 0, right, right, down, down)).contiguous()
        seen = around.as_strided(*self._places(around, self.kernel[0], self.kernel[1] * channels))
        return seen.reshape(-1, self.kernel[0] * self.kernel[1] * channels)

    def fold(self, columns: Tensor) -> Tensor:
        """Add up, for each number of the larger map, what all places say of it: the adjoint of `columns`."""
        (down, right), (high, wide), (rows, across) = self.padding, self.large, self.kernel
        channels = columns.shape[1] // (rows * across)
        size = (self.batch, channels, high + 2 * down, wide + 2 * right)
        maps = columns.new_empty(size).to(memory_format=torch.channels_last).zero_()
        around = maps.permute(0, 2, 3, 1)
        columns = columns.view(self.batch, *self.small, rows, across * channels)
        for row in range(rows):
            for left in range(0, across, self.stride[1]):  # so many columns side by side never overlap
                part = slice(left * channels, min(left + self.stride[1], across) * channels)
                sizes, strides = self._places(around, 1, part.stop - part.start)
                start = row * around.stride(1) + part.start
                around.as_strided(sizes, strides, start).squeeze(3).add_(columns[:, :, :, row, part])
        if down or right:  # a tensor of its own, laid out as torch's: what follows may work in place
            maps = maps[:, :, down : down + high, right : right + wide].contiguous(memory_format=torch.channels_last)
        return maps

    def _places(self, around: Tensor, rows: int, numbers: int) -> tuple[Sequence[int], Sequence[int]]:
        """Return sizes and strides of a look at the padded map: [N, height, width, kernel rows, numbers of a row]."""
        sample, row, column, one = around.stride()
        strides = (sample, row * self.stride[0], column * self.stride[1], row, one)
        return (self.batch, *self.small, rows, numbers), strides


class Columns(torch.autograd.Function):
    """`Window.columns`, whose gradient is `Window.fold`."""

    @staticmethod
    def forward(context: Any, maps: Tensor, window: Window) -> Tensor:
        """[N, C, H, W] to [N * places, kernel height * width * C]."""
        context.window = window
        return window.columns(maps)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The other one of the two."""
        return Fold.apply(gradients[0].contiguous(), context.window), None


class Fold(torch.autograd.Function):
    """`Window.fold`, whose gradient is `Window.columns`."""

    @staticmethod
    def forward(context: Any, columns: Tensor, window: Window) -> Tensor:
        """[N * places, kernel height * width * C] to [N, C, H, W]."""
        context.window = window
        return window.fold(columns)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The other one of the two."""
        return Columns.apply(gradients[0], context.window), None
