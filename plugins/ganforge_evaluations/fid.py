"""Distances between the distributions of translations and of real pictures, in the features of a network."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
from attrs.validators import ge
from torch import Tensor
from torch.nn.functional import interpolate

from ganforge import Findings, InputError, Trained
from ganforge_evaluations.pictures import inputs, require_pictures, translations

SIZE = 299  # pixels of Inception's input
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which its weights expect
BATCH = 32
LEAST = 2  # pictures that have a covariance, and a kernel between different ones

Features = Callable[[Tensor], Tensor]


def fid(trained: Trained, *, features: Path | None = None, limit: Annotated[int, ge(2)] = 10_000) -> Findings:
    """Fréchet Inception distance (Heusel et al. 2017, Eq. 6) between translations and real test pictures.

    With few pictures it is far too large: compare only what was measured on as many. It is that of torchvision's
    Inception v3, which is not the network of the original; compare only what was measured with it.

    Args:
        trained: networks that translate pictures.
        features: a safetensors file of the weights of torchvision's `inception_v3`; they are not shipped, and an
            evaluation downloads nothing.
        limit: number of test pictures of each domain, at most.

    Returns:
        `fid_AB`, and the same for other directions.

    Raises:
        InputError: the samples are no pictures, a domain has fewer than two for testing, or there is no such file.
    """
    found = _features(trained, features, limit, "fid")
    return Findings({f"fid_{direction}": frechet(*pair) for direction, pair in found.items()})


def kid(trained: Trained, *, features: Path | None = None, limit: Annotated[int, ge(2)] = 10_000) -> Findings:
    """Kernel Inception distance (Bińkowski et al. 2018): unbiased, so that it may be used with few pictures.

    Args:
        trained: networks that translate pictures.
        features: as for `fid`.
        limit: number of test pictures of each domain, at most.

    Returns:
        `kid_AB`, and the same for other directions.

    Raises:
        InputError: the samples are no pictures, a domain has fewer than two for testing, or there is no such file.
    """
    found = _features(trained, features, limit, "kid")
    return Findings({f"kid_{direction}": kernel_distance(*pair) for direction, pair in found.items()})


def frechet(one: Tensor, other: Tensor) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of the means and covariances of features, [N, F] each.

    It is nan where features are not finite.
    """
    one, other = one.double(), other.double()
    if not (one.isfinite().all() and other.isfinite().all()):
        return math.nan
    first, second = (features.T.cov().reshape(features.shape[1], -1) for features in (one, other))
    # The trace of (C1 C2)^(1/2) is the sum of the roots of the eigenvalues of C1^(1/2) C2 C1^(1/2).
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    shared = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    means = (one.mean(0) - other.mean(0)).square().sum()
    return float(means + first.trace() + second.trace() - 2 * shared)


def kernel_distance(one: Tensor, other: Tensor) -> float:
    """Return the unbiased squared maximum mean discrepancy of features, [N, F] each, under (x.y / F + 1)^3."""
    one, other = one.double(), other.double()

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: Tensor) -> Tensor:
        values = kernel(x, x)
        return (values.sum() - values.trace()) / (len(x) * (len(x) - 1))

    return float(within(one) + within(other) - 2 * kernel(one, other).mean())


def _features(trained: Trained, path: Path | None, limit: int, name: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Return for each direction the features of translations and of real targets."""
    require_pictures(trained, name)
    limit, features = (LEAST, LEAST) if trained.rehearsal else (limit, None)  # the root of all takes seconds
    read = _inception(path, trained.device)
    found = {}
    for direction in trained.directions:
        real = inputs(trained, trained.target(direction), limit, least=LEAST)
        fake = translations(trained, direction, limit, LEAST)
        found[direction] = (read(fake)[:, :features], read(real)[:, :features])
    return found


def _inception(path: Path | None, device: torch.device) -> Features:
    """Return what reads 2,048 features off pictures, [N, C, H, W] in [0, 1].

    Raises:
        InputError: there is no such file, or it does not hold these weights.
    """
    if path is None:
        raise InputError(
            "needs a safetensors file of torchvision's inception_v3 weights, which are not shipped; save one with "
            "safetensors.torch.save_file(torchvision.models.inception_v3(weights='DEFAULT').state_dict(), FILE)",
            key="features",
        )
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, init_weights=False, aux_logits=True)
    try:
        network.load_state_dict(load_file(path), strict=True)
    except (OSError, SafetensorError) as error:
        raise InputError(f"'{path}' cannot be read: {error}", key="features") from error
    except RuntimeError as error:
        raise InputError(f"'{path}' does not hold the weights of inception_v3", key="features") from error
    network.fc = torch.nn.Identity()
    network.eval().to(device)
    mean, deviation = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, DEVIATION))

    def read(pictures: Tensor) -> Tensor:
        parts = []
        for part in torch.split(pictures, BATCH):
            colour = part[:, :3] if part.shape[1] >= 3 else part[:, :1].expand(-1, 3, -1, -1)
            large = interpolate(colour.to(device), (SIZE, SIZE), mode="bilinear", antialias=True)
            parts.append(network((large - mean) / deviation).cpu())
        return torch.cat(parts)

    return read
