"""Norms over a whole picture, such as instance norm, for networks that see tiles of it.

In a first pass, batches of tiles from all over the picture, each as large as memory allows, go through the networks and
are normalised by their common mean and variance, which are close to the picture's own. The mean and variance over all
these batches, taken over the part that each tile owns, then normalise every single tile. So tiles cannot differ in
brightness; and if all tiles fit into one batch, the result is that of the whole picture.

Only the norms' `forward` is replaced meanwhile; nothing else in a network changes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from attrs import define, field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from ganforge_inference.tiles.layout import Part


@runtime_checkable
class Norm(Protocol):
    """The interface of a module that normalises over whole pictures and is not one of torch's norms."""

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of one picture, [1, C, H, W]: [1, C or 1, 1, 1] each."""

    def normalised(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the result of `forward` for this mean and variance."""


def pools(module: nn.Module) -> bool:
    """Whether a module, in its present mode, normalises over whole pictures."""
    if isinstance(module, _InstanceNorm | _BatchNorm):
        return module.training or module.running_mean is None
    return isinstance(module, nn.GroupNorm | Norm)


def moments(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and variance by which a norm normalises one picture, [1, C, H, W]: [1, C or 1, 1, 1] each."""
    if isinstance(module, nn.GroupNorm):
        variance, mean = torch.var_mean(x.reshape(len(x), module.num_groups, -1), 2, correction=0)
        each = module.num_channels // module.num_groups
        return tuple(one.repeat_interleave(each, 1)[:, :, None, None] for one in (mean, variance))  # type: ignore[return-value]
    if isinstance(module, _InstanceNorm | _BatchNorm):
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        return mean, variance
    return module.moments(x)  # type: ignore[no-any-return]


def normalised(module: Any, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Normalise [N, C, H, W] as a norm does, with this mean and variance."""
    if not isinstance(module, nn.GroupNorm | _InstanceNorm | _BatchNorm):
        return module.normalised(x, mean, variance)  # type: ignore[no-any-return]
    scale = torch.rsqrt(variance + module.eps)
    if module.weight is not None:
        scale = scale * module.weight[:, None, None]
    shift = -mean * scale if module.bias is None else module.bias[:, None, None] - mean * scale
    return torch.addcmul(shift, x, scale)


@define
class Sums:
    """Sums over pixels: their count, values and squares."""

    count: int = 0
    first: Any = 0.0
    second: Any = 0.0

    def add(self, count: int, mean: Tensor, variance: Tensor) -> None:
        """Add `count` pixels with this mean and variance."""
        self.count += count
        self.first = self.first + count * mean.double()
        self.second = self.second + count * (variance.double() + mean.double().square())

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return the mean and variance of all pixels, float32."""
        mean = self.first / self.count
        return mean.float(), (self.second / self.count - mean.square()).clamp(min=0).float()


@define(eq=False)
class Pooled:
    """The statistics that norms over whole pictures measured on one picture.

    Attributes:
        norms: these norms, for the present mode of the networks.
    """

    norms: Sequence[nn.Module]
    _sums: list[Sums] = field(factory=list)  # for each call of a norm, in the order of a forward pass
    _use: int = 0  # index of the next call in the present forward pass
    _tiles: Sequence[tuple[Part, Part]] = ()

    @classmethod
    def of(cls, networks: Iterable[nn.Module]) -> "Pooled":
        """Find the norms."""
        return cls([module for network in networks for module in network.modules() if pools(module)])

    def begin(self, tiles: Sequence[tuple[Part, Part]]) -> None:
        """Set the tiles, as rows and columns, that go through the networks next."""
        self._tiles, self._use = tiles, 0

    @contextmanager
    def away(self) -> Iterator[None]:
        """Turn norms into identities."""
        with self._replaced(lambda module, x: x):
            yield

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Make norms measure tiles, and normalise them by the statistics of their batch."""
        with self._replaced(self._measure):
            yield

    @contextmanager
    def using(self) -> Iterator[None]:
        """Make norms normalise tiles by the statistics of all tiles."""
        with self._replaced(self._use_measured):
            yield

    @contextmanager
    def _replaced(self, forward: Callable[[nn.Module, Tensor], Tensor]) -> Iterator[None]:
        try:
            for module in self.norms:
                module.forward = partial(forward, module)
            yield
        finally:
            for module in self.norms:
                del module.forward  # which uncovers that of its class

    def _measure(self, module: nn.Module, x: Tensor) -> Tensor:
        together = Sums()
        if self._use == len(self._sums):
            self._sums.append(Sums())
        for place, (row, column) in enumerate(self._tiles):
            own = x[place : place + 1, :, _owned(row, x.shape[2]), _owned(column, x.shape[3])]
            found = moments(module, own)
            for sums in (together, self._sums[self._use]):
                sums.add(own.shape[2] * own.shape[3], *found)
        self._use += 1
        return normalised(module, x, *together.moments())

    def _use_measured(self, module: nn.Module, x: Tensor) -> Tensor:
        self._use += 1
        return normalised(module, x, *self._sums[self._use - 1].moments())


def _owned(part: Part, side: int) -> slice:
    """Return the part of a feature map, which may be smaller than the tile, that the tile owns."""
    scale = side / (part.stop - part.start)
    return slice(*(round((place - part.start) * scale) for place in part.owned))
