"""Figure 3a of the paper as networks and directions, in the order of the authors' code."""

from attrs import frozen

from ganforge import Coupling, Network, View

G_AB, G_BA = Network("G_AB", "generator", ("A", "B")), Network("G_BA", "generator", ("B", "A"))
D_A, D_B = Network("D_A", "discriminator", ("A",)), Network("D_B", "discriminator", ("B",))


@frozen
class CycleGAN(Coupling):
    """Two generators, G and F in the paper, that invert each other, and a discriminator for each domain (Figure 3a).

    The generators play first. If a recipe keeps fakes for the whole step (`[values.fake] use = "fake"`,
    `lasts = true`), the discriminators see those from before the generators' update, as in the authors' code.
    """

    players = ("generator", "discriminator")
    networks = (G_AB, G_BA, D_A, D_B)
    views = (
        View(
            "AB",
            ("A", "B"),
            {"source": "A", "real": "B"},
            {"generator": "G_AB", "inverse": "G_BA", "discriminator": "D_B"},
        ),
        View(
            "BA",
            ("B", "A"),
            {"source": "B", "real": "A"},
            {"generator": "G_BA", "inverse": "G_AB", "discriminator": "D_A"},
        ),
    )
