"""The perceptual loss (Johnson et al. 2016, arXiv 1603.08155): a distance between activations of a frozen network."""

from typing import Annotated

import torchvision
from attrs.validators import ge, le
from torch import Tensor, nn

from ganforge import Register, hookimpl


class Perceptual(nn.Module):
    """The feature reconstruction loss of Eq. 2, with the first layers of SqueezeNet 1.1 as phi.

    phi is frozen, so it is not saved with the run: it is made anew of its settings. Random weights will do for a test;
    with pretrained ones its inputs would have to be normalised as these expect it.

    Args:
        layers: of phi: convolution, ReLU, pooling, and the blocks that follow.
    """

    def __init__(self, *, layers: Annotated[int, ge(1), le(13)] = 4) -> None:
        super().__init__()
        self.phi = torchvision.models.squeezenet1_1().features[:layers].eval().requires_grad_(False)

    def generator(self, reconstructed: Tensor, source: Tensor) -> Tensor:
        """|phi(x_ABA) - phi(x_A)|^2 / (C H W), Eq. 2, mean over the batch; pictures are [N, 3, H, W]."""
        return (self.phi(reconstructed) - self.phi(source)).square().mean()


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the perceptual loss."""
    register.loss("perceptual", Perceptual)
