"""Losses that many methods share: adversarial losses, penalties, and distances of samples, features and pictures."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the adversarial losses, the gradient penalties, the distances, and the feature losses."""
    from ganforge_losses import adversarial, distances, features, penalties, perceptual, pictures

    register.loss("gan", adversarial.GAN)
    register.loss("least-squares", adversarial.LeastSquares)
    register.loss("hinge-gan", adversarial.HingeGAN)
    register.loss("wasserstein", adversarial.Wasserstein)
    register.loss("relativistic", adversarial.Relativistic)

    register.loss("gradient-penalty", penalties.GradientPenalty, precision="fp32")
    register.loss("r1", penalties.R1, precision="fp32")
    register.loss("r2", penalties.R2, precision="fp32")

    register.loss("l1", distances.l1)
    register.loss("l2", distances.l2)
    register.loss("huber", distances.huber)
    register.loss("cosine", distances.cosine)
    register.loss("hinge", distances.hinge)
    register.loss("ssim", pictures.ssim, precision="fp32")  # variances are small differences of squares
    register.loss("total-variation", pictures.total_variation)

    register.loss("feature-matching", features.feature_matching)
    register.loss("feature-l1", features.feature_l1)
    register.loss("perceptual", perceptual.Perceptual)
