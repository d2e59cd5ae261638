"""GcGAN: a translation that commutes with a rotation or flip (Fu et al. 2019, arXiv 1809.05852)."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the coupling, and the values of transformed samples."""
    from ganforge_gcgan import gcgan

    register.coupling("gcgan", gcgan.GcGAN)
    for value in gcgan.VALUES:
        register.value(value.__name__, value)
