"""The batch of any training step as a pure function of seed and step, from wherever the samples fit."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from ganforge.data import cache
from ganforge.data.augment import Augment
from ganforge.data.dataset import (
    CHUNK,
    Dataset,
    Drawn,
    Prepared,
    Report,
    Samples,
    Shape,
    Split,
    Stored,
    as_float,
    random_generator,
)
from ganforge.errors import InputError, nearest

Sources = Mapping[str, Stored | Drawn]
Residency = Literal["auto", "device", "host", "disk"]
SHARE = 0.5  # of the memory that is free, which the samples may take


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


def read(
    dataset: Dataset,
    split: Split,
    report: Report = silent,
    name: str = "data",
    batch: int = 0,
    labels: Iterable[str] = (),
) -> Sources:
    """Open a split, with all that has to be prepared from the cache.

    Args:
        dataset: what to open.
        split: which part of it.
        report: told of (what, done, total).
        name: of the data, for messages and lists.
        batch: number of samples that every domain must have.
        labels: fields to read as well, such as `B.age`: the label `age` of the samples of domain B.

    Raises:
        InputError: the files are not there, are broken or too few, have no such label, or do not fit on the cache's
            disk.
    """
    opened = dataset.open(split)
    require(opened, batch)
    sources = {
        domain: cache.ready(samples, dataset.shapes[domain], f"{name} {split} {domain}", report)
        if isinstance(samples, Prepared)
        else samples
        for domain, samples in opened.items()
    }
    require(sources, batch)  # again: broken samples may have been left out
    return {**sources, **{field: label_of(sources, field) for field in labels}}


def label_of(sources: Sources, field: str) -> Stored:
    """Return a label of a domain's samples as a field of its own: whole numbers as int64, others as float32.

    Args:
        sources: the samples of each domain.
        field: `domain.label`.

    Raises:
        InputError: there is no such label, or it is no number.
    """
    domain, _, label = field.partition(".")
    samples = sources.get(domain)
    known = dict(samples.labels) if isinstance(samples, Stored) else {}
    if label not in known:
        hint = nearest(label, known) or "it has no labels"
        raise InputError(f"the samples of domain {domain} have no label '{label}'; {hint}")
    try:
        values = torch.tensor(known[label])
    except (ValueError, TypeError) as error:
        raise InputError(f"the label '{label}' of domain {domain} is no number: {known[label][0]!r}") from error
    return Stored(len(values), partial(_rows_of, values if values.is_floating_point() else values.long()))


def _rows_of(values: Tensor, indices: Sequence[int]) -> Tensor:
    return values[torch.as_tensor(indices, dtype=torch.long)]


def normal(shape: Shape) -> Drawn:
    """Return a field that is drawn from N(0, 1)."""
    return Drawn(partial(_normal, shape))


def _normal(shape: Shape, count: int, random: torch.Generator) -> Tensor:
    return torch.randn(count, *shape, generator=random)


def require(sources: Mapping[str, Samples], batch: int) -> None:
    """Refuse a split that cannot fill a batch.

    Raises:
        InputError: a domain has too few samples.
    """
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


def load_all(samples: Stored, report: Callable[[int, int], None] = lambda done, total: None) -> Tensor:
    """Load every sample into one tensor in the host's memory, telling `report` how far it is."""
    first = samples.load(range(1))
    loaded = torch.empty(samples.length, *first.shape[1:], dtype=first.dtype)
    for start in range(0, samples.length, CHUNK):
        report(start, samples.length)
        stop = min(start + CHUNK, samples.length)
        loaded[start:stop] = samples.load(range(start, stop))
    report(samples.length, samples.length)
    return loaded


class Batches:
    """The training batch of any step: `batches(step)` depends on the seed and the step and on nothing before it.

    A field `B.age` keeps to the samples of the domain B, and the domains of a group keep to each other.

    Attributes:
        residency: where the stored samples are: on the training device; in the host's memory; or on the disk, mapped
            into memory. From host and disk the next batch is fetched while a step is computed.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        batch: int,
        seed: int,
        device: torch.device,
        groups: Sequence[Sequence[str]] = (),
        residency: Residency = "auto",
        augment: Augment | None = None,
        report: Report = silent,
    ) -> None:
        require(sources, batch)
        lengths = {domain: samples.length for domain, samples in sources.items() if isinstance(samples, Stored)}
        for group in groups:
            together = {domain: lengths[domain] for domain in group if domain in lengths}
            if len(set(together.values())) > 1:
                raise InputError(f"domains that belong together have as many samples as each other, not {together}")
        self.batch, self.seed, self.device = batch, seed, device
        self._together: dict[str, str] = {
            domain: "all" if len(groups) == 1 else "+".join(group)
            for group in groups
            if len(group) > 1
            for domain in group
        }
        self.sources = sources
        stored = {domain: samples for domain, samples in sources.items() if isinstance(samples, Stored)}
        self.residency = _place(stored, device) if residency == "auto" else residency
        self._augment = augment or Augment()
        self._rows: dict[str, Callable[[Tensor], Tensor]] = {}
        for domain, samples in stored.items():
            if self.residency == "disk":
                self._rows[domain] = _load_rows(samples)
                continue
            tensor = load_all(samples, partial(report, f"reading {domain}"))
            self._rows[domain] = _index(tensor.to(device) if self.residency == "device" else tensor)
        self._orders: dict[str, tuple[int, Tensor]] = {}
        self._ahead: tuple[int, Future[dict[str, Tensor]]] | None = None
        self._fetcher = None if self.residency == "device" else ThreadPoolExecutor(1)

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Return the batch of a step, [batch, *shape] of each domain, on the device."""
        stored = self._fetch(step) if self._fetcher is None else self._fetched(step, self._fetcher)
        batch = {domain: as_float(samples) for domain, samples in stored.items()}
        for domain, drawn in self.sources.items():
            if isinstance(drawn, Drawn):
                random = random_generator(self.seed, "batch", domain, step)
                batch[domain] = drawn.draw(self.batch, random).to(self.device)
        if not self._augment:
            return batch
        pictures = [name for name, rows in stored.items() if rows.ndim == 4]
        return batch | {domain: self._changed(domain, step, batch[domain]) for domain in pictures}

    def reseed(self, seed: int) -> None:
        """Take other samples in every step from now on."""
        self.seed, self._ahead = seed, None
        self._orders.clear()

    def mean(self, domain: str) -> Tensor:
        """Return the mean over (up to 4,096) training samples of a domain, [*shape], on the CPU."""
        return mean(self.sources[domain], self.seed, domain)

    def _changed(self, domain: str, step: int, pictures: Tensor) -> Tensor:
        place = self._group(domain)  # what belongs together moves together
        pictures = self._augment.place(pictures, random_generator(self.seed, "place", place, step))
        return self._augment.colour(pictures, random_generator(self.seed, "colour", domain, step))

    def _group(self, field: str) -> str:
        """Name what a field's samples are drawn together with."""
        domain = field.partition(".")[0]
        return self._together.get(domain, domain)

    def _fetch(self, step: int) -> dict[str, Tensor]:
        return {domain: rows(self._indices(domain, step, self._length(domain))) for domain, rows in self._rows.items()}

    def _fetched(self, step: int, fetcher: ThreadPoolExecutor) -> dict[str, Tensor]:
        """Take what was fetched ahead, if it was, and have the next step's batch fetched."""
        ahead = self._ahead
        future = ahead[1] if ahead and ahead[0] == step else fetcher.submit(self._fetch_pinned, step)
        self._ahead = (step + 1, fetcher.submit(self._fetch_pinned, step + 1))
        return {domain: samples.to(self.device, non_blocking=True) for domain, samples in future.result().items()}

    def _fetch_pinned(self, step: int) -> dict[str, Tensor]:
        stored = self._fetch(step)
        if self.device.type != "cuda":
            return stored
        return {domain: samples.pin_memory() for domain, samples in stored.items()}

    def _length(self, domain: str) -> int:
        samples = self.sources[domain]
        assert isinstance(samples, Stored)
        return samples.length

    def _indices(self, domain: str, step: int, length: int) -> Tensor:
        """Positions of a step's samples: every epoch passes once over all of them, in its own random order."""
        first = step * self.batch
        parts = []
        while first < (step + 1) * self.batch:
            epoch, offset = divmod(first, length)
            part = self._order(domain, epoch, length)[offset : offset + (step + 1) * self.batch - first]
            parts.append(part)
            first += len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _order(self, domain: str, epoch: int, length: int) -> Tensor:
        if self._orders.get(domain, (None,))[0] != epoch:
            order = torch.randperm(length, generator=random_generator(self.seed, "order", self._group(domain), epoch))
            self._orders[domain] = (epoch, order.to(self.device) if self.residency == "device" else order)
        return self._orders[domain][1]


def _index(tensor: Tensor) -> Callable[[Tensor], Tensor]:
    return tensor.__getitem__


def _load_rows(samples: Stored) -> Callable[[Tensor], Tensor]:
    return lambda indices: samples.load(indices.tolist())


def _place(stored: Mapping[str, Stored], device: torch.device) -> Residency:
    """Choose the fastest place where the samples fit."""
    need = 0
    for samples in stored.values():
        first = samples.load(range(1))
        need += samples.length * math.prod(first.shape[1:]) * first.element_size()
    if device.type == "cuda" and need <= SHARE * torch.cuda.mem_get_info(device)[0]:
        return "device"
    if need > SHARE * _free_memory():
        return "disk"
    return "device" if device.type == "cpu" else "host"


def _free_memory() -> float:
    """Bytes of the host's memory that could be taken; where the system does not tell, enough."""
    with suppress(OSError, ValueError):
        with open("/proc/meminfo", encoding="ascii") as file:
            fields = dict(line.split(":") for line in file)
        return 1024.0 * int(fields["MemAvailable"].split()[0])
    return math.inf
