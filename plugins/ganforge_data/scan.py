"""Deciding once, from a scan of all files of a domain, which numbers are black and white."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from attrs import astuple, evolve, frozen

from ganforge import Decided, Depth, InputError, Kind, Prepared, Report, Stored, printable
from ganforge_data.decode import EIGHT_BITS, decode, is_shallow, naming
from ganforge_data.opened import parted
from ganforge_data.ranges import (
    AUTO,
    Apart,
    Array,
    are_whole,
    as_known,
    auto_range,
    depths_of,
    in_words,
    is_wide,
    kind_of,
    number,
)

if TYPE_CHECKING:
    from torch import Tensor

KINDS: tuple[Kind, ...] = get_args(Kind)  # the deepest last
LOOKED_AT = 1 << 20  # roughly how many numbers of a file are used for its spread and levels
RARE = 0.0005  # share at either end that may be noise, such as hot pixels
USED = 1 / 8  # of the range; below it most levels are unused
FEW = 32  # levels
UNLIKE = 1 / 64  # of the range: a file below it differs much from one that reaches half of the range


@frozen
class Look:
    """Statistics of a file's numbers.

    Attributes:
        kind: the index of their type in `KINDS`; -1 for an unreadable file.
        low: the smallest number.
        high: the largest number.
        bottom: the smallest number except for a few outliers.
        top: the largest number except for a few outliers.
        levels: how many different numbers there are.
        whole: whether all are whole numbers.
        wide: whether their type is an integer type that `int32` may not hold.
    """

    kind: float
    low: float = 0.0
    high: float = 255.0
    bottom: float = 0.0
    top: float = 255.0
    levels: float = 256.0
    whole: float = 1.0
    wide: float = 0.0


BROKEN, SHALLOW = Look(-1), Look(0)
BYTES = 8 * len(astuple(BROKEN))


def decide(
    dataset: Any,
    files: Callable[[], Mapping[str, Sequence[Any]]],
    ready: Callable[..., Stored] | None,
    report: Report,
) -> Decided:
    """Decide the type and range of each domain for which the settings leave them open; read no other files.

    Args:
        dataset: has the settings `range` and `apart`, and `domain_names`, `shapes` and `depths`.
        files: lists the files of each domain.
        ready: makes prepared samples ready to load, as a cache does.
        report: called with (what, done, total).
    """
    given = {domain: dataset.apart.get(domain, Apart()) for domain in dataset.domain_names}
    ranges = {domain: apart.range or dataset.range for domain, apart in given.items()}
    if all(ranges[domain] != AUTO and apart.kind for domain, apart in given.items()):
        return Decided()
    listed, settled, odd = files(), {}, list[str]()
    for domain, apart in given.items():
        looks = _looked(listed[domain], dataset.shapes[domain][0], domain, ready, report)
        kind = apart.kind or _kind_of(looks)
        alike = {path: look for path, look in looks.items() if KINDS[int(look.kind)] == kind}
        low, high = ranges[domain] if ranges[domain] != AUTO else _range_of(kind, list(alike.values()))
        settled[domain] = evolve(apart, kind=kind, range=(low, high))
        odd += [printable(f"domain {domain}: {line}") for line in _oddities(Depth(kind, low, high), alike)]
    depths = depths_of(evolve(dataset, apart=settled))
    deep = any(depth != Depth() for depth in depths.values())
    said = [f"{domain}: {in_words(depth)}" for domain, depth in depths.items()] if deep else []
    return Decided({"apart": settled}, said, odd)


def look(channels: int, path: Path) -> Tensor:
    """Scan the numbers of a file; an unreadable file is only reported when it becomes a sample.

    Returns:
        A `Look` as its bytes, uint8 [64].
    """
    import torch

    found = SHALLOW
    if not is_shallow(path):
        try:
            with naming(path):
                decoded = decode(path, channels)
                found = _look_at(decoded, channels) if isinstance(decoded, np.ndarray) else SHALLOW
        except InputError:
            found = BROKEN
    return torch.from_numpy(np.array(astuple(found), np.float64).view(np.uint8))


def _look_at(decoded: Array, channels: int) -> Look:
    array = as_known(decoded)
    array = parted(array)[0] if channels in (1, 3) else array
    some = array.reshape(-1)[:: max(1, array.size // LOOKED_AT)]
    bottom, top = np.quantile(some, [RARE, 1 - RARE], method="nearest")
    kind, levels = KINDS.index(kind_of(array)), len(np.unique(some))
    ends = (float(array.min()), float(array.max()), float(bottom), float(top))
    return Look(kind, *ends, levels, are_whole(array), is_wide(decoded))


def _looked(
    items: Sequence[Any],
    channels: int,
    domain: str,
    ready: Callable[..., Stored] | None,
    report: Report,
) -> dict[Path, Look]:
    """Scan the files that may have more than 8 bits, once and in parallel; leave out broken ones."""
    paths = [path for path in dict.fromkeys(items) if isinstance(path, Path)]
    found = dict.fromkeys(paths, SHALLOW)
    unsure = [path for path in paths if path.suffix.lower() not in EIGHT_BITS]
    if unsure:
        if ready is None:
            raise InputError("the files must be scanned, but no plugin offers a cache; see `ganforge plugins`")
        wanted = Prepared(unsure, partial(look, channels), f"look {channels}, wide")
        stored = ready(samples=wanted, shape=(BYTES,), what=f"the types of {domain}", report=report)
        rows = stored.load(range(stored.length)).numpy().view(np.float64)
        found |= {path: Look(*row) for path, row in zip(unsure, rows.tolist(), strict=True)}
    readable = {path: one for path, one in found.items() if one != BROKEN}
    kinds = {one.kind for one in readable.values() if one.wide}  # by what they hold; one type for all of them
    return {path: evolve(one, kind=max(kinds)) if one.wide else one for path, one in readable.items()}


def _kind_of(looks: Mapping[Path, Look]) -> Kind:
    """Return the type of most files; in a tie, the deepest."""
    counts = Counter(int(look.kind) for look in looks.values())
    return KINDS[max(counts, key=lambda kind: (counts[kind], kind), default=0)]


def _range_of(kind: Kind, looks: Sequence[Look]) -> tuple[float, float]:
    if not looks:
        return auto_range(kind, 0, 0, True)
    low, high = min(look.low for look in looks), max(look.high for look in looks)
    return auto_range(kind, low, high, all(look.whole for look in looks))


def _oddities(depth: Depth, looks: Mapping[Path, Look]) -> list[str]:
    """Return warnings about files whose numbers are read in this depth."""
    if not looks or depth == Depth():
        return []
    said = []
    span = depth.high - depth.low
    bottom, top = min(look.bottom for look in looks.values()), max(look.top for look in looks.values())
    used = min(top, depth.high) - max(bottom, depth.low)
    if used < USED * span:
        said.append(
            f"99.9 % of the numbers lie in {number(bottom)} to {number(top)}, so they use few levels of "
            f"{number(depth.low)} to {number(depth.high)}; set dataset.range"
        )
    elif (levels := max(look.levels for look in looks.values())) < FEW:
        said.append(f"no file has more than {levels:.0f} levels; are these masks, or were they clipped?")
    tops = {path: (look.top - depth.low) / span for path, look in looks.items()}
    least, most = min(tops, key=lambda path: tops[path]), max(tops, key=lambda path: tops[path])
    if tops[least] < UNLIKE and tops[most] > 1 / 2:
        dark = sum(value < UNLIKE for value in tops.values())
        said.append(
            f"{dark} of {len(tops)} files differ much from the others: '{least}' reaches {number(looks[least].high)}, "
            f"'{most}' {number(looks[most].high)}, but all are read with the same range"
        )
    return said
