"""DiscoGAN and its two baselines: unpaired translation with a way back (Kim et al. 2017, arXiv 1703.05192)."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the values of a direction, and the couplings `gan`, `gan-recon` and `discogan`."""
    from ganforge_translation import couplings, values

    for value in values.VALUES:
        register.value(value.__name__, value)

    register.coupling("gan", couplings.GAN)
    register.coupling("gan-recon", couplings.GANRecon)
    register.coupling("discogan", couplings.DiscoGAN)
