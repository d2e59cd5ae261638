"""Small pictures of noise in three domains, for methods that play more than two."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganforge import PictureDataset, Register, Samples, Split, Stored, hookimpl

SIDE, COUNT = 8, 12


class Patterns(PictureDataset):
    """Twelve pictures of noise in each of the domains A, B and C, the same in both splits."""

    shapes = dict.fromkeys("ABC", (3, SIDE, SIDE))

    def open(self, split: Split) -> Mapping[str, Samples]:
        """Return the pictures."""
        pictures = torch.rand(3, COUNT, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
        return {domain: Stored(COUNT, pictures[place].__getitem__) for place, domain in enumerate("ABC")}

    def read(self, domain: str, path: Path) -> Tensor:
        """Read a picture of the right size."""
        return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


@hookimpl
def ganforge_register(register: Register) -> None:
    register.dataset("patterns", Patterns)
