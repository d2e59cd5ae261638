"""The features of translations and of real pictures, for each direction; those of real pictures are kept."""

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

TRIED = 2  # pictures of a side in a rehearsal
KEPT = 64  # parts of translations whose features are kept in memory, for another evaluation of the same step

_kept: OrderedDict[str, Tensor] = OrderedDict()


@frozen(eq=False)
class Compared:
    """A direction's features, [N, F] of translations and [M, F] of real pictures of its target; nan where none are."""

    direction: str
    translated: Tensor
    real: Tensor


@frozen(eq=False)
class Comparison:
    """All directions, what makes their numbers comparable, and what a user should know."""

    directions: list[Compared]
    about: dict[str, str | int]
    warnings: list[str]


def compare(trained: Trained, name: str, features: Path | None, resizing: Resizing, limit: int) -> Comparison:
    """Read the features of translations and of real pictures, so many of each side at most.

    Pictures are looked at as 8-bit ones, as if they had been saved: floats in [0, 1] are cut off and rounded.

    Raises:
        InputError: the samples are no pictures, or not of a kind that the network takes; or there is no network.
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
    """Return floats in [0, 1], [N, C, H, W], as uint8; and which of the pictures are of finite numbers, [N]."""
    finite = pictures.flatten(1).isfinite().all(1)
    return pictures.nan_to_num(0).clamp(0, 1).mul(255).round().to(torch.uint8), finite


def _read(network: FeatureNetwork, pictures: Tensor, resizing: Resizing) -> Tensor:
    """Read features, [N, F], off floats in [0, 1]; nan off pictures that are not finite."""
    whole, finite = eight_bits(pictures)
    return network.features(whole, resizing).masked_fill(~finite[:, None], torch.nan)


def _remembered(network: FeatureNetwork, pictures: Tensor, resizing: Resizing) -> Tensor:
    """Read features, or remember them: several evaluations look at the same translations."""
    key = _key(network, resizing, iter([pictures]))
    if key not in _kept:
        _kept[key] = _read(network, pictures, resizing)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return _kept[key]


def _key(network: FeatureNetwork, resizing: Resizing, parts: Iterator[Tensor]) -> str:
    """Return what features depend on: the network, the resizing, and the pictures themselves."""
    digest = hashlib.blake2b(f"{network.name} {network.digest} {resizing}\n".encode(), digest_size=16)
    for part in parts:
        whole, finite = eight_bits(part)
        digest.update(f"{list(whole.shape)} {finite.tolist()}\n".encode())
        digest.update(whole.contiguous().numpy().data)
    return digest.hexdigest()


def _real(trained: Trained, domain: str, limit: int, network: FeatureNetwork, resizing: Resizing) -> tuple[Tensor, str]:
    """Return the features of real test pictures, from the cache if they are there; and why they cannot be kept."""

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
        return found, f"the features of real pictures are not kept, and are read again each time: {why}"
    return found, ""
