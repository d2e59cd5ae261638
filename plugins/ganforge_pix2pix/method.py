"""A conditional GAN: the discriminator also sees the source (section 3.1, Figure 2)."""

import torch
from attrs import frozen
from torch import Tensor

from ganforge import Coupling, Network, View


def paired(source: Tensor, target: Tensor) -> Tensor:
    """(x, y), [N, C + C', H, W]: the input of D (Eq. 1); bind `target` to `real` or to `fake`.

    Raises:
        ValueError: their sizes differ.
    """
    if source.shape[2:] != target.shape[2:]:
        raise ValueError(f"pairs must have one size, got {list(source.shape[2:])} and {list(target.shape[2:])}")
    return torch.cat([source, target], 1)


@frozen
class Pix2pix(Coupling):
    """G from A to B, trained on pairs, and a D that sees both (Figure 2, Eq. 4).

    D scores pairs, so a recipe sets `[values.shown] use = "paired"`, `on = { target = "fake" }`, and `shown_real`
    accordingly, as in `base_pix2pix`.
    """

    pairs = (("A", "B"),)
    networks = (Network("G", "generator", ("A", "B")), Network("D", "discriminator", ("A", "B")))
    views = (View("AB", ("A", "B"), {"source": "A", "real": "B"}, {"generator": "G", "discriminator": "D"}),)
