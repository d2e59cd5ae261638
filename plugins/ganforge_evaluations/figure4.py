"""Figure 4 of Kim et al. 2017: where the toy's translations land, over what the discriminator thinks."""

from collections.abc import Mapping

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ganforge import Trained, View

GRID = 200
SHOWN = 1500


def draw_figure4(
    trained: Trained, view: View, modes: Mapping[str, Tensor], labels: Tensor, before: Tensor, after: Tensor
) -> Figure:
    """Draw the initial state beside the trained one.

    Args:
        trained: what was trained.
        view: its direction from A to B; the background is sigmoid(D_B).
        modes: centres in each domain; those of B are drawn as black crosses.
        labels: mode of A of each probe, [N]: one colour each.
        before: images of the probes under the initial networks, [N, 2].
        after: images under the trained networks, [N, 2].
    """
    figure = Figure(figsize=(10, 5), layout="constrained")
    first, second = figure.subplots(1, 2)
    centre, reach = _frame(modes["B"])
    for axes, images, title in (
        (first, before, "(a) initial state"),
        (second, after, f"(b) {trained.plan.name}, step {trained.step:,}"),
    ):
        if axes is second:
            _background(axes, view, centre, reach, figure)
        for mode in range(int(labels.max()) + 1):
            points = images[labels == mode][:SHOWN]
            colour = colormaps["tab10"](mode % 10)
            axes.scatter(points[:, 0], points[:, 1], s=3, color=colour, alpha=0.5, label=f"mode {mode + 1} of A")
        axes.scatter(modes["B"][:, 0], modes["B"][:, 1], marker="x", color="black", s=60, zorder=3, label="modes of B")
        axes.set(title=title, aspect="equal")
        axes.set_xlim(float(centre[0] - reach), float(centre[0] + reach))
        axes.set_ylim(float(centre[1] - reach), float(centre[1] + reach))
    second.legend(loc="lower left", fontsize=7, framealpha=0.9, markerscale=2)
    return figure


def _frame(modes: Tensor) -> tuple[Tensor, float]:
    """Return the centre and half the side of a square around the modes, with a margin."""
    low, high = modes.min(0).values, modes.max(0).values
    return (low + high) / 2, 0.5 * float((high - low).max()) * 1.35


def _background(axes: Axes, view: View, centre: Tensor, reach: float, figure: Figure) -> None:
    """Colour the plane by the discriminator's output."""
    line = torch.linspace(-reach, reach, GRID)
    x, y = torch.meshgrid(centre[0] + line, centre[1] + line, indexing="xy")
    score, _ = view.discriminator(torch.stack([x, y], dim=-1).reshape(-1, 2).to(view.source.device))
    values = score.sigmoid().reshape(GRID, GRID).cpu()
    colours = axes.contourf(x, y, values, levels=torch.linspace(0, 1, 21).tolist(), cmap="Greys_r", alpha=0.6)
    axes.contour(x, y, values, levels=[0.25, 0.5, 0.75], colors="white", linewidths=0.5)
    figure.colorbar(colours, ax=axes, shrink=0.8, label="D_B (1 = real)", ticks=[0, 0.5, 1])
