"""The preview of a pack: test pictures and their translations, from the run or drawn now."""

from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

import torch
from attrs import frozen
from torch import Tensor
from torch.nn.functional import pad

from ganforge import InputError, PluginError, Stored, Trained, as_float, read_inside, read_results

LARGEST = 1 << 25  # bytes of a picture from a run, at most
COUNT = 8  # pictures in a row
OWN = "samples that the run drew at this step, with labelled rows"


@frozen
class Preview:
    """A PNG, if there is one, and a caption or the reason why not."""

    content: bytes | None
    note: str


def find_preview(trained: Mapping[str, Trained], run: Path | None) -> Preview:
    """Return the run's sample picture or evaluation figure of this step; otherwise draw one from the test data.

    Args:
        trained: the networks of each direction.
        run: the run's folder, if it exists.
    """
    step = next(iter(trained.values())).step
    if run is not None:
        if content := _read(run, f"samples/step-{step:08d}.png"):
            return Preview(content, OWN)
        if (figures := _figures(run, step)) and (content := _read(run, f"{figures}/grid.png")):
            return Preview(content, OWN)
    if any(len(shape) != 3 for one in trained.values() for shape in _shapes(one)):
        return Preview(None, "it does not output pictures")
    try:
        rows = [row for direction, one in trained.items() for row in _rows(one, direction)]
    except (InputError, PluginError) as error:
        return Preview(None, f"the data are missing: {error.args[0]}")
    names = ", ".join(name for name, _ in rows)
    return Preview(_as_png([pictures for _, pictures in rows]), f"rows of test pictures: {names}")


def _read(run: Path, name: str) -> bytes | None:
    try:
        return read_inside(run, name, LARGEST)
    except (InputError, FileNotFoundError):
        return None


def _figures(run: Path, step: int) -> str:
    """Return the subfolder of a run with the figures of this step; empty if there is none."""
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
    """Return the output shapes of its directions."""
    return [trained.dataset.shapes[trained.target(direction)] for direction in trained.directions]


def _rows(trained: Trained, direction: str) -> Iterator[tuple[str, Tensor]]:
    """Yield named rows of a direction's test pictures and translations, [N, C, H, W] in [0, 1] each."""
    target = trained.target(direction)
    if not trained.translates(direction):
        with trained.evaluating():
            yield f"`{target}`, drawn", trained.draw(direction, COUNT)
        return
    source = trained.source(direction)
    samples = trained.samples("test")[source]
    if not isinstance(samples, Stored):
        raise InputError(f"samples of domain {source} are drawn anew each time")
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
