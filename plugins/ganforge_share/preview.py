"""The preview of a pack: test pictures and their translations, from what the run drew, or drawn now."""

from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

import torch
from attrs import frozen
from torch import Tensor
from torch.nn.functional import pad

from ganforge import InputError, PluginError, Stored, Trained, as_float, read_inside, read_results

LARGEST = 1 << 25  # bytes of a picture that is taken from a run
COUNT = 8  # pictures in a row
OWN = "what the run drew at this step; each row says what it shows"


@frozen
class Preview:
    """A PNG, if there is one, and what is to be said about it."""

    content: bytes | None
    note: str


def find_preview(trained: Mapping[str, Trained], run: Path | None) -> Preview:
    """Take the sample picture of this very step, or the figure of its evaluation; else draw one of the test data.

    Args:
        trained: the networks of each direction.
        run: the folder of their run, if it is there.
    """
    step = next(iter(trained.values())).step
    if run is not None:
        if content := _read(run, f"samples/step-{step:08d}.png"):
            return Preview(content, OWN)
        if (figures := _figures(run, step)) and (content := _read(run, f"{figures}/grid.png")):
            return Preview(content, OWN)
    if any(len(shape) != 3 for one in trained.values() for shape in _shapes(one)):
        return Preview(None, "what it makes are no pictures")
    try:
        rows = [row for direction, one in trained.items() for row in _rows(one, direction)]
    except (InputError, PluginError) as error:
        return Preview(None, f"the data are not here: {error.args[0]}")
    names = ", ".join(name for name, _ in rows)
    return Preview(_as_png([pictures for _, pictures in rows]), f"rows of test pictures: {names}")


def _read(run: Path, name: str) -> bytes | None:
    try:
        return read_inside(run, name, LARGEST)
    except (InputError, FileNotFoundError):
        return None


def _figures(run: Path, step: int) -> str:
    """Return where in a run's folder the figures of this step lie; empty if it has none of it."""
    try:
        results = read_results(run)
    except InputError:
        return ""
    if results is None:
        return ""
    if results.last.step == step:
        return "figures"
    return "figures/best" if results.best is not None and results.best.step == step else ""


def _shapes(trained: Trained) -> list[tuple[int, ...]]:
    """Return the shapes of what its directions make."""
    return [trained.dataset.shapes[trained.target(direction)] for direction in trained.directions]


def _rows(trained: Trained, direction: str) -> Iterator[tuple[str, Tensor]]:
    """Yield test pictures of a direction and their translations, [N, C, H, W] in [0, 1] each, with their names."""
    target = trained.target(direction)
    if not trained.translates(direction):
        with trained.evaluating():
            yield f"`{target}`, drawn", trained.draw(direction, COUNT)
        return
    source = trained.source(direction)
    samples = trained.samples("test")[source]
    if not isinstance(samples, Stored):
        raise InputError(f"samples of domain {source} are drawn afresh")
    pictures = as_float(samples.load(range(min(COUNT, samples.length))))
    with trained.evaluating():
        yield f"`{source}`", pictures
        yield f"`{source}` to `{target}`", trained.translate(direction, pictures)


def _as_png(rows: list[Tensor]) -> bytes:
    from torchvision.utils import make_grid, save_image

    coloured = [row[:, :3] if row.shape[1] >= 3 else row[:, :1].expand(-1, 3, -1, -1) for row in rows]
    grids = [make_grid(row.clamp(0, 1), nrow=len(row), padding=2, pad_value=1) for row in coloured]
    width = max(grid.shape[-1] for grid in grids)
    buffer = BytesIO()
    save_image(torch.cat([pad(grid, (0, width - grid.shape[-1]), value=1) for grid in grids], dim=1), buffer, "png")
    return buffer.getvalue()
