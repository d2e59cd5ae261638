"""A contact sheet: samples of each domain in one picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import pad

from ganforge import Drawn, Stored, as_float, random_generator

if TYPE_CHECKING:
    import numpy as np

PICTURES, COLUMNS = 48, 6  # of each domain
POINTS = 2000


def draw_sheet(sources: Mapping[str, Stored | Drawn], path: Path) -> bool:
    """Draw training samples of every domain side by side: pictures, evenly spread over the split, or points.

    Returns:
        Whether the samples can be drawn.
    """
    figure = Figure(figsize=(5 * len(sources), 7), layout="constrained")
    for axes, (domain, samples) in zip(
        figure.subplots(1, len(sources), squeeze=False)[0], sources.items(), strict=True
    ):
        shown = _some(samples)
        count = f"{samples.length:,} training samples" if isinstance(samples, Stored) else "drawn at each step"
        axes.set_title(f"{domain}: {count}")
        if shown.ndim == 4:
            axes.imshow(_grid(shown), cmap="gray", vmin=0, vmax=1)
            axes.axis("off")
        elif shown.shape[1:] == (2,):
            axes.scatter(*shown.T.numpy(), s=3)
            axes.set_aspect("equal")
        else:
            return False
    figure.savefig(path, dpi=150)
    return True


def _grid(pictures: Tensor) -> "np.ndarray[Any, Any]":
    """Arrange pictures [N, C, H, W] in columns, [H, W] or [H, W, 3]."""
    pictures = pad(pictures[:, :3] if pictures.shape[1] >= 3 else pictures[:, :1], (1, 1, 1, 1), value=1.0)
    missing = -len(pictures) % COLUMNS
    pictures = torch.cat([pictures, torch.ones(missing, *pictures.shape[1:])])
    count, channels, height, width = pictures.shape
    grid = pictures.reshape(count // COLUMNS, COLUMNS, channels, height, width).permute(0, 3, 1, 4, 2)
    array: np.ndarray[Any, Any] = grid.reshape(-1, COLUMNS * width, channels).squeeze(-1).numpy()
    return array


def _some(samples: Stored | Drawn) -> Tensor:
    if isinstance(samples, Drawn):
        return samples.draw(POINTS, random_generator(0, "sheet"))
    first = as_float(samples.load(range(1)))
    count = min(PICTURES if first.ndim == 4 else POINTS, samples.length)
    chosen = torch.linspace(0, samples.length - 1, count).long().tolist()
    return as_float(samples.load(chosen))
