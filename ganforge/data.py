"""Data sets, and the batch of any training step as a pure function of seed and step."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from attrs import field, frozen
from torch import Tensor

from ganforge.errors import InputError

Shape = tuple[int, ...]
Split = Literal["train", "test"]
CHUNK = 256
# What is taken from a folder of pictures; a file that is named itself may have any suffix.
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})


@frozen
class Stored:
    """Samples that exist, such as files.

    Attributes:
        length: how many there are.
        load: takes indices and returns those samples: pictures as uint8 [N, C, H, W], anything else as float.
        labels: what is known of each sample, by name of the label; `length` entries each.
    """

    length: int
    load: Callable[[Sequence[int]], Tensor]
    labels: Mapping[str, Sequence[Any]] = field(factory=dict)


@frozen
class Drawn:
    """Samples that are made afresh: `draw` takes a count and a CPU random generator and returns float [N, *shape]."""

    draw: Callable[[int, torch.Generator], Tensor]


Samples = Stored | Drawn


class Dataset(ABC):
    """Samples of two (or more) domains, in a train and a test split. Nothing is read before `open`."""

    @property
    @abstractmethod
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of a sample of each domain: (channels, height, width) of a picture, (dimensions,) of a point."""

    @property
    @abstractmethod
    def paired(self) -> bool:
        """Whether sample i of each domain belong together, so that a batch keeps them together."""

    @abstractmethod
    def open(self, split: Split) -> Mapping[str, Samples]:
        """Return the samples of each domain.

        Raises:
            InputError: the files are not there, or are not what was expected; `key` names the setting.
        """


class PictureDataset(Dataset):
    """A data set whose samples are pictures, which can prepare a stranger's picture in the same way."""

    @abstractmethod
    def read(self, domain: str, path: Path) -> Tensor:
        """Read any picture file as a sample of the domain, uint8 [C, H, W].

        Raises:
            InputError: the file is no picture, or is damaged.
        """


def derive(seed: int, *labels: object) -> int:
    """Derive an independent seed for one purpose, the same on every machine.

    >>> derive(0, "A", 1) == derive(0, "A", 1) != derive(0, "A", 2)
    True
    """
    digest = hashlib.blake2b(repr((seed, *labels)).encode(), digest_size=7).digest()
    return int.from_bytes(digest)


def random_generator(seed: int, *labels: object) -> torch.Generator:
    """Return a fresh CPU random generator for one purpose."""
    return torch.Generator().manual_seed(derive(seed, *labels))


def as_float(samples: Tensor) -> Tensor:
    """Turn pictures of uint8 into floats in [0, 1]; leave floats as they are."""
    return samples.float().div_(255) if samples.dtype == torch.uint8 else samples.float()


def load_all(samples: Stored, report: Callable[[int, int], None] = lambda done, total: None) -> Tensor:
    """Load every sample, in chunks, telling `report` how far it is."""
    chunks = []
    for start in range(0, samples.length, CHUNK):
        report(start, samples.length)
        chunks.append(samples.load(range(start, min(start + CHUNK, samples.length))))
    report(samples.length, samples.length)
    return torch.cat(chunks)


class Batches:
    """The training batch of any step: `batches(step)` depends on the seed and the step and on nothing before it."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch: int,
        seed: int,
        device: torch.device,
        report: Callable[[str, int, int], None] = lambda what, done, total: None,
    ) -> None:
        """Open the train split; stored samples move to the device once and stay there."""
        self.batch, self.seed, self.device, self.paired = batch, seed, device, dataset.paired
        self._drawn: dict[str, Drawn] = {}
        self._stored: dict[str, Tensor] = {}
        self._orders: dict[str, tuple[int, Tensor]] = {}
        for domain, samples in dataset.open("train").items():
            if isinstance(samples, Drawn):
                self._drawn[domain] = samples
                continue
            if samples.length < batch:
                raise InputError(
                    f"domain {domain} has {samples.length} training samples, fewer than a batch of {batch}; "
                    f"set train.batch to {samples.length} or less"
                )
            self._stored[domain] = load_all(samples, partial(report, f"reading {domain}")).to(device)

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Return the batch of a step, [batch, *shape] of each domain, on the device."""
        batch = {
            domain: as_float(stored[self._indices(domain, step, len(stored))])
            for domain, stored in self._stored.items()
        }
        for domain, drawn in self._drawn.items():
            batch[domain] = drawn.draw(self.batch, random_generator(self.seed, "batch", domain, step)).to(self.device)
        return batch

    def mean(self, domain: str) -> Tensor:
        """Return the mean over (up to 4,096) training samples of a domain, [*shape], on the CPU."""
        if domain in self._drawn:
            return self._drawn[domain].draw(4096, random_generator(self.seed, "mean", domain)).mean(0)
        return as_float(self._stored[domain][:4096]).mean(0).cpu()

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
            label = "all" if self.paired else domain
            order = torch.randperm(length, generator=random_generator(self.seed, "order", label, epoch))
            self._orders[domain] = (epoch, order.to(self.device))
        return self._orders[domain][1]
