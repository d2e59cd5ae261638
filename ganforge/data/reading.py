"""Read a split of a data set: prepare and crop samples, drop incomplete groups, add labels."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from ganforge.data.augment import cut_middle
from ganforge.data.dataset import (
    Crop,
    Dataset,
    Drawn,
    Prepared,
    Report,
    Samples,
    Shape,
    Sources,
    Split,
    Stored,
    as_float,
    random_generator,
)
from ganforge.data.duplicates import describe_duplicates, find_duplicates
from ganforge.data.notes import note_lines
from ganforge.errors import InputError, PluginError, nearest

if TYPE_CHECKING:
    from torch import Tensor

Ready = Callable[..., Stored]  # called with (samples, shape, what, report)


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


def read(
    dataset: Dataset,
    split: Split,
    ready: Ready | None = None,
    report: Report = silent,
    name: str = "data",
    batch: int = 0,
    labels: Iterable[str] = (),
) -> Sources:
    """Open a split and make its samples ready to load.

    Args:
        dataset: the data set.
        split: the split.
        ready: makes prepared samples ready to load, as a cache does.
        report: called with (what, done, total).
        name: name of the data, for messages and lists.
        batch: number of samples that every domain must have.
        labels: label fields to read as well, such as `B.age`: the label `age` of the samples of domain B.

    Raises:
        InputError: files are missing, broken or too few; a label is missing; the cache's disk is full; or there is no
            cache.
    """
    opened = open_split(dataset, split)
    require(opened, batch)
    return finish(dataset, prepare(dataset, opened, split, ready, report, name), batch, labels)


def open_split(dataset: Dataset, split: Split) -> Mapping[str, Samples]:
    """Open a split; raise a PluginError if the data set returns objects of a wrong type."""
    opened = dataset.open(split)
    found: Sequence[object] = [*opened.values()] if isinstance(opened, Mapping) else [opened]
    wrong = [one for one in found if not isinstance(one, Stored | Prepared | Drawn)]
    if not wrong:
        return opened
    code = inspect.unwrap(type(dataset).open).__code__
    where = f"{type(dataset).__name__}.open ({code.co_filename}:{code.co_firstlineno})"
    wanted = "ganforge's Stored, Prepared or Drawn for each domain"
    raise PluginError(f"{where} returned {type(wrong[0]).__name__} for '{split}', expected {wanted}")


def prepare(
    dataset: Dataset,
    opened: Mapping[str, Samples],
    split: Split,
    ready: Ready | None = None,
    report: Report = silent,
    name: str = "data",
) -> dict[str, Stored | Drawn]:
    """Make opened samples ready to load, as `read` does, but uncropped."""
    sources: dict[str, Stored | Drawn] = {}
    for domain, samples in opened.items():
        what = f"{name} {split} {domain}"
        if not isinstance(samples, Prepared):
            sources[domain] = samples
        elif ready is None:
            raise InputError(f"{what} must be prepared, but no plugin offers a cache; see `ganforge plugins`")
        else:
            shape = dataset.shapes[domain]
            stored = ready(samples=samples, shape=samples.shape or shape, what=what, report=report)
            sources[domain] = evolve(stored, made_of=samples)
    for group in dataset.groups:
        _leave_out_together(sources, group)
    return sources


def finish(dataset: Dataset, prepared: Sources, batch: int = 0, labels: Iterable[str] = ()) -> Sources:
    """Crop prepared samples and add the labels that are fields of a batch, as `read` does."""
    sources = dict(prepared)
    for domain, made in sources.items():
        if isinstance(made, Stored) and made.made_of is not None and made.made_of.shape is not None:
            sources[domain] = _cropped(made, dataset.shapes[domain], made.made_of.crop)
    require(sources, batch)  # again: samples may have been left out or held out
    return {**sources, **{field: label_of(sources, field) for field in labels if field not in sources}}


def _leave_out_together(sources: dict[str, Stored | Drawn], group: Sequence[str]) -> None:
    """Leave out the samples that belong to a broken one."""
    found = {name: samples for name in group if isinstance(samples := sources.get(name), Stored)}
    if any(samples.places is not None for samples in found.values()):
        kept = set.intersection(*(set(samples.places or range(samples.length)) for samples in found.values()))
        if not kept:
            raise InputError(f"the domains {', '.join(found)} belong together, but no complete sample is left")
        sources.update({name: samples.chosen(sorted(kept)) for name, samples in found.items()})


def _cropped(stored: Stored, shape: Shape, crop: Crop) -> Stored:
    """Crop samples that are larger than the data set's shape at the centre; batches may crop the whole ones."""
    whole = stored.load
    return evolve(
        stored, load=lambda indices: cut_middle(whole(indices), shape[1:]), whole=whole if crop == "random" else None
    )


def oddities(sources: Mapping[Split, Sources], *, skipped: bool = True) -> list[str]:
    """Describe oddities of the samples of all splits, one line each; `skipped` includes broken samples."""
    stored = [(split, domain, s) for split in sources for domain, s in sources[split].items() if isinstance(s, Stored)]
    said = [
        f"{len(samples.skipped)} broken samples of {split} {domain} are skipped: {'; '.join(samples.skipped[:3])}"
        for split, domain, samples in stored
        if skipped and samples.skipped
    ]
    for wanted in dict.fromkeys(domain for _, domain, _ in stored):
        # Train and test samples of a domain are compared with each other.
        said += note_lines(note for _, domain, samples in stored if domain == wanted for note in samples.notes)
    if twice := find_duplicates(sources.get("train", {}), sources.get("test", {})):
        which = describe_duplicates(twice)
        said.append(f"training pictures are also test pictures, so test results look better than they are: {which}")
    return list(dict.fromkeys(said))


def label_of(sources: Sources, field: str) -> Stored:
    """Return a label of a domain's samples as a field: integers as int64, other numbers as float32.

    Args:
        sources: the samples of each domain.
        field: `domain.label`.

    Raises:
        InputError: the label does not exist, or is not a number.
    """
    import torch

    domain, _, label = field.partition(".")
    samples = sources.get(domain)
    known = dict(samples.labels) if isinstance(samples, Stored) else {}
    if label not in known:
        hint = nearest(label, known) or "it has no labels"
        raise InputError(f"the samples of domain {domain} have no label '{label}'; {hint}")
    try:
        values = torch.tensor(known[label])
    except (ValueError, TypeError) as error:
        raise InputError(f"the label '{label}' of domain {domain} is not a number: {known[label][0]!r}") from error
    values = values if values.is_floating_point() else values.long()
    return Stored(len(values), lambda indices: values[torch.as_tensor(indices, dtype=torch.long)])


def normal(shape: Shape) -> Drawn:
    """Return a field drawn from N(0, 1)."""
    import torch

    return Drawn(lambda count, random: torch.randn(count, *shape, generator=random))


def require(sources: Mapping[str, Samples], batch: int) -> None:
    """Raise an InputError if a domain has fewer samples than a batch."""
    for domain, samples in sources.items():
        if not isinstance(samples, Drawn) and samples.length < batch:
            raise InputError(
                f"domain {domain} has {samples.length} training samples, fewer than a batch of {batch}; "
                f"set train.batch to {samples.length} or less"
            )


def mean(samples: Stored | Drawn, seed: int, domain: str) -> Tensor:
    """Return the mean over (up to 4,096) training samples of a domain, [*shape], on the CPU."""
    if isinstance(samples, Drawn):
        return samples.draw(4096, random_generator(seed, "mean", domain)).mean(0)
    return as_float(samples.load(range(min(4096, samples.length)))).mean(0)
