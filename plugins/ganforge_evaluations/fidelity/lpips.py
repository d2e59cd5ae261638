"""Diversity of translations: LPIPS between pairs of them (Zhang et al. 2018), as reported by MUNIT."""

import math
from itertools import pairwise
from typing import Annotated

import torch
from attrs.validators import ge
from torch import Tensor, nn

from ganforge import Findings, InputError, Trained
from ganforge_evaluations.fidelity.archives import fetched
from ganforge_evaluations.fidelity.networks import State, digest_of, exactly
from ganforge_evaluations.pictures import inputs, require_pictures, translations

TAPS = (1, 4, 7, 9, 11)  # the layers of AlexNet whose activations are compared: its five ReLUs
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of colours in [-1, 1]
LEAST = 31  # pixels of the smallest side that AlexNet's last layers accept
BATCH = 32
TRIED = 2  # pictures in a rehearsal


def lpips_diversity(
    trained: Trained, *, limit: Annotated[int, ge(2)] = 100, pairs: Annotated[int, ge(1)] = 19
) -> Findings:
    """Mean LPIPS between translations: larger is more diverse, 0 is collapsed.

    If a coupling draws noise for a direction, as MUNIT does, a pair translates one input with different noise.
    Otherwise a pair translates different inputs, which measures how diverse the outputs are, not whether an input has
    several outputs. Samples made from noise alone are paired with each other.

    The network is AlexNet with the linear layers of LPIPS 0.1: `ganforge data fetch lpips` fetches both.

    Args:
        trained: networks that translate or draw pictures of 1 or 3 channels, at least 31 pixels high and wide.
        limit: largest number of test inputs and of real pictures; 100 in MUNIT.
        pairs: pairs per input; 19 in MUNIT.

    Returns:
        `lpips_AB`, and the same for other directions; for comparison `lpips_real_AB`, that of pairs of real test
        pictures of the target. nan for a single picture, and for pictures that are not finite.

    Raises:
        InputError: the samples are not such pictures, or the weights were not fetched.
    """
    require_pictures(trained, "lpips-diversity")
    limit, pairs = (TRIED, 1) if trained.rehearsal else (limit, pairs)
    network = LPIPS(fetched("lpips")).to(trained.device)
    metrics: dict[str, float] = {}
    about: dict[str, str | int] = {"network": "AlexNet with LPIPS 0.1", "network_digest": network.digest}
    warnings = []
    for direction in trained.directions:
        _require_shape(trained.dataset.shapes[trained.target(direction)])
        real = inputs(trained, trained.target(direction), limit)
        if _draws(trained, direction):
            source = inputs(trained, trained.source(direction), limit)
            made = (trained.translate(direction, source, seed=seed) for seed in range(pairs + 1))
            found = torch.cat([network.distances(one, other) for one, other in pairwise(made)])
            kind, count = "translations of one input", len(source)
        else:
            translated = translations(trained, direction, limit)
            found = between(network, translated, pairs)
            kind, count = "translations of different inputs", len(translated)
            if not trained.translates(direction):
                kind = "samples"
        values = {f"lpips_{direction}": mean(found), f"lpips_real_{direction}": mean(between(network, real, pairs))}
        metrics |= values
        about |= {f"between_{direction}": kind, f"pairs_{direction}": len(found)}
        about |= {f"pictures_{direction}": count, f"real_{direction}": len(real)}
        unmeasured = [name for name, value in values.items() if math.isnan(value)]
        if unmeasured:
            warnings.append(f"{', '.join(unmeasured)} cannot be measured: one picture, or pictures that are not finite")
    return Findings(metrics, about=about, warnings=warnings)


class LPIPS(nn.Module):
    """The learned perceptual distance of pictures (Zhang et al. 2018, Eq. 1): LPIPS 0.1 on AlexNet.

    Args:
        state: weights of `features.*` of torchvision's AlexNet, and `lin0.model.1.weight` to `lin4...` of LPIPS.

    Raises:
        InputError: the state is of another network.
    """

    def __init__(self, state: State) -> None:
        super().__init__()
        from torchvision.models import alexnet

        self.digest = digest_of(state)
        with torch.device("meta"):
            self.features = alexnet(weights=None).features[: TAPS[-1] + 1]
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # otherwise a layer would change the compared activations
        layers = {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features")}
        try:
            self.features.load_state_dict(layers, strict=True, assign=True)
            weights = [state[f"lin{number}.model.1.weight"].reshape(-1, 1, 1) for number in range(len(TAPS))]
        except (RuntimeError, KeyError) as error:
            raise InputError("the fetched weights are not those of LPIPS on AlexNet") from error
        for number, weight in enumerate(weights):
            self.register_buffer(f"weight{number}", weight)  # [C, 1, 1]
        for name, colour in (("shift", SHIFT), ("scale", SCALE)):
            self.register_buffer(name, torch.tensor(colour)[:, None, None])
        self.eval().requires_grad_(False)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the distance of pictures in [0, 1], [N, 1 or 3, H, W] each: [N], at least 0."""
        total = one.new_zeros(len(one))
        for number, (x, y) in enumerate(zip(self._activations(one), self._activations(other), strict=True)):
            weight = self.get_buffer(f"weight{number}")
            total = total + (weight * (x - y).square()).sum(1).mean((1, 2))
        return total

    def distances(self, one: Tensor, other: Tensor) -> Tensor:
        """Do the same for tensors on the CPU, in batches; pictures are compared one to one."""
        place = self.get_buffer("shift").device
        parts = zip(torch.split(one, BATCH), torch.split(other, BATCH), strict=True)
        with exactly():
            return torch.cat([self(x.to(place).clamp(0, 1), y.to(place).clamp(0, 1)).cpu() for x, y in parts])

    def _activations(self, pictures: Tensor) -> list[Tensor]:
        """Return the activations of the five layers, [N, C, H', W'] each, normalised to length 1 at each place."""
        x = (2 * pictures.expand(-1, 3, -1, -1) - 1 - self.get_buffer("shift")) / self.get_buffer("scale")
        found = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in TAPS:
                found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found


def between(network: LPIPS, pictures: Tensor, pairs: int) -> Tensor:
    """Return the distances of each picture from the `pairs` that follow it, cyclically; empty for one picture."""
    shifts = range(1, min(pairs, len(pictures) - 1) + 1)
    return torch.cat([torch.zeros(0), *(network.distances(pictures, pictures.roll(shift, 0)) for shift in shifts)])


def mean(distances: Tensor) -> float:
    """Return the mean; nan if there are no distances."""
    return float(distances.double().mean())


def _draws(trained: Trained, direction: str) -> bool:
    """Whether a direction translates and also draws noise."""
    fields = next(view.fields for view in trained.views({}) if view.name == direction)
    return trained.translates(direction) and bool(set(fields.values()) & trained.drawn.keys() - {fields.get("source")})


def _require_shape(shape: tuple[int, ...]) -> None:
    channels, *sides = shape
    if channels not in (1, 3) or min(sides) < LEAST:
        kind = f"pictures of 1 or 3 channels, at least {LEAST} pixels high and wide"
        raise InputError(f"lpips-diversity needs {kind}; got {' x '.join(map(str, shape))}")
