"""The three models of Figure 2 (Kim et al. 2017), each as networks and directions."""

from attrs import frozen

from ganforge import Coupling, Network, View

G_AB = Network("G_AB", "generator", ("A", "B"))
G_BA = Network("G_BA", "generator", ("B", "A"))
D_A = Network("D_A", "discriminator", ("A",))
D_B = Network("D_B", "discriminator", ("B",))

TO_B = {"source": "A", "real": "B"}
TO_A = {"source": "B", "real": "A"}


@frozen
class GAN(Coupling):
    """A standard GAN that translates A to B (Figure 2a)."""

    networks = (G_AB, D_B)
    views = (View("AB", ("A", "B"), TO_B, {"generator": "G_AB", "discriminator": "D_B"}),)


@frozen
class GANRecon(Coupling):
    """A GAN from A to B with a generator back to A for the reconstruction (Figure 2b)."""

    networks = (G_AB, G_BA, D_B)
    views = (View("AB", ("A", "B"), TO_B, {"generator": "G_AB", "discriminator": "D_B", "inverse": "G_BA"}),)


@frozen
class DiscoGAN(Coupling):
    """DiscoGAN: both directions at once, sharing both generators (Figure 2c)."""

    networks = (G_AB, G_BA, D_A, D_B)
    views = (
        View("AB", ("A", "B"), TO_B, {"generator": "G_AB", "discriminator": "D_B", "inverse": "G_BA"}),
        View("BA", ("B", "A"), TO_A, {"generator": "G_BA", "discriminator": "D_A", "inverse": "G_AB"}),
    )
