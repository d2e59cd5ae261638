"""pix2pix: translation learnt from pairs (Isola et al. 2017, arXiv 1611.07004)."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the coupling `pix2pix`, and its discriminator's input."""
    from ganforge_pix2pix import method

    register.coupling("pix2pix", method.Pix2pix)
    register.value("paired", method.paired)
