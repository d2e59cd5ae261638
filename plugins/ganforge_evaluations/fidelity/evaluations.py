"""The evaluations fid, kid and precision-recall."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from attrs.validators import ge

from ganforge import Findings, Trained
from ganforge_evaluations.fidelity.compared import Compared, compare
from ganforge_evaluations.fidelity.distances import frechet, kernel_distance, precision_recall as measure
from ganforge_evaluations.fidelity.resize import Resizing

ENOUGH = 2048  # pictures of a side: as many as Inception's features, without which their covariance is singular

Limit = Annotated[int, ge(2)]


def fid(
    trained: Trained, *, features: Path | None = None, resizing: Resizing = "clean", limit: Limit = 10_000
) -> Findings:
    """Fréchet Inception distance (Heusel et al. 2017, Eq. 6) between translations and real test pictures.

    The smaller a side is, the larger is the distance: numbers compare if network, resizing and counts are the same.
    Where a side has fewer than 2,048 pictures a warning says so, and KID stands beside it.

    Args:
        trained: networks that translate pictures.
        features: a network of one's own field in place of the Inception network that `ganforge data fetch inception`
            fetches: a safetensors file of that network's weights, or of torchvision's `inception_v3`; or an ONNX file
            of any network that takes pictures [N, C, H, W] in [0, 1] and returns features [N, F].
        resizing: `clean` as in clean-fid, antialiased; `legacy` as in TensorFlow 1, pytorch-fid and torch-fidelity.
        limit: number of test pictures of each domain, at most.

    Returns:
        `fid_AB`, and the same for other directions; with few pictures the metrics of `kid`, too. A distance that cannot
        be measured is nan: of one picture, or of pictures that are not finite.

    Raises:
        InputError: the samples are no pictures, of a kind that the network does not take, or there is no network.
    """
    found = compare(trained, "fid", features, resizing, limit)
    metrics: dict[str, float] = {}
    warnings = list(found.warnings)
    for pair in found.directions:
        name = f"fid_{pair.direction}"
        metrics[name] = frechet(pair.translated, pair.real)
        if min(len(pair.translated), len(pair.real)) < ENOUGH:
            kernel = _kid(pair)
            metrics |= kernel
            if math.isfinite(metrics[name]):
                distance, error = kernel.values()
                warnings.append(
                    f"{name} is biased: it compares {_counts(pair)}, and below {ENOUGH:,} on a side it is far too "
                    "large; compare it with what was measured on as many, or compare "
                    f"kid_{pair.direction} = {distance:.4g} ± {error:.2g}"
                )
        warnings += _unmeasured(pair, metrics)
    return Findings(metrics, about=found.about, warnings=warnings)


def kid(
    trained: Trained,
    *,
    features: Path | None = None,
    resizing: Resizing = "clean",
    limit: Limit = 10_000,
    subsets: Annotated[int, ge(1)] = 100,
    subset_size: Annotated[int, ge(2)] = 1000,
) -> Findings:
    """Kernel Inception distance (Bińkowski et al. 2018): unbiased, so that it may be used with few pictures.

    Args:
        trained: networks that translate pictures.
        features: as for `fid`.
        resizing: as for `fid`.
        limit: number of test pictures of each domain, at most.
        subsets: of which the estimates' mean is taken.
        subset_size: pictures in each of them; all of the smaller side where that has fewer.

    Returns:
        `kid_AB`, and its standard error `kid_error_AB`; the same for other directions. What cannot be measured is nan.

    Raises:
        InputError: as for `fid`.
    """
    found = compare(trained, "kid", features, resizing, limit)
    metrics: dict[str, float] = {}
    warnings = list(found.warnings)
    for pair in found.directions:
        metrics |= _kid(pair, subsets, subset_size)
        warnings += _unmeasured(pair, metrics)
    about = {**found.about, "subsets": subsets, "subset_size": subset_size}
    return Findings(metrics, about=about, warnings=warnings)


def precision_recall(
    trained: Trained,
    *,
    features: Path | None = None,
    resizing: Resizing = "clean",
    limit: Limit = 10_000,
    neighbours: Annotated[int, ge(1)] = 3,
) -> Findings:
    """How much of the translations is like real pictures, and of these like translations (Kynkäänniemi et al. 2019).

    The paper, and torch-fidelity unless it is told otherwise, take the features of VGG-16; these are those of `fid`.

    Args:
        trained: networks that translate pictures.
        features: as for `fid`.
        resizing: as for `fid`.
        limit: number of test pictures of each domain, at most. The more there are, the smaller are the balls.
        neighbours: the k-th nearest of the same set, up to which the ball around a picture reaches; the paper's k = 3.

    Returns:
        `precision_AB` and `recall_AB`, and the same for other directions. What cannot be measured is nan.

    Raises:
        InputError: as for `fid`.
    """
    found = compare(trained, "precision-recall", features, resizing, limit)
    metrics: dict[str, float] = {}
    warnings = list(found.warnings)
    for pair in found.directions:
        precision, recall = measure(pair.translated, pair.real, neighbours=neighbours)
        metrics |= {f"precision_{pair.direction}": precision, f"recall_{pair.direction}": recall}
        warnings += _unmeasured(pair, metrics)
    return Findings(metrics, about={**found.about, "neighbours": neighbours}, warnings=warnings)


def _kid(pair: Compared, subsets: int = 100, size: int = 1000) -> dict[str, float]:
    distance, error = kernel_distance(pair.translated, pair.real, subsets=subsets, size=size)
    return {f"kid_{pair.direction}": distance, f"kid_error_{pair.direction}": error}


def _unmeasured(pair: Compared, metrics: Mapping[str, float]) -> Iterator[str]:
    """Say of a direction's metrics that are no numbers why they are none."""
    names = [name for name, value in metrics.items() if name.endswith(f"_{pair.direction}") and math.isnan(value)]
    if not names:
        return
    sides = {"translations": pair.translated, "real pictures": pair.real}
    broken = [name for name, features in sides.items() if not features.isfinite().all()]
    why = f"the features of {' and '.join(broken)} are not finite" if broken else f"{_counts(pair)} are too few"
    yield f"{', '.join(names)} cannot be measured: {why}"


def _counts(pair: Compared) -> str:
    """Say how many pictures both sides have."""
    parts = [(len(pair.translated), "translation"), (len(pair.real), "real picture")]
    return " with ".join(f"{count:,} {what}{'' if count == 1 else 's'}" for count, what in parts)
