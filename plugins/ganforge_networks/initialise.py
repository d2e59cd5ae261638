"""Initialisation of networks."""

import math
from typing import Literal

from torch import nn

Preset = Literal["torch", "dcgan", "xavier", "kaiming", "orthogonal", "skt2017"]

_Convolution = nn.Conv2d | nn.ConvTranspose2d
_GAIN = 0.02


def initialise(network: nn.Module, preset: Preset) -> None:
    """Initialise every convolution, linear layer and batch norm of a network.

    With `dcgan`, `xavier`, `kaiming` and `orthogonal`, biases are 0 and batch-norm scales are drawn from N(1, 0.02), as
    in the public code of CycleGAN, pix2pix and CUT.

    Args:
        network: changed in place.
        preset: `torch` keeps torch's present default. Weights are drawn by `dcgan` from N(0, 0.02) (Radford et al.
            2016; called normal in CycleGAN and pix2pix), by `xavier` from N(0, 0.02² 2 / (fan in + fan out)) (Glorot
            and Bengio 2010), by `kaiming` from N(0, 2 / fan in) (He et al. 2015); `orthogonal` gives orthogonal
            matrices times 0.02 (Saxe et al. 2014). `skt2017` is torch's default of 2017, used by DiscoGAN's authors:
            weights of convolutions and deconvolutions from U(±1/sqrt(in_channels k²)), scales of batch norms from
            U(0, 1).
    """
    if preset == "torch":
        return
    for module in network.modules():
        if preset == "skt2017":
            _as_in_2017(module)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, _GAIN)
            nn.init.zeros_(module.bias)
        elif isinstance(module, _Convolution | nn.Linear):
            _draw(module, preset)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _draw(module: _Convolution | nn.Linear, preset: Preset) -> None:
    if preset == "dcgan":
        nn.init.normal_(module.weight, 0.0, _GAIN)
    elif preset == "xavier":
        nn.init.xavier_normal_(module.weight, gain=_GAIN)
    elif preset == "kaiming":
        nn.init.kaiming_normal_(module.weight)
    else:
        nn.init.orthogonal_(module.weight, gain=_GAIN)


def _as_in_2017(module: nn.Module) -> None:
    if isinstance(module, nn.BatchNorm2d):
        nn.init.uniform_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, _Convolution):
        bound = 1 / math.sqrt(module.in_channels * math.prod(module.kernel_size))
        nn.init.uniform_(module.weight, -bound, bound)
