"""Feature matching: the translations should excite the discriminator as real samples do."""

from typing import Annotated

import torch
from attrs.validators import ge
from torch import Tensor


def feature_matching(
    real_features: tuple[Tensor, ...], fake_features: tuple[Tensor, ...], *, last: Annotated[int, ge(0)] = 0
) -> Tensor:
    """Mean squared difference of batch-mean activations, summed over layers (Salimans et al. 2016, section 3.1).

    Args:
        real_features: activations of the discriminator's hidden layers, [N, ...] each.
        fake_features: the same for translations.
        last: number of layers to match, counted from the last one; 0 takes all.
    """
    pairs = list(zip(real_features, fake_features, strict=True))[-last:]
    return torch.stack([(real.mean(0) - fake.mean(0)).square().mean() for real, fake in pairs]).sum()
