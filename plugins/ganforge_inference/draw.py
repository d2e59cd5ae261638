"""Drawing samples with trained networks that need only noise."""

import math
from collections.abc import Callable
from pathlib import Path

from attrs import frozen
from torch import Tensor

from ganforge import InputError, Trained
from ganforge_inference.output import MODES, require_free, save, so_far, telling, to_image

GRID = 256  # largest number of pictures in the grid


@frozen
class Drawing:
    """The files of drawn samples: one for each and, for pictures, one with a grid of them."""

    samples: list[Path]
    grid: Path | None


def plan_drawing(trained: Trained, direction: str, count: int, out: Path, *, overwrite: bool = False) -> Drawing:
    """Choose the file names: PNGs and a grid for pictures, arrays for anything else.

    Raises:
        InputError: the count is less than 1, or a file would be overwritten, or cannot be written.
    """
    if count < 1:
        raise InputError(f"--count: expected 1 or more, got {count}")
    shape = trained.dataset.shapes[trained.target(direction)]
    pictures = len(shape) == 3 and shape[0] in MODES
    width = max(4, len(str(count - 1)))
    samples = [out / f"{number:0{width}d}{'.png' if pictures else '.npy'}" for number in range(count)]
    drawing = Drawing(samples, out / "grid.png" if pictures else None)
    require_free([*samples, *([drawing.grid] if drawing.grid else [])], overwrite=overwrite)
    return drawing


def draw(
    trained: Trained,
    direction: str,
    drawing: Drawing,
    seed: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Draw and write samples; the same seed gives the same samples, and a larger count starts with them.

    Args:
        trained: the networks.
        direction: a direction that needs no source.
        drawing: the files to write.
        seed: seed of the noise.
        report: called with (done, total).

    Raises:
        RunFailedError: a file cannot be written; earlier ones are complete.
    """
    total = len(drawing.samples)
    with trained.evaluating():
        samples = trained.draw(direction, total, seed=seed)
    if drawing.grid:
        samples = samples.clamp(0, 1)
    for done, (sample, path) in enumerate(zip(samples, drawing.samples, strict=True)):
        with telling(path, so_far(done, total)):
            save(to_image(sample) if drawing.grid else sample.numpy(), path)
        report(done + 1, total)
    if drawing.grid:
        with telling(drawing.grid, so_far(total, total)):
            save(to_image(_side_by_side(samples[:GRID])), drawing.grid)


def _side_by_side(pictures: Tensor) -> Tensor:
    """Lay out pictures, [N, C, H, W], as a square of rows and columns, [C, height, width]."""
    from torchvision.utils import make_grid

    grid: Tensor = make_grid(pictures, nrow=math.ceil(math.sqrt(len(pictures))), padding=2, pad_value=1)
    return grid
