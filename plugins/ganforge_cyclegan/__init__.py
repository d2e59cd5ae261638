"""CycleGAN: unpaired translation in both directions (Zhu et al. 2017, arXiv 1703.10593)."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the coupling `cyclegan`, and the pool of past fakes."""
    from ganforge_cyclegan import coupling, pool

    register.coupling("cyclegan", coupling.CycleGAN)
    register.value("pool", pool.Pool, whole=True)
