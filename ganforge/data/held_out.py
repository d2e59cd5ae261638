"""Validation samples: a share of the training samples that is held out, or separate samples.

They choose the best checkpoint, so that the test split does not have to; they never contain test samples.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import evolve

from ganforge.data.dataset import Dataset, Drawn, Report, Samples, Sources, Stored
from ganforge.data.duplicates import describe_duplicates, find_duplicates
from ganforge.data.reading import Ready, finish, open_split, prepare, read, require, silent
from ganforge.data.split import Split
from ganforge.errors import InputError

Validation = float | Literal["own"] | Path  # a share of the training samples, the data set's own ones, or a folder


def read_divided(
    dataset: Dataset,
    validation: Validation,
    ready: Ready | None = None,
    report: Report = silent,
    name: str = "data",
    batch: int = 0,
    labels: Iterable[str] = (),
) -> dict[Split, Sources]:
    """Read all splits including `validation`, each as `read` does.

    Raises:
        InputError: as in `read`; or nothing can be held out, or validation samples are also training or test samples.
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
            raise InputError("the training samples are drawn afresh, so none can be held out", key="validation")
    else:
        aside = prepare(dataset, brought(dataset, validation), "validation", ready, report, name)
        for split, sources in (("train", train), ("test", test)):
            if found := find_duplicates(aside, sources):
                which = describe_duplicates(found)
                raise InputError(f"contains pictures of the {split} split: {which}", key="validation")
    return {
        "train": finish(dataset, train, batch, labels),
        "validation": finish(dataset, aside, labels=labels),
        "test": test,
    }


def brought(dataset: Dataset, validation: Literal["own"] | Path) -> Mapping[str, Samples]:
    """Open separate validation samples; raise an InputError if there are none."""
    return dataset.validation(validation if isinstance(validation, Path) else None)


def open_all(dataset: Dataset, validation: Validation | None) -> dict[Split, Mapping[str, Samples]]:
    """Open all splits of a data set, including separate validation samples if it has them.

    Raises:
        InputError: data are missing.
    """
    found: dict[Split, Mapping[str, Samples]] = {
        "train": open_split(dataset, "train"),
        "test": open_split(dataset, "test"),
    }
    if validation is not None and not isinstance(validation, float):
        found["validation"] = brought(dataset, validation)
    return found


def check_data(dataset: Dataset, validation: Validation | None, batch: int) -> None:
    """Open all splits and prepare nothing.

    Raises:
        InputError: data are missing, or too few for a batch or for validation.
    """
    opened = open_all(dataset, validation)
    require(opened["train"], batch)
    if isinstance(validation, float):
        choose(kin_of(dataset, opened["train"]), validation)


def kin_of(dataset: Dataset, sources: Mapping[str, Samples]) -> dict[str, Sequence[Any]]:
    """Return the names that `Dataset.kin` gives to each domain's samples; the domains of a group share them.

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
    """Choose the names to hold out: about the share of each domain, and at least one.

    The choice depends on each name alone, not on the order or on other names. Raise an InputError if a domain would
    have nothing left for training or for validation.
    """
    chosen: set[Any] = set()
    for domain, names in kin.items():
        known = dict.fromkeys(names)
        ranked = sorted((name for name in known if name not in refused), key=_rank)
        count = max(1, round(share * len(known)))
        if not ranked or len(known) < 2:
            raise InputError(f"nothing of domain {domain} can be held out", key="validation")
        chosen.update(ranked[: min(count, len(known) - 1)])
    for domain, names in kin.items():
        if chosen.issuperset(names):
            raise InputError(f"nothing of domain {domain} would be left to train on", key="validation")
    return chosen


def part(sources: Sources, kin: Mapping[str, Sequence[Any]], chosen: Collection[Any]) -> tuple[Sources, Sources]:
    """Return the training samples and the held-out ones; drawn samples belong to both."""
    kept: dict[str, Stored | Drawn] = dict(sources)
    aside: dict[str, Stored | Drawn] = dict(sources)
    for domain, names in kin.items():
        samples = sources[domain]
        assert isinstance(samples, Stored)  # `kin_of` returns no others
        places = list(zip(samples.places or range(samples.length), names, strict=True))
        kept[domain] = samples.chosen([place for place, name in places if name not in chosen])
        held = samples.chosen([place for place, name in places if name in chosen])
        aside[domain] = evolve(held, skipped=(), notes=())  # they are reported with the training samples
    return kept, aside


def _rank(name: Any) -> bytes:
    return hashlib.sha256(repr(name).encode(errors="surrogateescape")).digest()
