"""One generator, its discriminator, and heads that are trained with the generator (Figure 1)."""

from attrs import frozen

from ganforge import Coupling, Network, View

G = Network("G", "generator", ("A", "B"))
H = Network("H", "heads", ("A",), "generator", {"generator": G})
D = Network("D", "discriminator", ("B",))


@frozen
class CUT(Coupling):
    """CUT: A to B, without a way back; the discriminator plays first, then the generator with its heads."""

    networks = (G, H, D)
    views = (
        View("AB", ("A", "B"), {"source": "A", "real": "B"}, {"generator": "G", "heads": "H", "discriminator": "D"}),
    )
