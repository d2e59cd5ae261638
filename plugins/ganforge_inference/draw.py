"""Drawing samples with trained networks that make them of noise alone."""

import math
from collections.abc import Callable
from pathlib import Path

from attrs import frozen
from torch import Tensor

from ganforge import InputError, Trained
from ganforge_inference.output import MODES, require_free, save, so_far, telling, to_image

GRID = 256  # pictures in the grid, at most


@frozen
class Drawing:
    """Where drawn samples go: one file for each, and one with all of them side by side, if they are pictures."""

    samples: list[Path]
    grid: Path | None


def plan_drawing(trained: Trained, direction: str, count: int, out: Path, *, overwrite: bool = False) -> Drawing:
    """Name the files: pictures become PNGs and a grid; anything else arrays.

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
    """Draw samples and write them; the same seed gives the same ones, and a larger count begins with them.

    Args:
        trained: the networks.
        direction: one that needs no source.
        drawing: where the samples go.
        seed: of the noise.
        report: told of (done, total).

    Raises:
        RunFailedError: a file cannot be written; those before it are whole.
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
