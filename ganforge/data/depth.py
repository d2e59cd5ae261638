"""The value range of picture files: the type of their numbers, and which of these are black and white."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Kind = Literal["uint8", "uint16", "int16", "int32", "float32"]


@frozen
class Depth:
    """The mapping between the numbers in a domain's picture files and pixels in [0, 1].

    Attributes:
        kind: type of the numbers.
        low: the number that maps to 0.
        high: the number that maps to 1.
    """

    kind: Kind = "uint8"
    low: float = 0.0
    high: float = 255.0

    def pixels(self, numbers: Tensor) -> Tensor:
        """Map numbers of a file to float32 pixels, clamped to [0, 1]."""
        import torch

        exact = torch.float64 if numbers.dtype in (torch.int32, torch.float64) else torch.float32
        wide = numbers.to(exact, copy=True)
        return wide.sub_(self.low).div_(self.high - self.low).float().clamp_(0, 1)

    def numbers(self, pixels: Tensor) -> np.ndarray[Any, Any]:
        """Map float pixels, clamped to [0, 1], to numbers for a file; integer types are rounded."""
        import numpy as np

        found = pixels.double().clamp(0, 1).mul(self.high - self.low).add(self.low).numpy()
        if self.kind == "float32":
            return found.astype(np.float32)
        limits = np.iinfo(self.kind)  # a range may reach beyond them
        return found.round().clip(limits.min, limits.max).astype(self.kind)


@frozen(eq=False)
class Picture:
    """A whole picture as stored in its file.

    Attributes:
        numbers: [C, H, W], of any type that files have.
        depth: their value range.
    """

    numbers: Tensor
    depth: Depth = Depth()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.numbers.shape[1:]
        return height, width

    @property
    def pixels(self) -> Tensor:
        """The picture as float32 [C, H, W] in [0, 1]."""
        return self.depth.pixels(self.numbers)
