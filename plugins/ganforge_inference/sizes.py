"""At which sizes networks translate, and pictures made to have them."""

import math

import torch
from torch import Tensor

from ganforge import Trained


def multiple_of(trained: Trained, direction: str) -> int | None:
    """Return what height and width must be multiples of; None if a direction translates at the training size only.

    A network that takes pictures of any size says so: its attribute `multiple` is the number that their height and
    width must be multiples of, and its attribute `least`, if it has one, the smallest height and width.
    """
    multiples = [getattr(trained.networks[name], "multiple", None) for name in trained.needed(direction)]
    known = [multiple for multiple in multiples if isinstance(multiple, int)]
    return math.lcm(*known) if len(known) == len(multiples) else None


def least_of(trained: Trained, direction: str) -> int:
    """Return the smallest height and width that a direction translates."""
    return max(int(getattr(trained.networks[name], "least", 1)) for name in trained.needed(direction))


def padded(pictures: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Continue pictures [N, C, H, W] by reflection, downwards and to the right, to a multiple that is no less.

    Where there is too little to reflect, what was reflected is reflected again; a single pixel is repeated.
    """
    for dimension in (2, 3):
        side = pictures.shape[dimension]
        blocks = torch.sym_max((side + multiple - 1) // multiple, math.ceil(least / multiple))
        last = torch.arange(side, device=pictures.device)[-1:]
        place = torch.arange(blocks * multiple, device=pictures.device) % (2 * last).clamp(min=1)
        pictures = pictures.index_select(dimension, torch.minimum(place, 2 * last - place))
    return pictures
