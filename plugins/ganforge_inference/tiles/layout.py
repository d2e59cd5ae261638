"""The layout of tiles, the part of each that is used, and joining them to a picture, one row of tiles at a time."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from ganforge import Depth, Picture
from ganforge_inference.sizes import reflected


@frozen(eq=False)
class Part:
    """A tile along one side of the picture.

    Attributes:
        start: its first pixel.
        stop: the pixel after its last one.
        owned: range that belongs to this tile and to no other.
        first: its first pixel that is used.
        weights: weights of the pixels that are used, float [length]; over all tiles they sum to 1 at every pixel.
    """

    start: int
    stop: int
    owned: tuple[int, int]
    first: int
    weights: Tensor

    @property
    def used(self) -> slice:
        """The part that is used, counted from the tile's first pixel."""
        return slice(self.first - self.start, self.first - self.start + len(self.weights))


def parts_of(side: int, tile: int, overlap: int, reach: int, multiple: int) -> list[Part]:
    """Cut a side into tiles that start at multiples, as evenly as possible.

    Neighbours are blended by a linear ramp in the middle of their overlap. The ramp is as long as possible without
    pixels within `reach` of the ends of either tile, if the overlap is large enough.

    Args:
        side: its pixels, a multiple.
        tile: pixels of a tile, a multiple.
        overlap: minimum overlap of neighbours, a multiple below `tile`.
        reach: pixels at a cut that differ from the whole picture; a multiple.
        multiple: the number that all of these are multiples of.
    """
    tile, step = min(tile, side), tile - overlap
    gaps = -(-(side - tile) // step)
    starts = [place * (side - tile) // max(1, gaps) // multiple * multiple for place in range(gaps + 1)]
    middles, halves = [0], [0]
    for left, right in pairwise(starts):
        half = (left + tile - right) // multiple // 2 * multiple
        middles.append(right + half)
        halves.append(min(half - reach if half >= reach else half // 2, tile // 16, step // 4))
    middles.append(side)
    halves.append(0)
    parts = []
    for place, start in enumerate(starts):
        (low, high), (up, down) = middles[place : place + 2], halves[place : place + 2]
        first, last = low - up, high + down
        at = torch.arange(first, last) + 0.5
        rising = (at - first) / (2 * up) if up else torch.ones(len(at))
        falling = (last - at) / (2 * down) if down else torch.ones(len(at))
        weights = torch.minimum(rising, falling).clamp(max=1)
        parts.append(Part(start, start + tile, (low, high), first, weights))
    return parts


@frozen(eq=False)
class Grid:
    """The tiles of a picture.

    Attributes:
        size: height and width of the picture itself.
        rows: the tiles from top to bottom, along the padded height.
        columns: the tiles from left to right.
    """

    size: tuple[int, int]
    rows: Sequence[Part]
    columns: Sequence[Part]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    @property
    def area(self) -> int:
        """Pixels of a tile."""
        row, column = self.rows[0], self.columns[0]
        return (row.stop - row.start) * (column.stop - column.start)

    def places(self) -> Iterator[tuple[Part, Part]]:
        """Yield (row, column) of every tile, row by row."""
        yield from ((row, column) for row in self.rows for column in self.columns)

    def cut(self, picture: Picture, row: Part, column: Part) -> Tensor:
        """Return the pixels of a tile, float [1, C, h, w], of the picture padded by reflection."""
        height, width = self.size
        across = reflected(width, column.start, column.stop)
        down = reflected(height, row.start, row.stop)
        return picture.depth.pixels(picture.numbers[:, down[:, None], across])[None]

    def joined(self, tiles: Iterator[Tensor], channels: int, depth: Depth) -> Picture:
        """Join translated tiles, float [C, h, w] each, in the order of `places`, to numbers of a depth."""
        height, width = self.size
        numbers = np.empty((channels, height, width), depth.kind)
        kept = torch.zeros(channels, 0, width)
        for place, row in enumerate(self.rows):
            band = torch.zeros(channels, len(row.weights), width)
            band[:, : kept.shape[1]] = kept
            for column in self.columns:
                tile = next(tiles)[:, row.used, column.used]
                stop = min(width, column.first + len(column.weights))
                if column.first < stop:
                    weighted = tile * (row.weights[:, None] * column.weights)
                    band[:, :, column.first : stop] += weighted[:, :, : stop - column.first]
            following = self.rows[place + 1].first if place + 1 < len(self.rows) else height
            stop = min(height, following)
            if row.first < stop:
                numbers[:, row.first : stop] = depth.numbers(band[:, : stop - row.first])
            kept = band[:, following - row.first :]
        return Picture(torch.from_numpy(numbers), depth)
