"""The contract of data sets, the forms that samples may have, and the seeds of random numbers."""

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
Report = Callable[[str, int, int], None]  # called with (what, done, total)


@frozen
class Stored:
    """Samples that are ready to load.

    Attributes:
        length: number of samples.
        load: takes indices and returns those samples: pictures [N, C, H, W] as uint8, uint16 or float32, which
            `as_float` maps to [0, 1]; anything else as float.
        labels: the values of each label, one for each sample.
        skipped: broken samples that were left out, one line each.
        notes: oddities of samples that are used nevertheless.
        made_of: the `Prepared` samples from which they were made, if any.
        places: the index of each sample in `made_of`, if some are left out.
        whole: for pictures that training crops at random: like `load`, but returns the larger pictures, of which
            `load` returns the centre.
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
        """Return only the samples with these indices in `made_of`."""
        at = {place: index for index, place in enumerate(self.places or range(self.length))}
        rows = [at[place] for place in places]
        load = self.load
        labels = {name: [values[row] for row in rows] for name, values in self.labels.items()}

        def load_chosen(indices: Sequence[int]) -> Tensor:
            return load([rows[index] for index in indices])

        return evolve(self, length=len(rows), load=load_chosen, labels=labels, places=tuple(places))


@frozen
class Prepared:
    """Pictures that are expensive to make, such as by decoding files: made once, in parallel, and cached.

    Attributes:
        items: the source of each sample: a path, or anything that pickles and has a distinct repr.
        make: makes the sample of an item, [C, H, W]: a module's function or an attrs class's method, so that other
            processes can call it. It raises InputError for a broken item, and calls `warnings.warn` for an odd but
            usable one.
        settings: everything else that `make` depends on, as text; another text means another cache.
        labels: the values of each label, one for each item.
        on_broken: whether a broken item stops everything, or is reported and left out.
        left_out: other files found beside the items, as text for people; see `Found`.
        shape: the shape of a sample as made, if it is larger than the data set's and will be cropped.
        crop: where a larger sample is cropped: at random for training batches, or always at the centre.
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
        """The number of items, including broken ones."""
        return len(self.items)

    def chosen(self, places: Sequence[int]) -> Prepared:
        """Return only the items with these indices."""
        labels = {name: [values[place] for place in places] for name, values in self.labels.items()}
        return evolve(self, items=[self.items[place] for place in places], labels=labels)


@frozen
class Drawn:
    """Samples drawn afresh: `draw` takes a count and a CPU random generator and returns float [N, *shape]."""

    draw: Callable[[int, torch.Generator], Tensor]


Samples = Stored | Prepared | Drawn
Sources = Mapping[str, Stored | Drawn]  # the samples of each domain, ready to use


@frozen
class Decided:
    """What a data set decided after inspecting its data.

    Attributes:
        settings: values for settings that the recipe leaves open; the locked recipe records them.
        said: what was decided, one line each.
        odd: warnings about it, one line each.
    """

    settings: Mapping[str, Any] = field(factory=dict)
    said: Sequence[str] = ()
    odd: Sequence[str] = ()


class Dataset(ABC):
    """Samples of one or several domains, in a train and a test split. Nothing is read before `open`."""

    @property
    @abstractmethod
    def shapes(self) -> Mapping[str, Shape]:
        """The sample shape of each domain: (channels, height, width) for pictures, (dimensions,) for points."""

    @property
    def groups(self) -> Sequence[Sequence[str]]:
        """Groups of domains whose samples of the same index belong together: `[["A", "B"]]` for pairs.

        A batch keeps them together. By default each domain is its own group. Labels always stay with their sample.
        """
        return [[domain] for domain in self.shapes]

    def decide(self, ready: Callable[..., Stored] | None, report: Report) -> Decided:
        """Decide, after inspecting the data, settings that the recipe leaves open; by default none.

        Args:
            ready: makes prepared samples ready to load, as a cache does; called with (samples, shape, what, report).
            report: called with (what, done, total).

        Raises:
            InputError: as in `open`.
        """
        return Decided()

    @abstractmethod
    def open(self, split: Split) -> Mapping[str, Samples]:
        """Return the samples of each domain in the split `train` or `test`.

        Raises:
            InputError: files are missing or not as expected; `key` names the setting.
        """

    def kin(self, labels: Mapping[str, Sequence[Any]]) -> Sequence[Any] | None:
        """Return a group name for each training sample; a validation share takes whole groups.

        By default the name is the label `pair`, or else `file`, so that no sample's other half is trained on. None
        means that samples are independent. If several show the same object or person, return which one: otherwise the
        validation split leaks.
        """
        return next((labels[name] for name in ("pair", "file") if name in labels), None)

    def held(self, kin: Collection[Any]) -> Mapping[str, Samples] | None:
        """Return the validation samples with these names from `kin`.

        None, the default, uses the training samples as they are. A data set that makes test samples differently
        returns them as test samples; one that draws its training samples returns fixed ones.
        """
        return None

    def validation(self, folder: Path | None) -> Mapping[str, Samples]:
        """Return separate validation samples: those in a folder, or, for None, those that come with the data.

        Raises:
            InputError: there are none, which is the default.
        """
        message = "this data set has no own validation samples; set a share of its training samples, such as 0.05"
        raise InputError(message, key="validation")


class PictureDataset(Dataset):
    """A data set of pictures, which can also prepare any other picture in the same way."""

    @property
    def depths(self) -> Mapping[str, Depth]:
        """The value range of each domain's picture files; by default 8 bits."""
        return {domain: Depth() for domain in self.shapes}

    @abstractmethod
    def read(self, domain: str, path: Path) -> Tensor:
        """Read any picture file as a sample of the domain, [C, H, W] as uint8, uint16 or float32.

        Raises:
            InputError: the file is not a picture, or is damaged.
        """

    def picture(self, domain: str, path: Path) -> Picture:
        """Read any picture file of a domain at its own size; by default at the size of samples.

        Raises:
            InputError: the file is not a picture, or is damaged.
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
    """Map uint8 and uint16 pictures to floats in [0, 1] and other floats to float32; keep other integers."""
    import torch

    if samples.dtype in (torch.uint8, torch.uint16):
        return samples.float().div_(255 if samples.dtype == torch.uint8 else 65535)
    return samples.float() if samples.is_floating_point() else samples


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; a copy to a CUDA device is queued, and nobody waits for the device."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
