"""The three models of Figure 2 (Kim et al. 2017), each a short list of views."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen
from torch import Tensor

from ganforge import Coupling, Network, View

Networks = Mapping[str, Callable[..., Any]]
Batch = Mapping[str, Tensor]

G_AB = Network("G_AB", "generator", ("A", "B"))
G_BA = Network("G_BA", "generator", ("B", "A"))
D_A = Network("D_A", "discriminator", ("A",))
D_B = Network("D_B", "discriminator", ("B",))


@frozen
class GAN(Coupling):
    """A standard GAN that translates A to B (Figure 2a)."""

    @property
    def networks(self) -> Sequence[Network]:
        """One generator, one discriminator."""
        return G_AB, D_B

    def views(self, networks: Networks, batch: Batch) -> Sequence[View]:
        """A to B."""
        return [View("AB", batch["A"], batch["B"], networks["G_AB"], networks["D_B"])]


@frozen
class GANRecon(Coupling):
    """A GAN from A to B, with a way back for the reconstruction of A (Figure 2b)."""

    @property
    def networks(self) -> Sequence[Network]:
        """Two generators, one discriminator."""
        return G_AB, G_BA, D_B

    def views(self, networks: Networks, batch: Batch) -> Sequence[View]:
        """A to B and back."""
        return [View("AB", batch["A"], batch["B"], networks["G_AB"], networks["D_B"], inverse=networks["G_BA"])]


@frozen
class DiscoGAN(Coupling):
    """DiscoGAN: both directions at once, sharing both generators (Figure 2c)."""

    @property
    def networks(self) -> Sequence[Network]:
        """Two generators, two discriminators."""
        return G_AB, G_BA, D_A, D_B

    def views(self, networks: Networks, batch: Batch) -> Sequence[View]:
        """A to B and back, B to A and back."""
        a, b = batch["A"], batch["B"]
        return [
            View("AB", a, b, networks["G_AB"], networks["D_B"], inverse=networks["G_BA"]),
            View("BA", b, a, networks["G_BA"], networks["D_A"], inverse=networks["G_AB"]),
        ]
