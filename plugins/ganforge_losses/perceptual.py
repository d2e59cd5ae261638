"""The perceptual loss: a distance between activations of a pretrained classifier."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from attrs.validators import min_len
from torch import Tensor, nn

from ganforge import InputError, nearest
from ganforge_losses.distances import difference

VGG19 = ["features.1", "features.6", "features.11", "features.20", "features.29"]  # the first ReLU of each of 5 blocks
Colour = tuple[float, float, float]
Weights = Literal["DEFAULT"] | Path


class Perceptual(nn.Module):
    """The feature reconstruction loss (Johnson et al. 2016, arXiv 1603.08155, Eq. 2) with any network of torchvision.

    Default layers and weights are those of pix2pixHD (Wang et al. 2018), whose code compares them by L1. The network is
    frozen, and loaded again for each run. Pictures are [N, C, H, W] in [0, 1], with C = 3 or 1.

    Args:
        weights: a safetensors file of the network's state dict; or `DEFAULT` for torchvision's own weights.
        download: whether torchvision may download its weights; otherwise they must be in the cache of torch.hub.
        network: its name in torchvision.
        layers: names of its modules; `torchvision.models.feature_extraction.get_graph_node_names` lists them.
        factors: weight of each layer's distance.
        distance: mean absolute difference, or mean squared difference, of activations.
        mean: mean of each colour, which is subtracted from pixels; by default ImageNet's.
        deviation: deviation of each colour, by which pixels are then divided; by default ImageNet's. The code of
            pix2pixHD uses 0.5 for all six numbers, which gives pixels in [-1, 1].
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        *,
        weights: Weights,
        download: bool = False,
        network: str = "vgg19",
        layers: Annotated[list[str], min_len(1)] = VGG19,
        factors: list[float] = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0],  # noqa: B006  # a setting's default, never changed
        distance: Literal["l1", "l2"] = "l1",
        mean: Colour = (0.485, 0.456, 0.406),
        deviation: Colour = (0.229, 0.224, 0.225),
    ) -> None:
        super().__init__()
        if len(factors) != len(layers):
            raise InputError(f"{len(layers)} layers need as many factors, got {len(factors)}", key="factors")
        if min(deviation) <= 0:
            raise InputError("expected three numbers > 0", key="deviation")
        self.factors, self.distance = tuple(factors), distance
        self.phi = _extractor(network, layers)
        _load(self.phi, network, _state(network, weights, download=download), weights)
        self.phi.requires_grad_(False)
        for name, colour in (("mean", mean), ("deviation", deviation)):
            self.register_buffer(name, torch.tensor(colour)[:, None, None], persistent=False)  # [3, 1, 1]
        self.eval()

    def generator(self, reconstructed: Tensor, source: Tensor) -> Tensor:
        """Sum over layers of factor times the mean distance of activations; pictures have one shape, [N, C, H, W]."""
        difference(reconstructed, source)
        pairs = zip(self.factors, self._activations(reconstructed), self._activations(source), strict=True)
        return torch.stack([factor * self._distance(one, other) for factor, one, other in pairs]).sum()

    def train(self, mode: bool = True) -> "Perceptual":
        """Stay in evaluation mode, since a frozen network needs no dropout or new statistics."""
        return super().train(False)

    def _distance(self, one: Tensor, other: Tensor) -> Tensor:
        return (one - other).abs().mean() if self.distance == "l1" else (one - other).square().mean()

    def _activations(self, pictures: Tensor) -> list[Tensor]:
        if pictures.ndim != 4 or pictures.shape[1] not in (1, 3):
            raise ValueError(f"'perceptual' is for pictures of 1 or 3 channels, not for {list(pictures.shape)}")
        colour = pictures.expand(-1, 3, -1, -1)
        return list(self.phi((colour - self.mean) / self.deviation).values())


def _extractor(network: str, layers: Sequence[str]) -> nn.Module:
    """Return a torchvision network up to the last of these layers, on the meta device."""
    import torchvision
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    known = torchvision.models.list_models(torchvision.models)
    if network not in known:
        raise InputError(f"torchvision has no network '{network}'; {nearest(network, known)}", key="network")
    with torch.device("meta"):
        whole = torchvision.models.get_model(network, weights=None).eval()
    for module in whole.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # otherwise a layer would change the previous one's output
    nodes = get_graph_node_names(whole)[1]
    nodes += [name for name, _ in whole.named_modules() if any(node.startswith(f"{name}.") for node in nodes)]
    for layer in layers:
        if layer not in nodes:
            raise InputError(f"{network} has no layer '{layer}'; {nearest(layer, nodes)}", key="layers")
    extractor: nn.Module = create_feature_extractor(whole, {layer: layer for layer in layers})
    return extractor


def _state(network: str, weights: Weights, *, download: bool) -> dict[str, Tensor]:
    """Read weights from a file, or torchvision's own from its cache or by download."""
    if weights != "DEFAULT":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(weights)
        except (OSError, SafetensorError) as error:
            raise InputError(f"'{weights}' cannot be read: {error}", key="weights") from error
    import torchvision

    url = torchvision.models.get_model_weights(network).DEFAULT.url
    cached = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not cached.is_file() and not download:
        problem = f"torchvision's weights are not in {cached.parent}"
        raise InputError(f"{problem}; set download = true to fetch {url}, or give a safetensors file", key="weights")
    try:
        # Only tensors are read from it.
        state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except Exception as error:
        raise InputError(f"{url} cannot be downloaded: {error}", key="weights") from error
    return state


def _load(phi: nn.Module, network: str, state: dict[str, Tensor], weights: Weights) -> None:
    """Load a state dict into the network, which lacks the layers after the last one used."""
    wanted = phi.state_dict()
    missing = [name for name in wanted if name not in state or state[name].shape != wanted[name].shape]
    if missing:
        raise InputError(f"'{weights}' does not hold the weights of {network}: see '{missing[0]}'", key="weights")
    phi.load_state_dict({name: state[name] for name in wanted}, assign=True)
