"""One generator that makes samples of noise, and one discriminator of these."""

import math
from collections.abc import Mapping, Sequence

import torch
from attrs import field, frozen, validators
from torch import Tensor

from ganforge import Coupling, Network, View


@frozen
class FromNoise(Coupling):
    """A generator G that makes samples of one domain of noise z ~ N(0, 1), and a discriminator D, or critic.

    The direction is called by the domain. Other domains of the data set are not used.

    Attributes:
        domain: whose samples are learnt.
        shape: of the noise for a sample: [100], say, or [100, 1, 1].
    """

    domain: str = "B"
    shape: list[int] = field(
        factory=lambda: [100], validator=[validators.min_len(1), validators.deep_iterable(validators.ge(1))]
    )

    @property
    def networks(self) -> Sequence[Network]:
        """G and D."""
        return Network("G", "generator", ("Z", self.domain)), Network("D", "discriminator", (self.domain,))

    @property
    def views(self) -> Sequence[View]:
        """The one direction; its `source` is the noise, unless the recipe makes another one of it."""
        fields = {"source": "Z", "noise": "Z", "real": self.domain}
        return (View(self.domain, ("Z", self.domain), fields, {"generator": "G", "discriminator": "D"}),)

    @property
    def noise(self) -> Mapping[str, tuple[int, ...]]:
        """The noise, Z."""
        return {"Z": tuple(self.shape)}


def uniform(noise: Tensor) -> Tensor:
    """Noise z ~ U(-1, 1), made of z ~ N(0, 1) by its distribution function: `[values.source] use = "uniform"`."""
    return torch.erf(noise / math.sqrt(2))
