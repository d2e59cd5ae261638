"""A conditional GAN: the discriminator sees the source beside what it judges (section 3.1, Figure 2)."""

import torch
from attrs import frozen
from torch import Tensor

from ganforge import Coupling, Network, View


def paired(source: Tensor, target: Tensor) -> Tensor:
    """(x, y), [N, C + C', H, W]: what D is shown (Eq. 1); bind `target` to `real` or to `fake`.

    Raises:
        ValueError: their sizes differ.
    """
    if source.shape[2:] != target.shape[2:]:
        raise ValueError(f"pairs are of one size, not {list(source.shape[2:])} and {list(target.shape[2:])}")
    return torch.cat([source, target], 1)


@frozen
class Pix2pix(Coupling):
    """G from A to B, learnt from pairs, and a D that sees both (Figure 2, Eq. 4).

    D judges pairs, so a recipe sets `[values.shown] use = "paired"`, `on = { target = "fake" }`, and `shown_real`
    likewise, as `base_pix2pix` does.
    """

    pairs = (("A", "B"),)
    networks = (Network("G", "generator", ("A", "B")), Network("D", "discriminator", ("A", "B")))
    views = (View("AB", ("A", "B"), {"source": "A", "real": "B"}, {"generator": "G", "discriminator": "D"}),)
