"""The batch of any training step as a pure function of seed and step, from the fastest memory that fits."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import torch
from torch import Tensor

from ganforge.data.augment import Augment
from ganforge.data.dataset import Drawn, Report, Sources, Stored, as_float, random_generator, sent
from ganforge.data.reading import mean, require, silent
from ganforge.errors import InputError
from ganforge.system.memory import free_memory

Residency = Literal["auto", "device", "host", "disk"]
SHARE = 0.5  # of the free memory that samples may use
CHUNK = 256  # samples read at a time


class Batches:
    """The training batch of any step: `batches(step)` depends only on the seed and the step.

    A field such as `B.age` stays aligned with the samples of domain B, and the domains of a group with each other. If
    several processes share a batch, `rows` are the rows of this process.

    Attributes:
        residency: where stored samples are kept: on the training device, in the host's memory, or on the disk, mapped
            into memory. From host and disk, the next batch is fetched while a step is computed.
        part: the rows of each batch that this process gets; None for all.
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
        rows: Sequence[int] | None = None,
        beside: int = 1,
    ) -> None:
        require(sources, batch)
        stored = {domain: samples for domain, samples in sources.items() if isinstance(samples, Stored)}
        self._lengths = {domain: samples.length for domain, samples in stored.items()}
        for group in groups:
            together = {domain: self._lengths[domain] for domain in group if domain in stored}
            if len(set(together.values())) > 1:
                raise InputError(f"domains that belong together need the same number of samples, got {together}")
        self.batch, self.seed, self.device = batch, seed, device
        self.sources = sources
        self.part = None if rows is None else torch.tensor(rows)
        self.residency = _place(stored, device, beside) if residency == "auto" else residency
        self._augment = augment or Augment()
        self._sizes = {domain: _size(samples) for domain, samples in stored.items() if samples.whole}
        several = [group for group in groups if len(group) > 1]
        names = ["all" if len(groups) == 1 else "+".join(group) for group in several]
        self._together = {domain: name for group, name in zip(several, names, strict=True) for domain in group}
        self._rows = {domain: self._reader(samples, f"reading {domain}", report) for domain, samples in stored.items()}
        self._orders: dict[str, tuple[int, Tensor]] = {}
        self._ahead: dict[int, Future[dict[str, Tensor]]] = {}
        self._fetcher = None if self.residency == "device" else ThreadPoolExecutor(1)

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Return the batch of a step, [batch, *shape] for each domain, on the device; only this process's rows."""
        stored = self._fetched(step, self._fetcher) if self._fetcher else self._fetch(step)
        batch = {domain: self._changed(domain, samples, step) for domain, samples in stored.items()}
        for domain, drawn in self.sources.items():
            if isinstance(drawn, Drawn):
                random = random_generator(self.seed, "batch", domain, step)
                whole = drawn.draw(self.batch, random)
                batch[domain] = sent(whole if self.part is None else whole[self.part], self.device)
        return batch

    def _changed(self, domain: str, samples: Tensor, step: int) -> Tensor:
        """Return samples as floats, with pictures cropped and augmented; domains of a group move together."""
        size = self._sizes.get(domain)
        if samples.ndim != 4 or not (self._augment or size):
            return as_float(samples)
        random = random_generator(self.seed, "place", self._group(domain), step)
        samples = samples if samples.dtype == torch.uint8 else as_float(samples)  # uint16 lacks most operators
        part = (self.part, self.batch)
        moved = as_float(self._augment.place(samples, random, size, *part))
        return self._augment.colour(moved, random_generator(self.seed, "colour", domain, step), *part)

    def reseed(self, seed: int) -> None:
        """Draw other batches from now on."""
        self.seed = seed
        self._ahead.clear()
        self._orders.clear()

    def mean(self, domain: str) -> Tensor:
        """Return the mean over (up to 4,096) training samples of a domain, [*shape], on the CPU."""
        return mean(self.sources[domain], self.seed, domain)

    def _reader(self, samples: Stored, what: str, report: Report) -> Callable[[Tensor], Tensor]:
        """Return a function that reads rows: from the disk, or from a tensor into which all samples are loaded now."""
        load = samples.whole or samples.load
        if self.residency == "disk":
            return lambda indices: load(indices.tolist())
        first = load(range(1))
        loaded = torch.empty(samples.length, *first.shape[1:], dtype=first.dtype)
        for start in range(0, samples.length, CHUNK):
            report(what, start, samples.length)
            stop = min(start + CHUNK, samples.length)
            loaded[start:stop] = load(range(start, stop))
        report(what, samples.length, samples.length)
        placed = loaded.to(self.device) if self.residency == "device" else loaded
        if placed.dtype == torch.uint16:  # CUDA cannot index it
            signed = placed.view(torch.int16)
            return lambda indices: signed[indices].view(torch.uint16)
        return lambda indices: placed[indices]

    def _group(self, field: str) -> str:
        """Return the name of the group that a field's samples are drawn with."""
        domain = field.partition(".")[0]
        return self._together.get(domain, domain)

    def _fetch(self, step: int) -> dict[str, Tensor]:
        fetched = {domain: rows(self._indices(domain, step)) for domain, rows in self._rows.items()}
        if self._fetcher and self.device.type == "cuda":  # in the fetching thread, since it copies
            return {domain: samples.pin_memory() for domain, samples in fetched.items()}
        return fetched

    def _fetched(self, step: int, fetcher: ThreadPoolExecutor) -> dict[str, Tensor]:
        """Return the batch, which may have been fetched ahead, and start fetching the next one."""
        future = self._ahead.get(step) or fetcher.submit(self._fetch, step)
        self._ahead = {step + 1: fetcher.submit(self._fetch, step + 1)}
        return {domain: sent(samples, self.device) for domain, samples in future.result().items()}

    def _indices(self, domain: str, step: int) -> Tensor:
        """Return the indices of a step's samples: every epoch visits each sample once, in a random order of its own."""
        first, last = step * self.batch, (step + 1) * self.batch
        parts = []
        while first < last:
            epoch, offset = divmod(first, self._lengths[domain])
            parts.append(self._order(domain, epoch)[offset : offset + last - first])
            first += len(parts[-1])
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        return whole if self.part is None else whole[sent(self.part, whole.device)]

    def _order(self, domain: str, epoch: int) -> Tensor:
        if self._orders.get(domain, (None,))[0] != epoch:
            random = random_generator(self.seed, "order", self._group(domain), epoch)
            order = torch.randperm(self._lengths[domain], generator=random)
            self._orders[domain] = (epoch, order.to(self.device) if self.residency == "device" else order)
        return self._orders[domain][1]


def _place(stored: Mapping[str, Stored], device: torch.device, beside: int) -> Residency:
    """Choose the fastest place where the samples fit; `beside` processes of this machine each need as much."""
    need = sum(samples.length * (samples.whole or samples.load)(range(1)).nbytes for samples in stored.values())
    if device.type == "cuda" and need <= SHARE * torch.cuda.mem_get_info(device)[0]:
        return "device"
    if need * beside > SHARE * free_memory():
        return "disk"
    return "device" if device.type == "cpu" else "host"


def _size(samples: Stored) -> tuple[int, int]:
    """Return height and width of pictures."""
    height, width = samples.load(range(1)).shape[2:]
    return height, width
