"""Unfold maps into the windows of a kernel and fold them back: the parts of a convolution."""

from collections.abc import Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor
from torch.nn.functional import pad

Pair = tuple[int, int]


@frozen
class Window:
    """How a kernel moves over the larger of two maps.

    Attributes:
        batch: number of samples.
        large: height and width of the larger map.
        small: height and width of the smaller map: the places of the kernel.
        kernel: height and width of the kernel.
        stride: vertical and horizontal stride.
        padding: vertical and horizontal padding.
    """

    batch: int
    large: Pair
    small: Pair
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def columns(self, maps: Tensor) -> Tensor:
        """Return the kernel's window at each place: [N, C, H, W] to [N * places, kernel height * width * C]."""
        (down, right), channels = self.padding, maps.shape[1]
        around = pad(maps.permute(0, 2, 3, 1), (0, 0, right, right, down, down)).contiguous()
        seen = around.as_strided(*self._places(around, self.kernel[0], self.kernel[1] * channels))
        return seen.reshape(-1, self.kernel[0] * self.kernel[1] * channels)

    def fold(self, columns: Tensor) -> Tensor:
        """Sum the windows into the larger map: the adjoint of `columns`. Half precision is summed in fp32."""
        (down, right), (high, wide), (rows, across) = self.padding, self.large, self.kernel
        channels = columns.shape[1] // (rows * across)
        size = (self.batch, channels, high + 2 * down, wide + 2 * right)
        kind = torch.promote_types(columns.dtype, torch.float32)
        maps = columns.new_empty(size, dtype=kind).to(memory_format=torch.channels_last).zero_()
        around = maps.permute(0, 2, 3, 1)
        columns = columns.view(self.batch, *self.small, rows, across * channels)
        for row in range(rows):
            for left in range(0, across, self.stride[1]):  # this many adjacent columns never overlap
                part = slice(left * channels, min(left + self.stride[1], across) * channels)
                sizes, strides = self._places(around, 1, part.stop - part.start)
                start = row * around.stride(1) + part.start
                around.as_strided(sizes, strides, start).squeeze(3).add_(columns[:, :, :, row, part])
        if down or right:  # a new tensor in torch's layout: later code may work in place
            maps = maps[:, :, down : down + high, right : right + wide].contiguous(memory_format=torch.channels_last)
        return maps.to(columns.dtype)

    def _places(self, around: Tensor, rows: int, numbers: int) -> tuple[Sequence[int], Sequence[int]]:
        """Return sizes and strides of a view of the padded map: [N, height, width, kernel rows, numbers per row]."""
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
        """Apply `Fold` to the gradient."""
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
        """Apply `Columns` to the gradient."""
        return Columns.apply(gradients[0], context.window), None
