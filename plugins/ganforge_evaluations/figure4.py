"""Figure 4 of Kim et al. 2017: where the toy's translations land, over what the discriminator thinks."""

from collections.abc import Mapping

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ganforge import Seen

GRID = 200
SHOWN = 1500


def draw_figure4(
    title: str, modes: Mapping[str, Tensor], labels: Tensor, images: Tensor, judged: Tensor | None = None
) -> Figure:
    """Draw where the probes land: one colour for each mode of A, a cross for each mode of B.

    Args:
        title: of the figure.
        modes: centres in each domain, [modes, 2].
        labels: mode of A of each probe, [N].
        images: of the probes, [N, 2].
        judged: the background: D_B's output on the grid of `judge`, [GRID, GRID].
    """
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    centre, reach = _frame(modes["B"])
    if judged is not None:
        _background(axes, judged, centre, reach, figure)
    for mode in range(int(labels.max()) + 1):
        points = images[labels == mode][:SHOWN]
        colour = colormaps["tab10"](mode % 10)
        axes.scatter(points[:, 0], points[:, 1], s=3, color=colour, alpha=0.5, label=f"mode {mode + 1} of A")
    axes.scatter(modes["B"][:, 0], modes["B"][:, 1], marker="x", color="black", s=60, zorder=3, label="modes of B")
    axes.set(title=title, aspect="equal")
    axes.set_xlim(float(centre[0] - reach), float(centre[0] + reach))
    axes.set_ylim(float(centre[1] - reach), float(centre[1] + reach))
    axes.legend(loc="lower left", fontsize=7, framealpha=0.9, markerscale=2)
    return figure


def judge(view: Seen, modes: Tensor) -> Tensor:
    """Return sigmoid(D_B) on a grid of the plane around the modes, [GRID, GRID]."""
    points = torch.stack(_grid(*_frame(modes)), dim=-1).reshape(-1, 2)
    score: Tensor = view["discriminator"](points.to(view["source"].device))[0]
    return score.sigmoid().reshape(GRID, GRID).cpu()


def _frame(modes: Tensor) -> tuple[Tensor, float]:
    """Return the centre and half the side of a square around the modes, with a margin."""
    low, high = modes.min(0).values, modes.max(0).values
    return (low + high) / 2, 0.5 * float((high - low).max()) * 1.35


def _grid(centre: Tensor, reach: float) -> list[Tensor]:
    line = torch.linspace(-reach, reach, GRID)
    return list(torch.meshgrid(centre[0] + line, centre[1] + line, indexing="xy"))


def _background(axes: Axes, judged: Tensor, centre: Tensor, reach: float, figure: Figure) -> None:
    """Colour the plane by the discriminator's output."""
    x, y = _grid(centre, reach)
    colours = axes.contourf(x, y, judged, levels=torch.linspace(0, 1, 21).tolist(), cmap="Greys_r", alpha=0.6)
    axes.contour(x, y, judged, levels=[0.25, 0.5, 0.75], colors="white", linewidths=0.5)
    figure.colorbar(colours, ax=axes, shrink=0.8, label="D_B (1 = real)", ticks=[0, 0.5, 1])
