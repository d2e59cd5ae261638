"""Random crops and augmentation of training pictures on the device: a pure function of the seed and the step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen, validators

from ganforge.data.dataset import sent

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_share = [validators.ge(0.0), validators.le(1.0)]


@frozen
class Augment:
    """`[train.augment]`: random changes of training pictures, drawn anew for each picture and step.

    Attributes:
        flip: probability of mirroring a picture left to right.
        shift: largest shift in each direction, as a share of the side. Pixels come from beyond the crop, or else repeat
            the border.
        brightness: largest value added to, or subtracted from, a whole picture, whose values lie in [0, 1].
        contrast: largest share by which values move away from, or towards, the picture's mean.
    """

    flip: float = field(default=0.0, validator=_share)
    shift: float = field(default=0.0, validator=[validators.ge(0), validators.le(0.5)])
    brightness: float = field(default=0.0, validator=_share)
    contrast: float = field(default=0.0, validator=_share)

    def __bool__(self) -> bool:
        """Return whether anything is changed."""
        return self != Augment()

    def place(
        self,
        pictures: Tensor,
        random: torch.Generator,
        size: tuple[int, int] | None = None,
        part: Tensor | None = None,
        batch: int = 0,
    ) -> Tensor:
        """Crop pictures [N, C, H, W] to a size at random, mirror and shift them.

        A random generator in the same state moves other pictures alike if the crop removes as much of them. Pictures
        may be the rows `part` of a batch of `batch` samples; they move as they would in the whole batch.
        """
        import torch

        count, channels, *whole = pictures.shape
        height, width = size or whole
        if not (self.flip or self.shift or size):
            return pictures
        mirrored, down, right = _drawn(3, count, (1,), random, part, batch)
        rows = torch.arange(height) + _whole(down, self.shift * height)  # [N, H]
        columns = torch.arange(width) + _whole(right, self.shift * width)  # [N, W]
        columns = torch.where(mirrored < self.flip, width - 1 - columns, columns)
        if size:
            top, left = _drawn(2, count, (1,), random, part, batch)
            rows = rows + (top * (whole[0] - height + 1)).long()
            columns = columns + (left * (whole[1] - width + 1)).long()
        device = pictures.device
        sample = torch.arange(count, device=device)[:, None, None, None]
        channel = torch.arange(channels, device=device)[None, :, None, None]
        rows, columns = sent(rows.clamp(0, whole[0] - 1), device), sent(columns.clamp(0, whole[1] - 1), device)
        moved: Tensor = pictures[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]
        return moved

    def colour(self, pictures: Tensor, random: torch.Generator, part: Tensor | None = None, batch: int = 0) -> Tensor:
        """Change brightness and contrast of pictures [N, C, H, W] in [0, 1]; `part`, `batch`: see `place`."""
        if not (self.brightness or self.contrast):
            return pictures
        added, factor = sent(2 * _drawn(2, len(pictures), (1, 1, 1), random, part, batch) - 1, pictures.device)
        mean = pictures.mean((1, 2, 3), keepdim=True)
        changed: Tensor = (pictures - mean) * (1 + self.contrast * factor) + mean + self.brightness * added
        return changed.clamp(0, 1)


def cut_middle(pictures: Tensor, size: Sequence[int]) -> Tensor:
    """Crop pictures [N, C, H, W] to (height, width) at the centre."""
    top, left = ((whole - side) // 2 for whole, side in zip(pictures.shape[-2:], size, strict=True))
    return pictures[..., top : top + size[0], left : left + size[1]]


def _drawn(
    numbers: int, count: int, shape: tuple[int, ...], random: torch.Generator, part: Tensor | None, batch: int
) -> Tensor:
    """Draw numbers in [0, 1) for each picture, [numbers, N, *shape]; a part of a batch gets those of its rows."""
    import torch

    drawn = torch.rand(numbers, count if part is None else batch, *shape, generator=random)
    return drawn if part is None else drawn[:, part]


def _whole(random: Tensor, reach: float) -> Tensor:
    """Map numbers in [0, 1) to integers in -reach..reach."""
    return ((2 * random - 1) * reach).round().long()
