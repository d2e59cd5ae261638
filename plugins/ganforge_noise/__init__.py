"""From noise: DCGAN (Radford et al. 2016), WGAN (Arjovsky et al. 2017), WGAN-GP (Gulrajani et al. 2017), R3GAN (2024).

One coupling serves them all (arXiv 1511.06434, 1701.07875, 1704.00028, 2501.05441). They differ in networks, losses and
updates, which their recipes name.
"""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the coupling `from-noise`, and uniform noise."""
    from ganforge_noise import noise

    register.coupling("from-noise", noise.FromNoise)
    register.value("uniform", noise.uniform)
