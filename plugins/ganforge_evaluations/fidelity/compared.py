"""The features of translations and of real pictures for each direction; those of real pictures are cached."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import torch
from attrs import frozen
from torch import Tensor

from ganforge import Trained
from ganforge_evaluations import kept
from ganforge_evaluations.fidelity.networks import FeatureNetwork, find_network
from ganforge_evaluations.fidelity.resize import Resizing
from ganforge_evaluations.pictures import inputs_in_parts, require_pictures, translations_in_parts

TRIED = 2  # pictures per side in a rehearsal
KEPT = 64  # parts of translations whose features stay in memory for other evaluations of the same step

_kept: OrderedDict[str, Tensor] = OrderedDict()


@frozen(eq=False)
class Compared:
    """A direction's features, [N, F] of translations and [M, F] of real targets; nan for non-finite pictures."""

    direction: str
    translated: Tensor
    real: Tensor


@frozen(eq=False)
class Comparison:
    """All directions, the facts that make their numbers comparable, and warnings."""

    directions: list[Compared]
    about: dict[str, str | int]
    warnings: list[str]


def compare(trained: Trained, name: str, features: Path | None, resizing: Resizing, limit: int) -> Comparison:
    """Compute the features of translations and of real pictures, at most `limit` per side.

    Pictures are used with 8 bits, as if they had been saved: floats are clipped to [0, 1] and rounded.

    Raises:
        InputError: the samples are not pictures, or not of a kind that the network takes; or there is no network.
    """
    require_pictures(trained, name)
    network = find_network(features, trained.device)
    limit = min(limit, TRIED) if trained.rehearsal else limit
    about: dict[str, str | int] = {"network": network.name, "network_digest": network.digest, "resizing": resizing}
    found, warnings = [], []
    for direction in trained.directions:
        target = trained.target(direction)
        network.require(trained.dataset.shapes[target][0])
        real, warning = _real(trained, target, limit, network, resizing)
        parts = [_remembered(network, part, resizing) for part in translations_in_parts(trained, direction, limit)]
        found.append(Compared(direction, torch.cat(parts), real))
        about |= {
            "dimensions": real.shape[1],
            f"pictures_{direction}": sum(map(len, parts)),
            f"real_{direction}": len(real),
        }
        warnings += [warning] if warning and warning not in warnings else []
    return Comparison(found, about, warnings)


def eight_bits(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Convert floats in [0, 1], [N, C, H, W], to uint8; also return which pictures are finite, [N]."""
    finite = pictures.flatten(1).isfinite().all(1)
    return pictures.nan_to_num(0).clamp(0, 1).mul(255).round().to(torch.uint8), finite


def _read(network: FeatureNetwork, pictures: Tensor, resizing: Resizing) -> Tensor:
    """Return the features, [N, F], of floats in [0, 1]; nan for pictures that are not finite."""
    whole, finite = eight_bits(pictures)
    return network.features(whole, resizing).masked_fill(~finite[:, None], torch.nan)


def _remembered(network: FeatureNetwork, pictures: Tensor, resizing: Resizing) -> Tensor:
    """Return features, cached in memory, since several evaluations use the same translations."""
    key = _key(network, resizing, iter([pictures]))
    if key not in _kept:
        _kept[key] = _read(network, pictures, resizing)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return _kept[key]


def _key(network: FeatureNetwork, resizing: Resizing, parts: Iterator[Tensor]) -> str:
    """Return a key of everything that features depend on: the network, the resizing, and the pictures."""
    digest = hashlib.blake2b(f"{network.name} {network.digest} {resizing}\n".encode(), digest_size=16)
    for part in parts:
        whole, finite = eight_bits(part)
        digest.update(f"{list(whole.shape)} {finite.tolist()}\n".encode())
        digest.update(whole.contiguous().numpy().data)
    return digest.hexdigest()


def _real(trained: Trained, domain: str, limit: int, network: FeatureNetwork, resizing: Resizing) -> tuple[Tensor, str]:
    """Return the features of real test pictures, from the cache if possible; and why they cannot be cached."""

    def read() -> Tensor:
        return torch.cat([_read(network, part, resizing) for part in inputs_in_parts(trained, domain, limit)])

    if trained.rehearsal:
        return read(), ""
    key = _key(network, resizing, inputs_in_parts(trained, domain, limit))
    if (held := kept.load("features", key)) is not None:
        return held["features"], ""
    found = read()
    try:
        kept.save("features", key, {"features": found})
    except OSError as error:
        why = f"'{kept.place('features')}' cannot be written: {error.strerror}"
        return found, f"the features of real pictures are not cached and are recomputed each time: {why}"
    return found, ""
