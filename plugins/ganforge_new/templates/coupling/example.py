"""The coupling `example`."""

from attrs import frozen
from ganforge import Coupling, Network, Register, View, hookimpl

G_AB = Network("G_AB", "generator", ("A", "B"))
G_BA = Network("G_BA", "generator", ("B", "A"))
D_B = Network("D_B", "discriminator", ("B",))


@frozen
class Example(Coupling):
    """Three networks: a generator from A to B, a generator back to A, and a discriminator of B."""

    networks = (G_AB, G_BA, D_B)
    views = (
        View(
            "AB",
            ("A", "B"),
            {"source": "A", "real": "B"},
            {"generator": "G_AB", "discriminator": "D_B", "inverse": "G_BA"},
        ),
    )


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the coupling."""
    register.coupling("example", Example)
