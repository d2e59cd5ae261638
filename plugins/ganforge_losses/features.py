"""Feature matching: translations should cause the same discriminator activations as real samples."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import torch
from attrs.validators import ge
from torch import Tensor

from ganforge import batch_mean
from ganforge_losses.distances import difference

LAYERS = 4  # layers of pix2pixHD's discriminator, which have weight 1


def feature_matching(
    real_features: tuple[Tensor, ...], fake_features: tuple[Tensor, ...], *, last: Annotated[int, ge(0)] = 0
) -> Tensor:
    """Mean squared difference of batch-mean activations, summed over layers (Salimans et al. 2016, section 3.1).

    Args:
        real_features: activations of the discriminator's hidden layers, [N, ...] each.
        fake_features: the same for translations.
        last: number of layers to match, counted from the last one; 0 for all.
    """
    pairs = list(zip(real_features, fake_features, strict=True))[-last:]
    return torch.stack([(batch_mean(real) - batch_mean(fake)).square().mean() for real, fake in pairs]).sum()


def feature_l1(real_features: Sequence[Any], fake_features: Sequence[Any]) -> Tensor:
    """L1 distance of paired activations: four times the mean over layers and scales (pix2pixHD, Wang 2018).

    Eq. 8 sums over the layers of a scale. The authors' code weights each layer with 4 / layers, which is the same for
    four layers, and takes the mean over scales. Real and fake are compared in pairs, so the data should be paired.

    Args:
        real_features: activations of the discriminator's hidden layers, [N, ...] each; for several scales one list of
            all layers, or a list for each scale, with equally many layers.
        fake_features: the same for translations.
    """
    pairs = zip(_flat(real_features), _flat(fake_features), strict=True)
    return LAYERS * torch.stack([difference(fake, real).abs().mean() for real, fake in pairs]).mean()


def _flat(features: Tensor | Sequence[Any]) -> Iterator[Tensor]:
    if isinstance(features, Tensor):
        yield features
        return
    for one in features:
        yield from _flat(one)
