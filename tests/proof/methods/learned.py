"""Losses with parameters of their own, which the player learns that asks for the loss."""

from typing import Annotated

import torch
from attrs.validators import gt
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ganforge import Register, hookimpl


class Weighed(nn.Module):
    """A distance whose weight is learned (Kendall, Gal and Cipolla 2018, arXiv 1705.07115, section 3.2).

    With s = log sigma^2 the loss of Eq. 5 is exp(-s) L + s, up to constant factors: s is learned rather than sigma
    since it may take any value.
    """

    def __init__(self) -> None:
        super().__init__()
        self.s = nn.Parameter(torch.zeros(()))

    def generator(self, reconstructed: Tensor, source: Tensor) -> Tensor:
        """exp(-s) L + s, with the mean squared error as L."""
        return (-self.s).exp() * (reconstructed - source).square().mean() + self.s


class Projected(nn.Module):
    """InfoNCE (van den Oord et al. 2018, arXiv 1807.03748, Eq. 4) behind a projection head (Chen et al. 2020).

    Among the batch, a translation should be most like its own source. The head h is learned with the generator, as a
    linear layer, ReLU and a linear layer (SimCLR, 2002.05709, Eq. 1 and section 4.2).

    Args:
        inputs: elements of a sample; source and target are of the same size.
        width: of the projection.
        temperature: tau, by which similarities are divided.
    """

    def __init__(self, *, inputs: int, width: int = 8, temperature: Annotated[float, gt(0)] = 0.5) -> None:
        super().__init__()
        self.h = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width))
        self.temperature = temperature

    def generator(self, fake: Tensor, source: Tensor) -> Tensor:
        """-E[log(exp(sim_ii / tau) / sum_j exp(sim_ij / tau))], where sim is the cosine of projections."""
        queries, keys = (normalize(self.h(samples.flatten(1))) for samples in (fake, source))  # [N, width]
        similar = queries @ keys.T / self.temperature  # [N, N]
        return cross_entropy(similar, torch.arange(len(similar), device=similar.device))


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register both."""
    register.loss("weighed", Weighed)
    register.loss("projected", Projected)
