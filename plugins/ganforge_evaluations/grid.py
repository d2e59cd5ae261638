"""Rows of pictures, as in Figures 6 to 9 of Kim et al. 2017."""

from functools import partial
from typing import Annotated

from attrs.validators import ge, le
from torch import Tensor

from ganforge import Findings, Trained
from ganforge_evaluations.pictures import inputs, require_pictures, rows_figure


def grid(trained: Trained, *, count: Annotated[int, ge(1), le(100)] = 10) -> Findings:
    """Rows of test inputs, their translations, and these translated back, for every direction.

    Args:
        trained: networks that translate pictures.
        count: pictures in a row.

    Returns:
        No metrics, and the figure `grid`.

    Raises:
        InputError: the samples are no pictures.
    """
    require_pictures(trained, "grid")
    rows: list[tuple[str, Tensor]] = []
    batch = {domain: inputs(trained, domain, count) for domain in trained.dataset.shapes}
    size = min(map(len, batch.values()))
    for view in trained.views({domain: samples[:size] for domain, samples in batch.items()}):
        if not trained.translates(view.name):
            rows.append((view.name, trained.draw(view.name, size)))
            continue
        source, target = trained.source(view.name), trained.target(view.name)
        rows.append((source, view["source"].cpu()))
        rows.append((f"{source} to {target}", view["fake"].float().cpu()))
        if "reconstructed" in view:
            rows.append((f"and back to {source}", view["reconstructed"].float().cpu()))
    return Findings({}, {"grid": partial(rows_figure, rows)})
