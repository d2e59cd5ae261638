"""One generator of samples from noise, and one discriminator."""

import math
from collections.abc import Mapping, Sequence

import torch
from attrs import field, frozen, validators
from torch import Tensor

from ganforge import Coupling, Network, View


@frozen
class FromNoise(Coupling):
    """A generator G of samples of one domain from noise z ~ N(0, 1), and a discriminator or critic D.

    The direction has the name of the domain. Other domains of the data set are not used.

    Attributes:
        domain: domain of the samples.
        shape: shape of the noise for a sample, such as [100] or [100, 1, 1].
    """

    domain: str = "B"
    shape: list[int] = field(
        factory=lambda: [100], validator=[validators.min_len(1), validators.deep_iterable(validators.ge(1))]
    )
    noise: Mapping[str, tuple[int, ...]] = field(init=False)

    @noise.default
    def _noise(self) -> Mapping[str, tuple[int, ...]]:
        return {"Z": tuple(self.shape)}

    @property
    def networks(self) -> Sequence[Network]:
        """G and D."""
        return Network("G", "generator", ("Z", self.domain)), Network("D", "discriminator", (self.domain,))

    @property
    def views(self) -> Sequence[View]:
        """The only direction; its `source` is the noise, unless the recipe transforms it."""
        fields = {"source": "Z", "noise": "Z", "real": self.domain}
        return (View(self.domain, ("Z", self.domain), fields, {"generator": "G", "discriminator": "D"}),)


def uniform(noise: Tensor) -> Tensor:
    """Noise z ~ U(-1, 1), computed from N(0, 1) by its distribution function: `[values.source] use = "uniform"`."""
    return torch.erf(noise / math.sqrt(2))
