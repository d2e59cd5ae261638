"""Checks of data sets: shapes, types, ranges, and disjoint splits."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from ganforge import Dataset, Drawn, InputError, Prepared, Samples, Split, Stored, random_generator
from ganforge_check.checks import Finding, LeftOutError, Subject, claims

OPENED: tuple[Split, ...] = ("train", "test")
FEW = 8  # samples made for each domain and split
MOST = 2000  # largest number of samples that are compared between splits
TYPES = (torch.uint8, torch.uint16)


def opened(subject: Subject) -> dict[Split, Mapping[str, Samples]]:
    """Return the samples of every split; they are opened once."""
    found: dict[Split, Mapping[str, Samples]] = subject.keep("opened", lambda: _opened(subject))
    return found


def _opened(subject: Subject) -> dict[Split, Mapping[str, Samples]]:
    dataset = _dataset(subject)
    try:
        return {split: dataset.open(split) for split in OPENED}
    except InputError as error:
        raise LeftOutError(f"its data are missing: {error}") from error


def _dataset(subject: Subject) -> Dataset:
    """Make the data set, with the settings that it decides from its data."""
    settings = subject.complete()
    try:
        made = subject.component.factory(**settings)
        if not isinstance(made, Dataset):
            raise TypeError(f"it returns a {type(made).__name__}, which is not derived from ganforge.Dataset")
        decided = made.decide(None, lambda *_: None).settings
        return subject.component.factory(**{**settings, **decided}) if decided else made
    except (InputError, ValueError) as error:
        raise LeftOutError(f"its data are missing: {error}") from error


def few(samples: Samples, count: int = FEW) -> list[Tensor]:
    """Make the first samples of a domain."""
    if isinstance(samples, Prepared):
        return [samples.make(item) for item in samples.items[:count]]
    if isinstance(samples, Drawn):
        return list(samples.draw(count, random_generator(0, "check")))
    return list(samples.load(range(min(count, samples.length))))


def _each(subject: Subject) -> Iterator[tuple[str, str, Samples]]:
    """Yield every split and domain with its samples."""
    for split, domains in opened(subject).items():
        for domain, samples in domains.items():
            yield split, domain, samples


@claims("dataset")
def samples(subject: Subject) -> Iterator[Finding]:
    """Samples have the promised shape: pictures as uint8, uint16 or float32 in [0, 1], all else finite."""
    promised = _dataset(subject).shapes
    for split, domain, found in _each(subject):
        if domain not in promised:
            yield Finding(f"it opens a domain {domain} that shapes does not have", "name the same domains in both")
            continue
        shape = getattr(found, "shape", None) or promised[domain]
        for number, sample in enumerate(few(found)):
            where = f"sample {number} of {domain} ({split})"
            if tuple(sample.shape) != tuple(shape):
                yield Finding(
                    f"{where} has the shape {list(sample.shape)}, expected {list(shape)}",
                    "make shapes agree with what make returns",
                )
                break
            if sample.is_floating_point():
                low, high = (float(one) for one in (sample.min(), sample.max()))
                if not sample.isfinite().all():
                    yield Finding(f"{where} is not finite", "leave such samples out, with an InputError that says why")
                    break
                if len(shape) == 3 and not (low >= 0 and high <= 1):
                    yield Finding(
                        f"{where} lies in {low:.4g}..{high:.4g}, not in 0..1",
                        "divide by the largest possible pixel value",
                    )
                    break
            if len(shape) == 3 and sample.dtype not in (*TYPES, torch.float32):
                yield Finding(f"{where} is {sample.dtype}", "return uint8, uint16 or float32")
                break
            if isinstance(found, Prepared) and str(sample.dtype) != f"torch.{found.dtype}":
                yield Finding(
                    f"{where} is {sample.dtype}, but Prepared.dtype is {found.dtype}", "set the type that make returns"
                )
                break


@claims("dataset")
def domains(subject: Subject) -> Iterator[Finding]:
    """Both splits hold all domains, none is empty, and the domains of a group have equally many samples."""
    dataset = _dataset(subject)
    for split, found in opened(subject).items():
        if set(found) != set(dataset.shapes):
            yield Finding(f"{split} holds {', '.join(found)}, shapes {', '.join(dataset.shapes)}", "open every domain")
        lengths = {domain: one.length for domain, one in found.items() if not isinstance(one, Drawn)}
        for domain, length in lengths.items():
            if not length:
                yield Finding(f"{split} has no samples of {domain}", "raise an InputError that names the setting")
        for group in dataset.groups:
            if len({lengths[domain] for domain in group if domain in lengths}) > 1:
                yield Finding(
                    f"{' and '.join(group)} belong together, but have {lengths} samples",
                    "pair them, or separate them in groups",
                )


@claims("dataset")
def repeatable(subject: Subject) -> Iterator[Finding]:
    """Opened twice, it gives the same samples in the same order, whatever the random state."""
    first = {(split, domain): few(found) for split, domain, found in _each(subject)}
    for seed in (1, 2):
        torch.manual_seed(seed)
        again = _opened(subject)
        for (split, domain), expected in first.items():
            got = few(again[split][domain])  # type: ignore[index]
            if len(got) != len(expected) or not all(map(torch.equal, got, expected)):
                fix = "sort what you list, and draw with ganforge.random_generator(self.seed, ...)"
                yield Finding(f"opened again, {domain} ({split}) has different samples", fix)
                return


@claims("dataset")
def disjoint(subject: Subject) -> Iterator[Finding]:
    """No sample is in both splits: neither the same item, nor the same numbers."""
    found = opened(subject)
    for domain in sorted(found["train"].keys() & found["test"].keys()):  # a set has another order in each process
        one, other = found["train"][domain], found["test"][domain]
        if isinstance(one, Drawn) or isinstance(other, Drawn):
            continue
        if isinstance(one, Prepared) and isinstance(other, Prepared):
            shared = {repr(item) for item in one.items} & {repr(item) for item in other.items}
            if shared:
                yield Finding(f"{len(shared)} items of {domain} are in both splits, such as {min(shared)}", _LEAK)
                continue
        seen = {_digest(sample) for sample in few(one, MOST if isinstance(one, Stored) else FEW)}
        count = sum(_digest(sample) in seen for sample in few(other, MOST if isinstance(other, Stored) else FEW))
        if count:
            yield Finding(f"{count} test samples of {domain} are training samples, too", _LEAK)


_LEAK = "split the items before you make samples from them, and keep items that belong together in one split"


def _digest(sample: Tensor) -> bytes:
    return hashlib.sha256(sample.contiguous().numpy().tobytes()).digest()


@claims("dataset")
def labels(subject: Subject) -> Iterator[Finding]:
    """Each label has as many entries as there are samples."""
    for split, domain, found in _each(subject):
        for name, values in getattr(found, "labels", {}).items():
            if len(values) != found.length:  # type: ignore[union-attr]
                problem = f"{domain} ({split}) has {found.length} samples and {len(values)} labels '{name}'"  # type: ignore[union-attr]
                yield Finding(problem, "give one entry for each sample, also if samples are left out")


@claims("dataset")
def broken_files(subject: Subject) -> Iterator[Finding]:
    """A file that is cut short raises an InputError that names it."""
    looked = False
    for split, domain, found in _each(subject):
        if not isinstance(found, Prepared) or not found.items:
            continue
        item = found.items[0]
        for path in _paths(item):
            looked = True
            with tempfile.TemporaryDirectory() as folder:
                copy = Path(folder) / path.name
                shutil.copyfile(path, copy)
                os.truncate(copy, max(1, copy.stat().st_size // 3))
                try:
                    found.make(_exchanged(item, path, copy))
                except InputError as error:
                    if path.name not in str(error):
                        yield Finding(
                            f"a {path.suffix} that is cut short ({domain}, {split}) gives: {error}",
                            "name the file",
                        )
                except Exception as error:
                    problem = (
                        f"a {path.suffix} that is cut short ({domain}, {split}) raises {type(error).__name__}: {error}"
                    )
                    yield Finding(problem, "raise a ganforge.InputError that names the file")
                else:
                    problem = f"a {path.suffix} that is cut short ({domain}, {split}) makes a sample"
                    yield Finding(problem, "raise a ganforge.InputError that names a file that cannot be read whole")
        break
    if not looked:
        raise LeftOutError("its samples are not made from files, item by item")


def _paths(item: Any) -> list[Path]:
    """Return the files that an item names."""
    if isinstance(item, str | Path):
        return [Path(item)] if Path(item).is_file() else []
    if attrs.has(type(item)):
        item = [getattr(item, field.name) for field in attrs.fields(type(item))]
    return [path for one in item for path in _paths(one)] if isinstance(item, list | tuple) else []


def _exchanged(item: Any, path: Path, other: Path) -> Any:
    """Return an item that names another file."""
    if isinstance(item, str | Path):
        return type(item)(other) if Path(item) == path else item
    if attrs.has(type(item)):
        changed = {
            field.alias: _exchanged(getattr(item, field.name), path, other)
            for field in attrs.fields(type(item))
            if field.init
        }
        return attrs.evolve(item, **changed)
    if isinstance(item, list | tuple):
        return type(item)(_exchanged(one, path, other) for one in item)
    return item
