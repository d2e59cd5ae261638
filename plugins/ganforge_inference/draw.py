"""Drawing samples with trained networks that make them of noise alone."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from attrs import frozen
from torch import Tensor

from ganforge import InputError, Trained
from ganforge_inference.translate import MODES, save_picture

GRID = 256  # pictures in the grid, at most


@frozen
class Drawing:
    """Where drawn samples go: one file for each, and one with all of them side by side, if they are pictures."""

    samples: list[Path]
    grid: Path | None


def pick_direction(trained: Trained, wanted: str | None) -> str:
    """Return the direction to draw: the one that is wanted, or the only one that needs no source.

    Raises:
        InputError: there is none, or several; or the one that is wanted translates.
    """
    if wanted is not None:
        if trained.translates(wanted):
            raise InputError(f"the direction {wanted} translates samples of another domain: use `ganforge translate`")
        return wanted
    drawing = [name for name in trained.directions if not trained.translates(name)]
    if not drawing:
        raise InputError(
            f"this run translates ({', '.join(trained.directions)}), and needs samples for it: use `ganforge translate`"
        )
    if len(drawing) > 1:
        raise InputError(f"this run draws in several directions: say --direction with one of {', '.join(drawing)}")
    return drawing[0]


def plan_drawing(trained: Trained, direction: str, count: int, out: Path, *, overwrite: bool = False) -> Drawing:
    """Name the files: pictures become PNGs and a grid; anything else arrays.

    Raises:
        InputError: the count is less than 1, or a file would be overwritten.
    """
    if count < 1:
        raise InputError(f"--count: expected 1 or more, got {count}")
    shape = trained.dataset.shapes[trained.target(direction)]
    pictures = len(shape) == 3 and shape[0] in MODES
    width = max(4, len(str(count - 1)))
    samples = [out / f"{number:0{width}d}{'.png' if pictures else '.npy'}" for number in range(count)]
    drawing = Drawing(samples, out / "grid.png" if pictures else None)
    for path in [*drawing.samples, *([drawing.grid] if drawing.grid else [])]:
        if path.exists() and not overwrite:
            raise InputError(f"'{path}' exists already: choose another --out, or say --overwrite")
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
    """
    total = len(drawing.samples)
    with trained.evaluating():
        samples = trained.draw(direction, total, seed=seed)
    drawing.samples[0].parent.mkdir(parents=True, exist_ok=True)
    for done, (sample, path) in enumerate(zip(samples, drawing.samples, strict=True), 1):
        if drawing.grid:
            save_picture(sample.clamp(0, 1), path)
        else:
            np.save(path, sample.numpy(), allow_pickle=False)
        report(done, total)
    if drawing.grid:
        save_picture(_side_by_side(samples[:GRID].clamp(0, 1)), drawing.grid)


def _side_by_side(pictures: Tensor) -> Tensor:
    """Lay out pictures, [N, C, H, W], as a square of rows and columns, [C, height, width]."""
    from torchvision.utils import make_grid

    grid: Tensor = make_grid(pictures, nrow=math.ceil(math.sqrt(len(pictures))), padding=2, pad_value=1)
    return grid
