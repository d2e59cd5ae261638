"""Networks that many methods share: for pictures, for points and from noise."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register generators and discriminators."""
    from ganforge_networks import conv, dcgan, mlp, munit, patch, resnet, stargan, stylegan2, unet

    register.generator("conv", conv.Generator)
    register.discriminator("conv", conv.Discriminator)
    register.generator("mlp", mlp.Generator)
    register.discriminator("mlp", mlp.Discriminator)
    register.generator("resnet", resnet.Generator)
    register.generator("unet", unet.Generator)
    register.discriminator("patch", patch.Discriminator)
    register.generator("stylegan2", stylegan2.Generator)
    register.discriminator("stylegan2", stylegan2.Discriminator)
    register.generator("dcgan", dcgan.Generator)
    register.discriminator("dcgan", dcgan.Discriminator)
    register.generator("stargan", stargan.Generator)
    register.discriminator("stargan", stargan.Discriminator)
    register.network("content-encoder", munit.ContentEncoder)
    register.network("style-encoder", munit.StyleEncoder)
    register.network("decoder", munit.Decoder)
    register.discriminator("munit", munit.Discriminator)
