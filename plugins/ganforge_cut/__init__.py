"""CUT, FastCUT and SinCUT: contrastive unpaired translation in one direction (Park et al. 2020, arXiv 2007.15651)."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the coupling, the heads, PatchNCE, and FastCUT's flip equivariance."""
    from ganforge_cut import coupling, heads, values

    register.coupling("cut", coupling.CUT)
    register.network("patch-heads", heads.Heads)
    register.loss("patch-nce", heads.patch_nce)
    register.value("mirrored", values.mirrored)
    register.value("mirrored-at-random", values.MirroredAtRandom)
    register.value("translation-of-mirrored", values.translation_of_mirrored)
