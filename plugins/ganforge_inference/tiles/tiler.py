"""Cutting large pictures into tiles, and translating them as if they were whole."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from ganforge import Depth, InputError, Picture
from ganforge_inference.sizes import fitting
from ganforge_inference.tiles.layout import Grid, parts_of
from ganforge_inference.tiles.memory import bytes_per_pixel, free_on
from ganforge_inference.tiles.pooled import Pooled
from ganforge_inference.tiles.reach import reach_of

SHARE = 1 / 2  # share of the free memory that a translation may take
USUAL = 2048  # side of a tile in pixels, if memory allows it and the reach is no more than a few hundred
TRIAL = 128  # side in pixels of the picture on which memory is measured
TOGETHER = 16  # tiles that should fit into memory at once, with norms over the whole picture

Report = Callable[[str, int, int], None]  # called with (what, done, total)


class Tiler:
    """Translates large pictures by tiles; use it only while the networks are in evaluation mode.

    Args:
        make: translates [1, C, H, W] on the device to [1, C', H, W] on the CPU.
        networks: the networks that `make` uses.
        channels: channels of the input and of the output.
        multiple: height and width must be multiples of it.
        least: the smallest height and width.
        device: device of the networks.
        tile: height and width of tiles; None to cut pictures only if memory is short.
        overlap: pixels that neighbours share; None for enough to give the result of the whole picture.
    """

    def __init__(
        self,
        make: Callable[[Tensor], Tensor],
        networks: Sequence[nn.Module],
        channels: tuple[int, int],
        *,
        multiple: int,
        least: int,
        device: torch.device,
        tile: int | None = None,
        overlap: int | None = None,
    ) -> None:
        self.make, self.networks, self.channels, self.device = make, networks, channels, device
        self.multiple, self.least = multiple, least
        self._require(tile, overlap)
        self._asked = tile
        self.tile = None if tile is None else fitting(tile, multiple, least)
        self.overlap = None if overlap is None else -(-overlap // multiple) * multiple

    def _require(self, tile: int | None, overlap: int | None) -> None:
        if tile is not None and tile < 1:
            raise InputError(f"--tile: expected 1 or more, got {tile}")
        if overlap is not None and overlap < 0:
            raise InputError(f"--overlap: expected 0 or more, got {overlap}")
        if overlap is not None and tile is not None and overlap >= tile:
            raise InputError(f"--overlap: expected less than the tile's {tile}, got {overlap}")

    @cached_property
    def reach(self) -> int | None:
        """Pixels at a cut that differ from the whole picture, rounded up to a multiple; None if all do."""
        with Pooled.of(self.networks).away():
            found = reach_of(self.make, self.channels[0], self.multiple, self.least, self.device)
        return None if found is None else -(-found // self.multiple) * self.multiple

    @cached_property
    def bytes_per_pixel(self) -> float:
        """The memory of a translation per pixel."""
        side = fitting(TRIAL, self.multiple, self.least)
        return bytes_per_pixel(
            self.make, self.networks, torch.zeros(1, self.channels[0], side, side, device=self.device)
        )

    def check(self) -> list[str]:
        """Return notes for the user on the requested tiles.

        Raises:
            InputError: such tiles are impossible.
        """
        if self.tile is None:
            return []
        if self.reach is None:
            raise InputError("--tile: every output pixel depends on the whole picture; it cannot be cut into tiles")
        if self.tile < (least := self._smallest(self.reach)):
            looks = f"output pixels depend on {self.reach} pixels to each side"
            raise InputError(f"--tile: {looks}; choose {least} or more")
        overlap, needed = self._overlap(self.tile), 2 * self.reach
        if overlap >= self.tile:
            raise InputError(f"--overlap: {overlap} is not less than the tile's {self.tile}; choose a larger tile")
        notes = []
        if self.tile != self._asked:
            notes.append(
                f"tiles are {self.tile} pixels wide, the next multiple of {self.multiple} that the networks take"
            )
        if overlap < needed:
            notes.append(
                f"tiles share {overlap} pixels with their neighbours, fewer than the networks need: where they meet, "
                f"the result differs from that of the whole picture; --overlap {needed} avoids this"
            )
        return notes

    def grid_for(self, size: tuple[int, int]) -> Grid | None:
        """Return the tiles of a picture of (height, width); None if it is translated whole."""
        given = fitting(size[0], self.multiple, self.least), fitting(size[1], self.multiple, self.least)
        tile = self.tile
        small = max(given) <= fitting(
            TRIAL, self.multiple, self.least
        )  # no larger than the picture on which memory is measured
        if tile is None and not small and math.prod(given) * self.bytes_per_pixel > SHARE * free_on(self.device):
            tile = self._chosen()
        if tile is None or max(given) <= tile:
            return None
        reach, overlap = self.reach or 0, self._overlap(tile)
        rows, columns = (parts_of(side, tile, overlap, reach, self.multiple) for side in given)
        return Grid(size, rows, columns)

    def translate(self, picture: Picture, grid: Grid, depth: Depth, report: Report) -> Picture:
        """Translate a picture by tiles into numbers of a depth."""
        pooled = Pooled.of(self.networks)
        if pooled.norms:
            self._measure(picture, grid, pooled, report)
        with pooled.using():
            return grid.joined(self._tiles(picture, grid, pooled, report), self.channels[1], depth)

    def _measure(self, picture: Picture, grid: Grid, pooled: Pooled, report: Report) -> None:
        """Measure the norms on all tiles: in as few batches as memory allows, each from all over the picture."""
        tiles = list(grid.places())
        need = len(tiles) * grid.area * self.bytes_per_pixel
        count = min(len(tiles), math.ceil(need / (SHARE * free_on(self.device))))
        order = torch.randperm(len(tiles), generator=torch.Generator().manual_seed(0)).tolist()
        with pooled.measuring():
            for number in range(count):
                report("measuring tiles", number, count)
                batch = [tiles[place] for place in order[number::count]]
                pooled.begin(batch)
                self.make(torch.cat([grid.cut(picture, *tile) for tile in batch]).to(self.device))
        report("measuring tiles", count, count)

    def _tiles(self, picture: Picture, grid: Grid, pooled: Pooled, report: Report) -> Iterator[Tensor]:
        for done, tile in enumerate(grid.places()):
            report("translating tiles", done, len(grid))
            pooled.begin([tile])
            yield self.make(grid.cut(picture, *tile).to(self.device))[0].clamp(0, 1).nan_to_num(0)
        report("translating tiles", len(grid), len(grid))

    def _smallest(self, reach: int) -> int:
        return fitting(2 * reach + self.multiple, self.multiple, self.least)

    def _overlap(self, tile: int) -> int:
        """Return the overlap: by default enough for the result of the whole picture, but at most half a tile."""
        if self.overlap is not None:
            return self.overlap
        return min(2 * (self.reach or 0), tile // 2 // self.multiple * self.multiple)

    def _chosen(self) -> int | None:
        """Return the largest side of a tile that fits into memory; None if pictures cannot be cut."""
        if self.reach is None:
            return None
        together = TOGETHER if Pooled.of(self.networks).norms else 1
        most = math.isqrt(int(SHARE * free_on(self.device) / (together * self.bytes_per_pixel)))
        wanted = max(min(most, USUAL), 4 * self.reach, 2 * (self.overlap or 0), self._smallest(self.reach))
        return fitting(wanted, self.multiple)
