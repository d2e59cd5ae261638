"""At which sizes networks translate, and pictures made to have them."""

import math

from torch import Tensor
from torch.nn.functional import pad

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

    A picture of one pixel in a direction, in which there is nothing to reflect, is continued by that one.
    """
    target = [math.ceil(max(side, least) / multiple) * multiple for side in pictures.shape[2:]]
    while pictures.shape[2:] != (target[0], target[1]):
        here = pictures.shape[2:]
        mode = "reflect" if min(here) > 1 else "replicate"
        furthest = [side - 1 if mode == "reflect" else max(target) for side in here]
        down, right = (min(to - side, most) for to, side, most in zip(target, here, furthest, strict=True))
        pictures = pad(pictures, (0, right, 0, down), mode)
    return pictures
