"""`samples/step-XXXXXXXX.png`: the same test inputs every time, with their translations and reconstructions."""

from collections.abc import Container, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ganforge import Run, Seen

SMALLEST = 64
ROWS = ("source", "fake", "reconstructed")
LETTER, LARGEST = 11, 24  # limits of the labels' letter height in pixels, which is a tenth of a row
WIDEST = 9  # largest width of a label in letter heights


def draw(run: Run, views: Sequence[Seen]) -> None:
    """Write the sample picture of the current step: a grid for pictures, a scatter plot for points in the plane.

    Other samples cannot be drawn; a warning says so once.
    """
    name = f"samples/step-{run.step:08d}.png"
    if all(view["fake"].ndim == 4 for view in views):
        from torchvision.utils import save_image  # takes seconds, and is not needed for points

        grid = picture_grid(views, run.trained.drawn)

        def write() -> None:
            buffer = BytesIO()
            save_image(grid, buffer, format="png")
            run.files.write(name, buffer.getvalue())

        run.beside.begin(write)
    elif all(view["fake"].shape[1:] == (2,) for view in views):
        buffer = BytesIO()
        scatter(views).savefig(buffer, format="png", dpi=100)  # matplotlib cannot draw in two threads at once
        run.files.write(name, buffer.getvalue())
    else:
        run.warn("samples are neither pictures nor points in the plane: there will be no sample pictures")


def picture_grid(views: Sequence[Seen], drawn: Container[str] = ()) -> Tensor:
    """Lay out pictures, [3, H, W]: for each direction a row of inputs, translations and reconstructions.

    Each row has its name at the left. Narrower rows are padded with white.

    Args:
        views: the directions.
        drawn: fields that are noise, which is not drawn.
    """
    from torchvision.utils import make_grid

    rows, names = [], []
    for view in views:
        for name in ROWS:
            if name in view and view.fields.get(name) not in drawn:
                row = view[name].float().cpu()  # [N, C, H, W]
                row = row[:, :3] if row.shape[1] >= 3 else row[:, :1].expand(-1, 3, -1, -1)
                row = interpolate(row, scale_factor=max(1, SMALLEST // row.shape[-1]))
                rows.append(make_grid(row, nrow=len(row), padding=2, pad_value=1))
                names.append(name_row(view, name))
    width = max(row.shape[-1] for row in rows)
    grid = torch.cat([pad(row, (0, width - row.shape[-1]), value=1) for row in rows], dim=1)
    return torch.cat([label_rows(names, [row.shape[1] for row in rows]), grid], dim=2)


def name_row(view: Seen, value: str) -> str:
    """Return the name of a row: `A`, `→ B` and `→ A` for a direction from A to B; its own name if it only draws."""
    if len(view.domains) < 2:
        return view.name
    source, target = view.domains[0], view.domains[-1]
    return {"source": source, "fake": f"→ {target}"}.get(value, f"→ {source}")


def label_rows(names: Sequence[str], heights: Sequence[int]) -> Tensor:
    """Render names in black on white, each in the middle of its row: [3, sum of heights, width].

    Args:
        names: one for each row; long ones are shortened.
        heights: heights of the rows in pixels.
    """
    size = min(max(LETTER, min(heights) // 10), LARGEST)
    letters = _letters(size)
    shown = [_cut(name, letters, WIDEST * size) for name in names]
    width = int(max(map(letters.getlength, shown))) + size
    margin = Image.new("L", (width, sum(heights)), "white")
    pen, top = ImageDraw.Draw(margin), 0
    for name, height in zip(shown, heights, strict=True):
        pen.text((width - size / 2, top + height / 2), name, fill="black", font=letters, anchor="rm")
        top += height
    return torch.from_numpy(np.array(margin)).float().div(255).expand(3, -1, -1)


@cache
def _letters(size: int) -> ImageFont.FreeTypeFont:
    """Return matplotlib's font, which has arrows and most alphabets."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def _cut(name: str, letters: ImageFont.FreeTypeFont, width: float) -> str:
    """Return the name on one line, shortened with an ellipsis if it is too wide."""
    name = " ".join(name.split())
    if letters.getlength(name) <= width:
        return name
    starts = (f"{name[:end]}…" for end in range(len(name), -1, -1))
    return next((start for start in starts if letters.getlength(start) <= width), "")


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
