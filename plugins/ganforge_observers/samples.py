"""`samples/step-XXXXXXXX.png`: the same test inputs every time, with their translations and reconstructions."""

from collections.abc import Container, Sequence
from io import BytesIO

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import interpolate

from ganforge import Run, Seen

SMALLEST = 64
ROWS = ("source", "fake", "reconstructed")


def draw(run: Run) -> None:
    """Write the sample picture of the current step: a grid for pictures, a scatter plot for points of the plane.

    Other samples cannot be drawn, which is said once.
    """
    buffer = BytesIO()
    with run.sample() as views:
        if all(view["fake"].ndim == 4 for view in views):
            from torchvision.utils import save_image  # takes seconds, which points do not need

            save_image(picture_grid(views, run.trained.drawn), buffer, format="png")
        elif all(view["fake"].shape[1:] == (2,) for view in views):
            scatter(views).savefig(buffer, format="png", dpi=100)
        else:
            run.warn("samples are neither pictures nor points of the plane: there will be no sample pictures")
            return
    run.files.write(f"samples/step-{run.step:08d}.png", buffer.getvalue())


def picture_grid(views: Sequence[Seen], drawn: Container[str] = ()) -> Tensor:
    """Lay out pictures, [3, H, W]: for each direction a row of inputs, of translations, and of reconstructions.

    Args:
        views: the directions.
        drawn: fields that are noise, of which there is no picture.
    """
    from torchvision.utils import make_grid

    rows = []
    for view in views:
        for name in ROWS:
            if name in view and view.fields.get(name) not in drawn:
                row = view[name].float().cpu()  # [N, C, H, W]
                rows.append(row[:, :3] if row.shape[1] >= 3 else row[:, :1].expand(-1, 3, -1, -1))
    scale = max(1, SMALLEST // rows[0].shape[-1])
    # A wider gap tells one direction from the next.
    grids = [make_grid(interpolate(row, scale_factor=scale), nrow=len(row), padding=2, pad_value=1) for row in rows]
    return torch.cat(grids, dim=1)


def scatter(views: Sequence[Seen]) -> Figure:
    """Plot, for each direction, real targets in grey and translations in colour."""
    figure = Figure(figsize=(4 * len(views), 4), layout="constrained")
    for axes, view in zip(figure.subplots(1, len(views), squeeze=False)[0], views, strict=True):
        for value, colour, label in (("real", "lightgrey", "real"), ("fake", "tab:blue", "translated")):
            if value in view:
                x, y = view[value].float().cpu().T
                axes.scatter(x, y, s=6, color=colour, label=label)
        axes.set(title=view.name, aspect="equal")
        axes.legend(fontsize=7)
    return figure
