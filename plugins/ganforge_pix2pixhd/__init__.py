"""pix2pixHD: large pictures from pairs, coarse to fine (Wang et al. 2018, arXiv 1711.11585)."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the coupling `pix2pixhd` and the generator `local-enhancer`."""
    from ganforge_pix2pixhd import coupling, enhancer

    register.coupling("pix2pixhd", coupling.Pix2pixHD)
    register.generator("local-enhancer", enhancer.LocalEnhancer)
