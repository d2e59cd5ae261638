"""The wiring of pix2pix in the order of pix2pixHD's authors' code: the generator plays first."""

from attrs import frozen

from ganforge import Coupling, Network, View


@frozen
class Pix2pixHD(Coupling):
    """G from A to B, trained on pairs, and a D that sees both at several scales (section 3.2, Eq. 2 and 3).

    D scores pairs: `base_pix2pixhd` sets `shown` and `shown_real` to the value `paired`, and keeps fakes for the step.
    """

    players = ("generator", "discriminator")
    pairs = (("A", "B"),)
    networks = (Network("G", "generator", ("A", "B")), Network("D", "discriminator", ("A", "B")))
    views = (View("AB", ("A", "B"), {"source": "A", "real": "B"}, {"generator": "G", "discriminator": "D"}),)
