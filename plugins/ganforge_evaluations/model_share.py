"""Whether translations depend on more than their inputs' angle."""

import math
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor


def model_share(pictures: Tensor, views: Sequence[Hashable]) -> float:
    """Return the share of the pixels' variance within views, 0..1.

    The sum over views of squared distances from the view's mean picture, over that from the mean of all pictures (one
    minus the correlation ratio, eta squared). Different models at one angle give a high share; translations that
    depend on their input's angle but not on its model give 0. It depends on how much angles differ, so compare it with
    that of real pictures at the same angles.

    Args:
        pictures: float [N, C, H, W].
        views: view of each picture, such as its azimuth and elevation. Only views with several pictures count.

    Returns:
        The share; nan if no view has several pictures, all pictures are equal, or one is not finite.
    """
    places: dict[Hashable, list[int]] = {}
    for place, view in enumerate(views):
        places.setdefault(view, []).append(place)
    several = [group for group in places.values() if len(group) > 1]
    if not several:
        return math.nan
    groups = [pictures[group].flatten(1).double() for group in several]  # [n, C H W] each
    whole = torch.stack([group.sum(0) for group in groups]).sum(0) / sum(map(len, groups))
    within, total = (
        sum(float((group - mean).square().sum()) for group, mean in zip(groups, means, strict=True))
        for means in ([group.mean(0) for group in groups], [whole] * len(groups))
    )
    return within / total if total > 0 else math.nan
