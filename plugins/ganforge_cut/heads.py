"""PatchNCE: a translation's patch should be closer to the source patch at its place than to others (section 3)."""

import copy
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from attrs.validators import ge, gt
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganforge import Shape, gather

LAYERS = [0, 4, 8, 12, 16]


class Heads(nn.Module):
    """H_l: a small MLP for each chosen layer of the generator; its outputs have length 1.

    Weights are initialised as in the authors' code: Xavier's normal times 0.02, and biases 0.

    Args:
        generator: G, with a method `features(pictures, layers)`.
        shape: shape of a source picture, which determines the layers' channels.
        layers: layers whose activations are compared, counted from 0. The defaults are, in `resnet` with antialiased
            layers, the padded picture, the convolutions of both halvings, and the first and fifth residual block.
        width: length of a vector.
    """

    def __init__(
        self,
        generator: Any,
        shape: Shape,
        *,
        layers: list[int] = LAYERS,  # a setting's default, never changed
        width: Annotated[int, ge(1)] = 256,
    ) -> None:
        super().__init__()
        self.layers = layers
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, width))
            for channels in _channels(generator, shape, layers)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight, gain=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, activations: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Project the patches at some positions.

        Args:
            activations: activations of the chosen layers, [N, C, H, W] each.
            places: for each layer, positions in H x W, counted row by row, [S].

        Returns:
            A vector of length 1 for each patch, [N, S, width] for each layer.
        """
        patches = [
            layer.flatten(2)[:, :, place].transpose(1, 2) for layer, place in zip(activations, places, strict=True)
        ]
        vectors = [mlp(patch) for mlp, patch in zip(self.mlps, patches, strict=True)]
        return [vector / (vector.norm(dim=2, keepdim=True) + 1e-7) for vector in vectors]


def _channels(generator: Any, shape: Shape, layers: Sequence[int]) -> list[int]:
    """Find the channels of the chosen layers with a copy of the generator on the meta device.

    Raises:
        ValueError: the generator has no such layers.
    """
    if not hasattr(generator, "features"):
        raise ValueError("needs a generator with the method `features`, such as 'resnet', 'unet' or 'conv'")
    if not layers:
        raise ValueError("set layers to one or more of the generator's")
    try:
        with torch.no_grad():
            empty = copy.deepcopy(generator).to("meta")
            found = empty.features(torch.zeros(2, *shape, device="meta"), layers)
    except ValueError as error:
        raise ValueError(f"{error}; set layers to some of them") from error
    return [layer.shape[1] for layer in found]


def patch_nce(
    generator: Any,
    heads: Any,
    source: Tensor,
    fake: Tensor,
    mirrored: Tensor | None,
    *,
    tau: Annotated[float, gt(0)] = 0.07,
    patches: Annotated[int, ge(1)] = 256,
    negatives: Literal["picture", "batch"] = "picture",
) -> Tensor:
    """L_PatchNCE(G, H, X), Eq. 3, as the mean over layers and patches; with real and identity that of Y, Eq. 5.

    As in the authors' code, the vectors of the source are detached, and all pictures of a batch use the same positions.

    Args:
        generator: G.
        heads: H.
        source: x, [N, C, H, W].
        fake: G(x), [N, C, H, W].
        mirrored: whether the generator saw x mirrored; None for never.
        tau: the temperature of Eq. 2.
        patches: number of patches drawn per layer; all if it has fewer.
        negatives: the other patches of the same `picture`; or of the whole `batch`, if all are crops of one picture.
    """
    of_fake = generator.features(fake, heads.layers)
    places = [torch.randperm(layer[0, 0].numel(), device=layer.device)[:patches] for layer in of_fake]
    there = [_across(place, layer.shape[3], mirrored) for place, layer in zip(places, of_fake, strict=True)]
    queries = heads(of_fake, there)
    with torch.no_grad():
        keys = heads(generator.features(source, heads.layers), places)
    if negatives == "batch":
        queries, keys = ([gather(one).flatten(0, 1)[None] for one in ones] for ones in (queries, keys))
    return torch.stack([_nce(query, key, tau) for query, key in zip(queries, keys, strict=True)]).mean()


def _across(places: Tensor, width: int, mirrored: Tensor | None) -> Tensor:
    """Return the positions in the mirrored picture."""
    if mirrored is None:
        return places
    return torch.where(mirrored, places + width - 1 - 2 * (places % width), places)


def _nce(queries: Tensor, keys: Tensor, tau: float) -> Tensor:
    """l(v, v+, v-), Eq. 2: cross entropy of v v+ / tau among all v v- / tau; queries and keys are [N, S, width]."""
    logits = queries @ keys.transpose(1, 2) / tau  # [N, S, S]
    own = torch.arange(logits.shape[1], device=logits.device).repeat(len(logits))
    return cross_entropy(logits.flatten(0, 1), own)
