"""The wiring of pix2pix in the order of pix2pixHD's authors: the generator plays first."""

from attrs import frozen

from ganforge import Coupling, Network, View


@frozen
class Pix2pixHD(Coupling):
    """G from A to B, learnt from pairs, and a D that sees both, at several scales (section 3.2, Eq. 2 and 3).

    D judges pairs: `base_pix2pixhd` puts the value `paired` behind `shown` and `shown_real`, and has fakes last.
    """

    players = ("generator", "discriminator")
    pairs = (("A", "B"),)
    networks = (Network("G", "generator", ("A", "B")), Network("D", "discriminator", ("A", "B")))
    views = (View("AB", ("A", "B"), {"source": "A", "real": "B"}, {"generator": "G", "discriminator": "D"}),)
