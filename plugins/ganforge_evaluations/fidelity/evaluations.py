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

ENOUGH = 2048  # pictures per side: as many as Inception's features; with fewer, the covariance is singular

Limit = Annotated[int, ge(2)]


def fid(
    trained: Trained, *, features: Path | None = None, resizing: Resizing = "clean", limit: Limit = 10_000
) -> Findings:
    """Fréchet Inception distance (Heusel et al. 2017, Eq. 6) between translations and real test pictures.

    The distance grows as a side gets smaller: compare numbers only for the same network, resizing and counts. If a side
    has fewer than 2,048 pictures, there is a warning, and KID is computed, too.

    Args:
        trained: networks that translate pictures.
        features: a network to use instead of the Inception network that `ganforge data fetch inception` fetches: a
            safetensors file of that network's weights, or of torchvision's `inception_v3`; or an ONNX file of any
            network, such as one of your field, that takes pictures [N, C, H, W] in [0, 1] and returns features [N, F].
        resizing: `clean` as in clean-fid, antialiased; `legacy` as in TensorFlow 1, pytorch-fid and torch-fidelity.
        limit: largest number of test pictures of each domain.

    Returns:
        `fid_AB`, and the same for other directions; with few pictures also the metrics of `kid`. It is nan for a single
        picture, and for pictures that are not finite.

    Raises:
        InputError: the samples are not pictures, or not of a kind that the network takes; or there is no network.
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
                spread = f" ± {error:.2g}" if math.isfinite(error) else ""
                warnings.append(
                    f"{name} is biased: it compares {_counts(pair)}, and below {ENOUGH:,} on a side it is far too "
                    "large; compare it only with values for the same counts, or compare "
                    f"kid_{pair.direction} = {distance:.4g}{spread}"
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
    """Kernel Inception distance (Bińkowski et al. 2018): unbiased, so it can be used with few pictures.

    Args:
        trained: networks that translate pictures.
        features: as for `fid`.
        resizing: as for `fid`.
        limit: number of test pictures of each domain, at most.
        subsets: number of subsets to average over.
        subset_size: pictures in each subset, limited by the smaller side.

    Returns:
        `kid_AB`, and its standard error `kid_error_AB`; the same for other directions. nan if it cannot be computed.

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
    """Precision and recall of translations against real pictures (Kynkäänniemi et al. 2019).

    The paper, and torch-fidelity by default, use the features of VGG-16; this uses those of `fid`.

    Args:
        trained: networks that translate pictures.
        features: as for `fid`.
        resizing: as for `fid`.
        limit: largest number of test pictures of each domain. More pictures make the balls smaller.
        neighbours: k: the ball around a picture reaches to its k-th nearest neighbour in the set; 3 in the paper.

    Returns:
        `precision_AB` and `recall_AB`, and the same for other directions; nan if they cannot be computed.

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
    """Explain why metrics of a direction are nan."""
    names = [name for name, value in metrics.items() if name.endswith(f"_{pair.direction}") and math.isnan(value)]
    if not names:
        return
    sides = {"translations": pair.translated, "real pictures": pair.real}
    broken = [name for name, features in sides.items() if not features.isfinite().all()]
    why = f"the features of {' and '.join(broken)} are not finite" if broken else f"{_counts(pair)} are too few"
    yield f"{', '.join(names)} cannot be measured: {why}"


def _counts(pair: Compared) -> str:
    """Return the number of pictures of both sides in words."""
    parts = [(len(pair.translated), "translation"), (len(pair.real), "real picture")]
    return " with ".join(f"{count:,} {what}{'' if count == 1 else 's'}" for count, what in parts)
