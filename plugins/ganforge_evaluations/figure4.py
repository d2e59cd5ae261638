"""Figure 4 of Kim et al. 2017: the toy's translations over the discriminator's output."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from torch import Tensor

from ganforge import Seen

GRID = 200
SHOWN = 1500
# A mode's colour and marker: seventy different pairs, and neighbours differ in both.
COLOURS, MARKERS = [colormaps["tab10"](place) for place in range(10)], "osDv^P*"


def draw_figure4(
    title: str, modes: Mapping[str, Tensor], labels: Tensor, images: Tensor, judged: Tensor | None = None
) -> Figure:
    """Draw the translated probes: one colour and marker for each mode of A, a cross for each mode of B.

    Args:
        title: title of the figure.
        modes: centres in each domain, [modes, 2].
        labels: mode of A of each probe, [N].
        images: translations of the probes, [N, 2].
        judged: the background: D_B's output on the grid of `judge`, [GRID, GRID].
    """
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    background = draw_panel(axes, modes, labels, images, judged)
    axes.set_title(title)
    if background is not None:
        add_scale(figure, background, [axes])
    axes.legend(loc="lower left", fontsize=7, framealpha=0.9)
    return figure


def draw_panel(
    axes: Axes, modes: Mapping[str, Tensor], labels: Tensor, images: Tensor, judged: Tensor | None
) -> ScalarMappable | None:
    """Draw one panel without title and legend, see `draw_figure4`; return its background for `add_scale`."""
    centre, reach = _frame(modes["B"])
    background = None if judged is None else _background(axes, judged, centre, reach)
    for mode in range(int(labels.max()) + 1):
        points = images[labels == mode][:SHOWN]
        colour, marker = COLOURS[mode % len(COLOURS)], MARKERS[mode % len(MARKERS)]
        axes.scatter(points[:, 0], points[:, 1], s=6, marker=marker, color=colour, alpha=0.5, linewidths=0)
        axes.scatter([], [], s=16, marker=marker, color=colour, label=f"mode {mode + 1} of A")  # for the legend
    axes.scatter(modes["B"][:, 0], modes["B"][:, 1], marker="x", color="black", s=40, zorder=3, label="modes of B")
    axes.set(aspect="equal")
    axes.set_xlim(float(centre[0] - reach), float(centre[0] + reach))
    axes.set_ylim(float(centre[1] - reach), float(centre[1] + reach))
    return background


def add_scale(figure: Figure, background: ScalarMappable, panels: Sequence[Axes]) -> None:
    """Add a scale for the grey background beside the panels."""
    figure.colorbar(background, ax=panels, shrink=0.8, label="D_B (1 = real)", ticks=[0, 0.5, 1])


def judge(view: Seen, modes: Tensor) -> Tensor | None:
    """Return sigmoid(D_B) on a grid of the plane around the modes, [GRID, GRID].

    None if the direction has no discriminator, or one that does not score each point.
    """
    if "discriminator" not in view:
        return None
    points = torch.stack(_grid(*_frame(modes)), dim=-1).reshape(-1, 2)
    score = view["discriminator"](points.to(view["source"].device))[0]
    if not isinstance(score, Tensor) or score.numel() != GRID * GRID:
        return None
    return score.sigmoid().reshape(GRID, GRID).cpu()


def _frame(modes: Tensor) -> tuple[Tensor, float]:
    """Return the centre and half the side of a square around the modes, with a margin."""
    low, high = modes.min(0).values, modes.max(0).values
    return (low + high) / 2, 0.5 * float((high - low).max()) * 1.35


def _grid(centre: Tensor, reach: float) -> list[Tensor]:
    line = torch.linspace(-reach, reach, GRID)
    return list(torch.meshgrid(centre[0] + line, centre[1] + line, indexing="xy"))


def _background(axes: Axes, judged: Tensor, centre: Tensor, reach: float) -> ScalarMappable:
    """Colour the plane by the discriminator's output."""
    x, y = _grid(centre, reach)
    colours = axes.contourf(x, y, judged, levels=torch.linspace(0, 1, 21).tolist(), cmap="Greys_r", alpha=0.6)
    axes.contour(x, y, judged, levels=[0.25, 0.5, 0.75], colors="white", linewidths=0.5)
    return colours
