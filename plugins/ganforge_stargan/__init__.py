"""StarGAN: one generator that translates between several domains (Choi et al. 2018, arXiv 1711.09020)."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the coupling, the values of a labelled direction, and the classification losses."""
    from ganforge_stargan import wiring

    register.coupling("stargan", wiring.StarGAN)
    register.value("relabelled", wiring.relabelled)
    register.value("part", wiring.part)
    register.loss("classification", wiring.Classification)
