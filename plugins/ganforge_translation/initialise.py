"""Ways to initialise convolutional networks."""

import math
from typing import Literal

from torch import nn

Preset = Literal["torch", "dcgan", "skt2017"]

_Convolution = nn.Conv2d | nn.ConvTranspose2d


def initialise(network: nn.Module, preset: Preset) -> None:
    """Initialise every convolution and batch norm of a network.

    Args:
        network: is changed in place.
        preset: `torch` leaves what today's torch does; `dcgan` draws weights from N(0, 0.02) and batch-norm scales from
            N(1, 0.02) (Radford et al. 2016); `skt2017` is what the authors' code got from the torch of 2017: weights of
            a convolution, and of a deconvolution likewise, from U(±1/sqrt(in_channels k²)), scales from U(0, 1).
    """
    if preset == "torch":
        return
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            if preset == "dcgan":
                nn.init.normal_(module.weight, 1.0, 0.02)
            else:
                nn.init.uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, _Convolution):
            if preset == "dcgan":
                nn.init.normal_(module.weight, 0.0, 0.02)
            else:
                bound = 1 / math.sqrt(module.in_channels * math.prod(module.kernel_size))
                nn.init.uniform_(module.weight, -bound, bound)
