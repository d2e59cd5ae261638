"""Data sets: what a plugin returns, in which forms its samples may be, and seeds for all that is random."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrs import evolve, field, frozen

from ganforge.data.depth import Depth, Picture
from ganforge.data.notes import Note
from ganforge.data.split import SPLITS as SPLITS, Split as Split
from ganforge.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Shape = tuple[int, ...]
OnBroken = Literal["stop", "skip"]
Crop = Literal["random", "centre"]
Report = Callable[[str, int, int], None]  # is told of (what goes on, done, total)


@frozen
class Stored:
    """Samples that are ready to load.

    Attributes:
        length: how many there are.
        load: takes indices and returns those samples: pictures [N, C, H, W] as uint8, uint16 or float32, of which
            `as_float` makes floats in [0, 1]; anything else as float.
        labels: for each label its value for every sample; `length` entries each.
        skipped: broken samples that were left out, a line each.
        notes: oddities of samples that are used nevertheless.
        made_of: the `Prepared` samples that they were made from, if any.
        places: the index of each sample in `made_of`, if some are left out.
        whole: for pictures that training crops at random: like `load`, but returns the larger pictures, of which
            `load` returns the middle.
    """

    length: int
    load: Callable[[Sequence[int]], Tensor]
    labels: Mapping[str, Sequence[Any]] = field(factory=dict)
    skipped: Sequence[str] = ()
    notes: Sequence[Note] = ()
    made_of: Prepared | None = field(default=None, repr=False)
    places: Sequence[int] | None = None
    whole: Callable[[Sequence[int]], Tensor] | None = None

    def chosen(self, places: Sequence[int]) -> Stored:
        """Return only the samples at these places among those that they were made of."""
        at = {place: index for index, place in enumerate(self.places or range(self.length))}
        rows = [at[place] for place in places]
        load = self.load
        labels = {name: [values[row] for row in rows] for name, values in self.labels.items()}

        def load_chosen(indices: Sequence[int]) -> Tensor:
            return load([rows[index] for index in indices])

        return evolve(self, length=len(rows), load=load_chosen, labels=labels, places=tuple(places))


@frozen
class Prepared:
    """Pictures that are expensive to make, such as by decoding a file: made once, in parallel, and cached.

    Attributes:
        items: the source of each sample: a path, or anything that pickles and has a distinct repr.
        make: makes the sample of an item, [C, H, W]; a function of a module or a method of an attrs class, so that
            other processes can call it. It raises InputError for a broken item, and calls `warnings.warn` for an odd
            one that can be used.
        settings: everything else that `make` depends on, as text; another text means another cache.
        labels: for each label its value for every item.
        on_broken: whether a broken item stops everything, or is reported and left out.
        left_out: other files found beside the items, as text for people; see `Found`.
        shape: of a sample as it is made, if it is larger than the data set's and will be cropped.
        crop: where a larger sample is cropped: at random for training batches, or always in the middle.
        dtype: the type of a sample's numbers.
    """

    items: Sequence[Any]
    make: Callable[[Any], Tensor]
    settings: str
    labels: Mapping[str, Sequence[Any]] = field(factory=dict)
    on_broken: OnBroken = "stop"
    left_out: str = ""
    shape: Shape | None = None
    crop: Crop = "random"
    dtype: Literal["uint8", "uint16", "float32"] = "uint8"

    @property
    def length(self) -> int:
        """How many there are, broken ones included."""
        return len(self.items)

    def chosen(self, places: Sequence[int]) -> Prepared:
        """Return only the samples at these places."""
        labels = {name: [values[place] for place in places] for name, values in self.labels.items()}
        return evolve(self, items=[self.items[place] for place in places], labels=labels)


@frozen
class Drawn:
    """Samples that are drawn anew: `draw` takes a count and a CPU random generator and returns float [N, *shape]."""

    draw: Callable[[int, torch.Generator], Tensor]


Samples = Stored | Prepared | Drawn


@frozen
class Decided:
    """What a data set has decided after inspecting its data.

    Attributes:
        settings: those that the recipe leaves open; they are written into the locked recipe.
        said: what was decided, a line each.
        odd: warnings about it, a line each.
    """

    settings: Mapping[str, Any] = field(factory=dict)
    said: Sequence[str] = ()
    odd: Sequence[str] = ()


class Dataset(ABC):
    """Samples of one domain or several, in a train and a test split. Nothing is read before `open`."""

    @property
    @abstractmethod
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of a sample of each domain: (channels, height, width) of a picture, (dimensions,) of a point."""

    @property
    def groups(self) -> Sequence[Sequence[str]]:
        """Domains whose samples i belong together, so that a batch keeps them together: `[["A", "B"]]` for pairs.

        By default every domain is a group of its own. A sample's labels always stay with it.
        """
        return [[domain] for domain in self.shapes]

    def decide(self, ready: Callable[..., Stored] | None, report: Report) -> Decided:
        """Decide from the data what the settings leave open; by default nothing.

        Args:
            ready: makes prepared samples ready to load, as a cache does; it takes (samples, shape, what, report).
            report: told of (what, done, total).

        Raises:
            InputError: as of `open`.
        """
        return Decided()

    @abstractmethod
    def open(self, split: Split) -> Mapping[str, Samples]:
        """Return the samples of each domain, of the split `train` or `test`.

        Raises:
            InputError: the files are not there, or are not what was expected; `key` names the setting.
        """

    def kin(self, labels: Mapping[str, Sequence[Any]]) -> Sequence[Any] | None:
        """Name for each training sample what it must not be parted from, when a share is set aside for validation.

        By default that is its label `pair`, or else its `file`, so that no other half of it is trained on; None where
        every sample stands for itself. Where many show one thing or person, say which: else the validation knows them.
        """
        return next((labels[name] for name in ("pair", "file") if name in labels), None)

    def held(self, kin: Collection[Any]) -> Mapping[str, Samples] | None:
        """Return the samples that are set aside for validation: those of the names that `kin` gave.

        By default, None, they are the training samples as they are. A data set whose test samples are made otherwise
        returns them as test samples; one that draws its training samples returns others that are fixed.
        """
        return None

    def validation(self, folder: Path | None) -> Mapping[str, Samples]:
        """Return validation samples that are no training samples: of a folder, or None, those that the data bring.

        Raises:
            InputError: there are none; by default there never are any.
        """
        raise InputError("this data set takes a share of its training samples, such as 0.05", key="validation")


class PictureDataset(Dataset):
    """A data set whose samples are pictures, which can prepare a stranger's picture in the same way."""

    @property
    def depths(self) -> Mapping[str, Depth]:
        """What the numbers in the files of each domain mean; by default they have 8 bits."""
        return {domain: Depth() for domain in self.shapes}

    @abstractmethod
    def read(self, domain: str, path: Path) -> Tensor:
        """Read any picture file as a sample of the domain, [C, H, W] as uint8, uint16 or float32.

        Raises:
            InputError: the file is no picture, or is damaged.
        """

    def picture(self, domain: str, path: Path) -> Picture:
        """Read any picture file of a domain at its own size; by default at that of samples.

        Raises:
            InputError: the file is no picture, or is damaged.
        """
        return Picture(self.read(domain, path))


def derive(seed: int, *labels: object) -> int:
    """Derive an independent seed for one purpose, the same on every machine.

    >>> derive(0, "A", 1) == derive(0, "A", 1) != derive(0, "A", 2)
    True
    """
    digest = hashlib.blake2b(repr((seed, *labels)).encode(), digest_size=7).digest()
    return int.from_bytes(digest)


def random_generator(seed: int, *labels: object) -> torch.Generator:
    """Return a fresh CPU random generator for one purpose."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *labels))


def as_float(samples: Tensor) -> Tensor:
    """Turn pictures of uint8 and uint16 into floats in [0, 1], other floats into float32; leave other whole numbers."""
    import torch

    if samples.dtype in (torch.uint8, torch.uint16):
        return samples.float().div_(255 if samples.dtype == torch.uint8 else 65535)
    return samples.float() if samples.is_floating_point() else samples
