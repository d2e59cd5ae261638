"""Validation samples: a share of the training samples that is not trained on, or samples of their own.

They choose the checkpoint, so that the test split need not: none of its samples is ever among them.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import evolve

from ganforge.data.dataset import Dataset, Drawn, Report, Samples, Stored
from ganforge.data.duplicates import describe_duplicates, find_duplicates
from ganforge.data.reading import Ready, Sources, finish, open_split, prepare, read, require, silent
from ganforge.data.split import Split
from ganforge.errors import InputError

Validation = float | Literal["own"] | Path  # a share of the training samples, those that the data bring, or a folder's


def read_divided(
    dataset: Dataset,
    validation: Validation,
    ready: Ready | None = None,
    report: Report = silent,
    name: str = "data",
    batch: int = 0,
    labels: Iterable[str] = (),
) -> dict[Split, Sources]:
    """Read all splits, the one for validation among them; what `read` does with its arguments is done with each.

    Raises:
        InputError: as of `read`; or nothing can be set aside, or samples for validation are training or test samples.
    """
    train: Sources = prepare(dataset, open_split(dataset, "train"), "train", ready, report, name)
    test = read(dataset, "test", ready, report, name, labels=labels)
    if isinstance(validation, float):
        kin = kin_of(dataset, train)
        tested = {kin[domain][place] for domain, found in find_duplicates(train, test).items() for place in found}
        chosen = choose(kin, validation, tested)
        train, aside = part(train, kin, chosen)
        opened = dataset.held(chosen)
        if opened is not None:
            aside = prepare(dataset, opened, "validation", ready, report, name)
        elif not kin:
            raise InputError("the training samples are drawn afresh: none can be set aside", key="validation")
    else:
        aside = prepare(dataset, brought(dataset, validation), "validation", ready, report, name)
        for split, sources in (("train", train), ("test", test)):
            if found := find_duplicates(aside, sources):
                raise InputError(
                    f"holds pictures of the {split} split, too: {describe_duplicates(found)}", key="validation"
                )
    return {
        "train": finish(dataset, train, batch, labels),
        "validation": finish(dataset, aside, labels=labels),
        "test": test,
    }


def brought(dataset: Dataset, validation: Literal["own"] | Path) -> Mapping[str, Samples]:
    """Open validation samples that are no share of the training samples; an InputError says that there are none."""
    return dataset.validation(validation if isinstance(validation, Path) else None)


def open_all(dataset: Dataset, validation: Validation | None) -> dict[Split, Mapping[str, Samples]]:
    """Open all that the data bring, validation samples among them if these are no share of the training samples.

    Raises:
        InputError: the data are not there.
    """
    found: dict[Split, Mapping[str, Samples]] = {
        "train": open_split(dataset, "train"),
        "test": open_split(dataset, "test"),
    }
    if validation is not None and not isinstance(validation, float):
        found["validation"] = brought(dataset, validation)
    return found


def check_data(dataset: Dataset, validation: Validation | None, batch: int) -> None:
    """Open all that the data bring, and prepare nothing.

    Raises:
        InputError: the data are not there, or are too few for a batch or for validation.
    """
    opened = open_all(dataset, validation)
    require(opened["train"], batch)
    if isinstance(validation, float):
        choose(kin_of(dataset, opened["train"]), validation)


def kin_of(dataset: Dataset, sources: Mapping[str, Samples]) -> dict[str, Sequence[Any]]:
    """Name for each sample of a domain what it must not be parted from; a group's domains share names.

    Domains that are drawn have none.
    """
    found: dict[str, Sequence[Any]] = {}
    for number, group in enumerate(dataset.groups):
        known = {name: sources[name] for name in group if name in sources}
        stored = {name: samples for name, samples in known.items() if not isinstance(samples, Drawn)}
        if stored:
            first = next(iter(stored.values()))
            names = dataset.kin(first.labels)
            alone = [(number, place) for place in range(first.length)]
            found |= dict.fromkeys(stored, list(names) if names is not None else alone)
    return found


def choose(kin: Mapping[str, Sequence[Any]], share: float, refused: Collection[Any] = ()) -> set[Any]:
    """Choose which kin are set aside, of each domain about the share and at least one.

    Which ones depends on their names alone, not on their order or on others. An InputError says that nothing would be
    left of a domain, for training or for validation.
    """
    chosen: set[Any] = set()
    for domain, names in kin.items():
        known = dict.fromkeys(names)
        ranked = sorted((name for name in known if name not in refused), key=_rank)
        count = max(1, round(share * len(known)))
        if not ranked or len(known) < 2:
            raise InputError(f"of domain {domain} nothing can be set aside", key="validation")
        chosen.update(ranked[: min(count, len(known) - 1)])
    for domain, names in kin.items():
        if chosen.issuperset(names):
            raise InputError(f"nothing of domain {domain} would be left to train on", key="validation")
    return chosen


def part(sources: Sources, kin: Mapping[str, Sequence[Any]], chosen: Collection[Any]) -> tuple[Sources, Sources]:
    """Return the samples that are trained on, and those that are set aside; what is drawn belongs to both."""
    kept: dict[str, Stored | Drawn] = dict(sources)
    aside: dict[str, Stored | Drawn] = dict(sources)
    for domain, names in kin.items():
        samples = sources[domain]
        assert isinstance(samples, Stored)  # `kin_of` knows of no others
        places = list(zip(samples.places or range(samples.length), names, strict=True))
        kept[domain] = samples.chosen([place for place, name in places if name not in chosen])
        held = samples.chosen([place for place, name in places if name in chosen])
        aside[domain] = evolve(held, skipped=(), notes=())  # which are told with the others
    return kept, aside


def _rank(name: Any) -> bytes:
    return hashlib.sha256(repr(name).encode(errors="surrogateescape")).digest()
