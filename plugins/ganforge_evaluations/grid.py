"""Rows of pictures, as in Figures 6 to 9 of Kim et al. 2017."""

from functools import partial
from typing import Annotated

from attrs.validators import ge, le
from torch import Tensor

from ganforge import Findings, Trained
from ganforge_evaluations.pictures import inputs, reconstructing, require_pictures, rows_figure


def grid(trained: Trained, *, count: Annotated[int, ge(1), le(100)] = 10) -> Findings:
    """Rows of test inputs, their translations and reconstructions, for every direction.

    Args:
        trained: networks that translate pictures.
        count: pictures in a row.

    Returns:
        No metrics, and the figure `grid`.

    Raises:
        InputError: the samples are not pictures.
    """
    require_pictures(trained, "grid")
    rows: list[tuple[str, Tensor]] = []
    batch = {domain: inputs(trained, domain, count) for domain in trained.dataset.shapes}
    size = min(map(len, batch.values()))
    back = reconstructing(trained)
    for direction in trained.directions:
        if not trained.translates(direction):
            rows.append((direction, trained.draw(direction, size)))
            continue
        source, target = trained.source(direction), trained.target(direction)
        shown = batch[source][:size]
        rows.append((source, shown))
        rows.append((f"{source} to {target}", trained.translate(direction, shown, size)))
        if direction in back:
            rows.append((f"and back to {source}", trained.translate(direction, shown, size, value="reconstructed")))
    return Findings({}, {"grid": partial(rows_figure, rows)})
