"""Losses of the paper and of its reference code."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the adversarial loss, the reconstruction distances and feature matching."""
    from ganforge_losses import adversarial, distances, features

    register.loss("gan", adversarial.GAN)
    register.loss("l1", distances.l1)
    register.loss("l2", distances.l2)
    register.loss("huber", distances.huber)
    register.loss("cosine", distances.cosine)
    register.loss("hinge", distances.hinge)
    register.loss("feature-matching", features.feature_matching)
