"""Coverage of the modes of B by the toy's translations (Kim et al. 2017, section 3.1)."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Protocol, runtime_checkable

import torch
from attrs.validators import gt
from torch import Tensor

from ganforge import Findings, InputError, Seen, Stored, Trained
from ganforge_evaluations.pictures import stored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COVERED = 0.02  # share of all probes from which a mode counts as covered
OWNED = 0.9  # share of a mode's images from one mode of A, from which it counts as clean
SHARED = 0.05  # share of a mode's probes from which it counts as mapped to a mode of B


@runtime_checkable
class HasModes(Protocol):
    """A data set whose domains are mixtures with known centres, [modes, dimensions], and a common deviation."""

    sigma: float

    @property
    def modes(self) -> Mapping[str, Tensor]:
        """The centres in each domain."""


def mode_coverage(trained: Trained, *, within: Annotated[float, gt(0)] = 3.0) -> Findings:
    """Coverage, collisions and quality of the translated toy mixture, and Figure 4.

    Args:
        trained: networks that translate A to B.
        within: an image is good if it lies within so many deviations of the nearest mode.

    Returns:
        The metrics of `measure`, the cycle errors if there is a way back, the figure `figure4`, and `figure4_initial`
        unless the training started from other weights.

    Raises:
        InputError: the data set has no modes in the plane, its test samples of A have no labels of them, or no
            direction translates A to B.
    """
    from ganforge_evaluations.figure4 import draw_figure4, judge

    dataset = trained.dataset
    if not isinstance(dataset, HasModes) or dataset.shapes.get("B") != (2,):
        raise InputError("mode-coverage needs a data set of modes in the plane, such as 'mixture'")
    source, target = stored(trained, "test", "A"), stored(trained, "test", "B")
    probes = {"A": source.load(range(source.length)), "B": target.load(range(target.length))}
    labels = modes_of(source)

    views = trained.views(probes)
    view = view_to_b(views)
    images = view["fake"].cpu()
    metrics = measure(images, labels, dataset.modes["B"], dataset.sigma, within)
    for other in views:
        if "reconstructed" in other:
            metrics[f"cycle_error_{other.domains[0]}"] = cycle_error(other["source"], other["reconstructed"])
    title = f"{trained.plan.name}, step {trained.step:,}"
    judged = judge(view, dataset.modes["B"])
    figures: dict[str, Callable[[], Figure]] = {}
    if trained.plan.train.start is None:  # otherwise the initial weights are unknown
        figures["figure4_initial"] = partial(_draw_initial, trained, probes, dataset.modes, labels)
    figures["figure4"] = partial(draw_figure4, title, dataset.modes, labels, images, judged)
    return Findings(metrics, figures, {f"probes_{view.name}": len(images), "within": within})


def modes_of(source: Stored) -> Tensor:
    """Return the label `mode` of each sample, int64 [N]; raise an InputError unless it is a number from 0 on."""
    labels = source.labels.get("mode", [None])
    if any(not isinstance(label, int) or label < 0 for label in labels):
        raise InputError("mode-coverage needs test samples of A with the label 'mode', a whole number from 0 on")
    return torch.tensor(labels)


def view_to_b(views: Sequence[Seen]) -> Seen:
    """Return the direction from A to B; raise an InputError if there is none."""
    for view in views:
        if view.domains == ("A", "B") and "fake" in view:
            return view
    raise InputError("mode-coverage needs a coupling that translates A to B")


def _draw_initial(
    trained: Trained, probes: Mapping[str, Tensor], modes: Mapping[str, Tensor], labels: Tensor
) -> "Figure":
    """Draw the translated probes before the first step."""
    from ganforge_evaluations.figure4 import draw_figure4, judge

    start = trained.initial()
    with start.evaluating():
        view = view_to_b(start.views(probes))
        return draw_figure4("initial state", modes, labels, view["fake"].cpu(), judge(view, modes["B"]))


def measure(images: Tensor, labels: Tensor, modes: Tensor, sigma: float, within: float = 3.0) -> dict[str, float]:
    """Measure how images of labelled probes are distributed over the modes.

    With j(x) the mode nearest to x, ok(x) whether it lies within `within` sigma, C[i, j] the count of good images of
    A's mode i near j, and q_j the share of all N probes that are good and near j:

    * coverage: number of modes with q_j >= 0.02;
    * clean: number of covered modes that get at least 90 % of their images from one mode of A;
    * collisions: pairs of modes of A that each map at least 5 % of their probes to a common mode;
    * quality: mean of ok(x);
    * spread: median over covered modes of sqrt(det cov of the images there) / sigma^2: 1 is a full Gaussian, 0 a curve.
      Modes with a single image are left out; 0 if no mode remains.

    Args:
        images: translated probes, [N, 2].
        labels: mode of A from which each probe comes, [N].
        modes: centres of the modes of B, [M, 2].
        sigma: their standard deviation.
        within: radius of a mode in deviations.
    """
    distances, nearest = torch.cdist(images.double(), modes.double()).min(dim=1)  # [N]
    good = distances <= within * sigma
    count = int(labels.max()) + 1
    pairs = labels[good] * len(modes) + nearest[good]
    table = torch.bincount(pairs, minlength=count * len(modes)).reshape(count, len(modes)).double()  # C, [A modes, M]

    covered = table.sum(0) / len(images) >= COVERED
    owned = table.max(0).values >= OWNED * table.sum(0)
    reaches = table >= SHARED * torch.bincount(labels, minlength=count)[:, None]
    meet = (reaches.double() @ reaches.double().T > 0).triu(1)
    there = [images[good & (nearest == mode)].double() for mode in covered.nonzero().flatten().tolist()]
    spreads = [points.T.cov().det().clamp(min=0).sqrt() / sigma**2 for points in there if len(points) > 1]
    return {
        "coverage": float(covered.sum()),
        "clean": float((covered & owned).sum()),
        "collisions": float(meet.sum()),
        "quality": float(good.double().mean()),
        "spread": float(torch.stack(spreads).quantile(0.5)) if spreads else 0.0,
    }


def cycle_error(points: Tensor, reconstructed: Tensor) -> float:
    """Return sqrt(E|x' - x|^2 / E|x - mean|^2): 0 is perfect, 1 no better than the mean; [N, D] each.

    It is nan if all points are equal.
    """
    error = (reconstructed - points).square().sum(1).mean()
    variance = (points - points.mean(0)).square().sum(1).mean()
    return float((error / variance).sqrt()) if variance > 0 else math.nan
