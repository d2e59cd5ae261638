"""Helpers of evaluations: test samples as floats, pairs, and rows of pictures."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from attrs import fields_dict, has
from torch import Tensor

from ganforge import InputError, Split, Stored, Trained, as_float, random_generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL = 0.9  # inches of a picture in a figure
MARGIN = 1.1  # inches at the left, for the names of rows
PART = 256  # samples at a time, to limit memory
TRIED = 16  # samples to draw in a rehearsal


def floats(samples: Stored, indices: Sequence[int]) -> Tensor:
    """Load samples: pictures as floats in [0, 1], [N, C, H, W]; anything else as floats."""
    return as_float(samples.load(indices))


def stored(trained: Trained, split: Split, domain: str) -> Stored:
    """Return a domain's samples, which are the same every time.

    Raises:
        InputError: there is no such domain, its samples are drawn anew each time, or it has none.
    """
    samples = trained.samples(split)
    if domain not in samples:
        raise InputError(f"the data set has no domain {domain}; it has {', '.join(samples)}")
    found = samples[domain]
    if not isinstance(found, Stored):
        raise InputError(f"the {split} samples of domain {domain} are drawn anew each time; this needs fixed ones")
    if not found.length:
        kind = type(trained.dataset)
        known = fields_dict(kind) if has(kind) else ()
        settings = ", ".join(f"dataset.{name}" for name in known if name.startswith(split))
        hint = f"; see {settings}" if settings else ""
        raise InputError(f"needs at least 1 {split} sample of each domain; {domain} has none{hint}")
    return found


def inputs(trained: Trained, domain: str, limit: int, split: Split = "test") -> Tensor:
    """Load at most `limit` of a domain's samples, evenly spread over the split; or draw as many."""
    if domain in trained.drawn:
        return trained.drawn[domain].draw(few(trained, limit), random_generator(0, "inputs", domain))
    samples = stored(trained, split, domain)
    return floats(samples, spread(samples.length, limit))


def inputs_in_parts(trained: Trained, domain: str, limit: int) -> Iterator[Tensor]:
    """Yield the test samples that `inputs` would return, some at a time."""
    if domain in trained.drawn:
        yield from torch.split(inputs(trained, domain, limit), PART)
        return
    samples = stored(trained, "test", domain)
    chosen = spread(samples.length, limit)
    for start in range(0, len(chosen), PART):
        yield floats(samples, chosen[start : start + PART])


def few(trained: Trained, limit: int) -> int:
    """Return how many samples to draw: the limit, but few in a rehearsal."""
    return min(limit, TRIED) if trained.rehearsal else limit


def between(trained: Trained, domains: Sequence[str]) -> list[str]:
    """Return the directions that translate between two of the domains; raise an InputError if there are none."""
    translating = [direction for direction in trained.directions if trained.translates(direction)]
    found = [one for one in translating if {trained.source(one), trained.target(one)} <= set(domains)]
    if not found:
        raise InputError(f"needs a direction that translates between {' and '.join(domains)}")
    return found


def spread(length: int, count: int) -> list[int]:
    """Return at most `count` indices, evenly spread.

    >>> spread(10, 4), spread(2, 4)
    ([0, 2, 5, 7], [0, 1])
    """
    count = min(length, count)
    return [place * length // count for place in range(count)]


def translations(trained: Trained, direction: str, limit: int) -> Tensor:
    """Translate at most `limit` test samples, or draw as many if the direction needs no source."""
    if not trained.translates(direction):
        return trained.draw(direction, few(trained, limit))
    return trained.translate(direction, inputs(trained, trained.source(direction), limit))


def translations_in_parts(trained: Trained, direction: str, limit: int) -> Iterator[Tensor]:
    """Translate at most `limit` test samples, or draw as many, some at a time; each part has its own noise."""
    if trained.translates(direction):
        for number, part in enumerate(inputs_in_parts(trained, trained.source(direction), limit)):
            yield trained.translate(direction, part, seed=number)
        return
    count = few(trained, limit)
    for number, start in enumerate(range(0, count, PART)):
        yield trained.draw(direction, min(PART, count - start), seed=number)


def reconstructing(trained: Trained) -> set[str]:
    """Return the directions whose translations the coupling translates back."""
    offering = {view.name for view in trained.views({}) if "reconstructed" in view}
    return {direction for direction in trained.directions if direction in offering and trained.translates(direction)}


def pairs(trained: Trained, limit: int, one: str, other: str) -> tuple[Tensor, Tensor]:
    """Load paired test samples of two domains: of a group, or with the same label `pair` or `file`.

    Raises:
        InputError: the test split has no pairs.
    """
    first, second = stored(trained, "test", one), stored(trained, "test", other)
    if any(one in group and other in group for group in trained.dataset.groups):
        places = {place: place for place in range(min(first.length, second.length))}
    else:
        label = "pair" if "pair" in first.labels else "file"
        places_of = {name: place for place, name in enumerate(second.labels.get(label, ()))}
        names = enumerate(first.labels.get(label, ()))
        places = {place: places_of[name] for place, name in names if name in places_of}
    if not places:
        raise InputError(
            f"paired-error needs a test split in which pictures of {one} and {other} belong together, such as that of "
            "'edges2photo', 'pairs' or 'coats'"
        )
    chosen = [list(places)[place] for place in spread(len(places), limit)]
    return floats(first, chosen), floats(second, [places[place] for place in chosen])


def rows_figure(rows: Sequence[tuple[str, Tensor]]) -> "Figure":
    """Draw rows of pictures, [N, C, H, W] in [0, 1] each, with their names at the left."""
    count = max(len(pictures) for _, pictures in rows)
    from matplotlib.figure import Figure

    width, height = CELL * count + MARGIN, CELL * len(rows)
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((MARGIN / width, 0, 1 - MARGIN / width, 1))  # a single one, since each takes time to draw
    axes.set_axis_off()
    for place, (name, pictures) in enumerate(rows):
        for column, picture in enumerate(pictures):
            shown = picture[:3] if len(picture) >= 3 else picture[:1].expand(3, -1, -1)  # [3, H, W]
            down, right = (0.48 * side / max(shown.shape[1:]) for side in shown.shape[1:])
            x, y = column + 0.5, place + 0.5
            extent = (x - right, x + right, y + down, y - down)
            axes.imshow(shown.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest", extent=extent)
        axes.text(-0.08, place + 0.5, name, ha="right", va="center", fontsize=8)
    axes.set(xlim=(0, count), ylim=(len(rows), 0), aspect="auto")
    return figure


def require_pictures(trained: Trained, name: str) -> None:
    """Refuse a data set of anything but pictures.

    Raises:
        InputError: a domain's samples are not pictures.
    """
    for domain, shape in trained.dataset.shapes.items():
        if len(shape) != 3 and domain not in trained.drawn and "." not in domain:
            raise InputError(f"{name} needs pictures; samples of domain {domain} have the shape {list(shape)}")
