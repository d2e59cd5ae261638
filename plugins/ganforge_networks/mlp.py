"""The toy experiment's networks for points (Kim et al. 2017, section 3.1)."""

import math
from typing import Annotated, Literal

import torch
from attrs.validators import ge, le
from torch import Tensor, nn

from ganforge import Shape

Hidden = Annotated[int, ge(1), le(65_536)]
Layers = Annotated[int, ge(2), le(100)]


class Generator(nn.Module):
    """Linear layers with ReLU; `output = "relu"` adds one after the last layer, as in the paper's text.

    Args:
        source_shape: shape of an input sample; it is flattened.
        target_shape: shape of an output sample.
        target_mean: mean of the target domain, [*target_shape]. The output starts there, since a unit that starts below
            zero would be dead after a ReLU.
        layers: number of linear layers.
        hidden: units of each layer but the last.
        output: `relu` for targets that are positive in every coordinate, otherwise `linear`.
    """

    def __init__(
        self,
        source_shape: Shape,
        target_shape: Shape,
        target_mean: Tensor,
        *,
        layers: Layers = 3,
        hidden: Hidden = 64,
        output: Literal["relu", "linear"] = "linear",
    ) -> None:
        super().__init__()
        self.target_shape = target_shape
        blocks = _hidden_layers(math.prod(source_shape), hidden, layers - 1)
        last = nn.Linear(hidden, math.prod(target_shape))
        with torch.no_grad():
            last.bias.add_(target_mean.flatten())
        self.layers = nn.Sequential(*blocks, last, *([nn.ReLU()] if output == "relu" else []))

    def forward(self, points: Tensor) -> Tensor:
        """Translate points: [N, *source_shape] to [N, *target_shape]."""
        translated: Tensor = self.layers(points.flatten(1))
        return translated.reshape(-1, *self.target_shape)


class Discriminator(nn.Module):
    """Linear layers with ReLU, except after the last one; the score is a logit.

    Args:
        shape: shape of a sample; it is flattened.
        layers: number of linear layers.
        hidden: units of each layer but the last.
    """

    def __init__(self, shape: Shape, *, layers: Layers = 5, hidden: Hidden = 64) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(_hidden_layers(math.prod(shape), hidden, layers - 1))
        self.judge = nn.Linear(hidden, 1)

    def forward(self, points: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Score points.

        Args:
            points: [N, *shape].

        Returns:
            score: logit of being real, [N, 1].
            features: the hidden activations, [N, hidden] each.
        """
        features = []
        activation = points.flatten(1)
        for layer in self.hidden:
            activation = layer(activation)
            features.append(activation)
        return self.judge(activation), tuple(features)


def _hidden_layers(inputs: int, hidden: int, count: int) -> list[nn.Module]:
    sizes = [inputs, *[hidden] * (count - 1)]
    return [nn.Sequential(nn.Linear(size, hidden), nn.ReLU()) for size in sizes]
