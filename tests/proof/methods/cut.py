"""CUT: contrastive learning for unpaired translation, one direction only (Park et al. 2020, arXiv:2007.15651).

In features of the generator's own encoder, projected by heads H, a patch of the translation should be closer to the
source's patch at the same place than to its others.
"""

from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, leaky_relu, normalize, relu

from ganforge import Coupling, Network, Register, Shape, View, hookimpl


def patch_nce(
    generator: nn.Module, heads: nn.Module, source: Tensor, fake: Tensor, *, tau: float = 0.07, patches: int = 256
) -> Tensor:
    """L_PatchNCE(G, H, X), Eq. 3, with patches at random places; on real and identity it is that of Y, Eq. 5.

    Args:
        generator: G; `features(x)` returns the activations of its layers, [N, C, H, W] each.
        heads: H; takes the activations of all layers, and projects those of some at the places that it draws.
        source: x, [N, C, H, W].
        fake: G(x), [N, C, H, W].
        tau: the temperature of Eq. 2.
        patches: S, places in a layer; all, where it has fewer.
    """
    layers, layers_of_fake = generator.features(source), generator.features(fake)
    places = [torch.randperm(layer[0, 0].numel(), device=layer.device)[:patches] for layer in layers]
    pairs = zip(heads(layers_of_fake, places), heads(layers, places), strict=True)
    return torch.stack([nce(z_fake, z.detach(), tau) for z_fake, z in pairs]).sum()  # z is cut off in the authors' code


def nce(queries: Tensor, keys: Tensor, tau: float) -> Tensor:
    """l(v, v+, v-), Eq. 2: cross entropy of v v+ / tau among all v v- / tau of one picture; both [N, S, width]."""
    logits = queries @ keys.transpose(1, 2) / tau  # [N, S, S]
    own = torch.arange(logits.shape[1], device=logits.device).repeat(len(logits))
    return cross_entropy(logits.flatten(0, 1), own)


class Heads(nn.Module):
    """H_l: a small MLP for each chosen layer of the generator, to vectors of length one (Section 3).

    Args:
        generator: G; `widths` are the channels of its layers.
        layers: which of them are chosen; their vectors have `width` numbers.
    """

    def __init__(self, generator: nn.Module, *, layers: list[int] = [0, 1, 2], width: int = 256) -> None:  # noqa: B006
        super().__init__()
        self.chosen = layers
        inputs = [generator.widths[layer] for layer in layers]
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(i, width), nn.ReLU(), nn.Linear(width, width)) for i in inputs
        )

    def forward(self, layers: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Project the patches of the chosen layers at these places, [N, S, width] each."""
        patches = [layers[layer].flatten(2)[:, :, places[layer]].transpose(1, 2) for layer in self.chosen]
        return [normalize(mlp(patch), dim=2) for mlp, patch in zip(self.mlps, patches, strict=True)]


class Generator(nn.Module):
    """A small encoder and decoder; `features(x)` are the picture and the activations of the encoder."""

    def __init__(self, source_shape: Shape, target_shape: Shape, *, width: int = 64) -> None:
        super().__init__()
        self.widths = (source_shape[0], width, 2 * width)
        self.first = nn.Conv2d(source_shape[0], width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 4, 2, 1)
        self.up = nn.ConvTranspose2d(2 * width, target_shape[0], 4, 2, 1)

    def features(self, x: Tensor) -> list[Tensor]:
        """Return G_enc^l(x) of every layer l."""
        first = relu(self.first(x))
        return [x, first, relu(self.down(first))]  # [N, width, H, W], [N, 2 width, H/2, W/2]

    def forward(self, x: Tensor) -> Tensor:
        """Translate pictures in [0, 1]."""
        return self.up(self.features(x)[-1]).sigmoid()


class Discriminator(nn.Module):
    """A small PatchGAN: one score for each of overlapping patches."""

    def __init__(self, shape: Shape, *, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv2d(shape[0], width, 4, 2, 1)
        self.judge = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return scores [N, 1, H/2, W/2] and the activations before them."""
        hidden = leaky_relu(self.first(x), 0.2)
        return self.judge(hidden), (hidden,)


G = Network("G", "generator", ("A", "B"))
H = Network("H", "heads", (), "generator", {"generator": G})
D = Network("D", "discriminator", ("B",))
WIRED = {"generator": "G", "heads": "H", "discriminator": "D"}


@frozen
class CUT(Coupling):
    """G from A to B with its discriminator and its heads, which are learnt together with it (Figure 1, Eq. 5)."""

    networks = (G, H, D)
    views = (View("AB", ("A", "B"), {"source": "A", "real": "B"}, WIRED),)


@hookimpl
def ganforge_register(register: Register) -> None:
    register.loss("patch-nce", patch_nce)
    register.network("heads", Heads)
    register.generator("cut", Generator)
    register.discriminator("cut", Discriminator)
    register.coupling("cut", CUT)
