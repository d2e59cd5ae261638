"""The paper: its three models as couplings, and its networks for pictures and for points."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the values of a direction, the couplings gan, gan-recon and discogan, and the networks conv and mlp."""
    from ganforge_translation import conv, couplings, mlp, values

    for value in values.VALUES:
        register.value(value.__name__, value)

    register.coupling("gan", couplings.GAN)
    register.coupling("gan-recon", couplings.GANRecon)
    register.coupling("discogan", couplings.DiscoGAN)
    register.generator("conv", conv.Generator)
    register.discriminator("conv", conv.Discriminator)
    register.generator("mlp", mlp.Generator)
    register.discriminator("mlp", mlp.Discriminator)
