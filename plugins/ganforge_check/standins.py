"""Stand-ins for a recipe's other parts while one component is checked: small networks, samples, an optimizer."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from attrs import field, frozen
from torch import Tensor, nn

from ganforge import Dataset, Register, Registry, Samples, Shape, Split, Stored, tensors_of

PLUGIN = "ganforge_check"  # the plugin name under which they are registered
TRAIN, TEST = 16, 8  # samples in a split
Mapped = Literal["learnt", "identity", "constant", "perfect"]


class Generator(nn.Module):
    """Translates with one hidden layer, or in a known way.

    Args:
        source_shape: shape of a sample.
        target_shape: shape of a translation.
        mapped: `learnt`; or `identity`, `constant` (0.5), or `perfect`: 1 - x, as `Pictures` pairs samples.
    """

    def __init__(self, source_shape: Shape, target_shape: Shape, *, mapped: Mapped = "learnt") -> None:
        super().__init__()
        self.target, self.mapped = target_shape, mapped
        self.pictures = len(source_shape) == len(target_shape) == 3 and source_shape[1:] == target_shape[1:]
        sizes = (source_shape, target_shape)
        ends = [shape[0] if self.pictures else torch.Size(shape).numel() for shape in sizes]
        self.first: nn.Module = nn.Conv2d(ends[0], 8, 3, padding=1) if self.pictures else nn.Linear(ends[0], 8)
        self.last: nn.Module = nn.Conv2d(8, ends[1], 3, padding=1) if self.pictures else nn.Linear(8, ends[1])

    def forward(self, source: Tensor, *further: Any) -> Tensor:
        """Translate [N, *source_shape] to [N, *target_shape] in [0, 1]; further tensors or labels shift a little."""
        if self.mapped != "learnt":
            return {"identity": source, "constant": torch.full_like(source, 0.5), "perfect": 1 - source}[self.mapped]
        hidden = self._hidden(source)
        for shift in further:
            hidden = hidden + 0.1 * (shift.mean() if isinstance(shift, Tensor) else shift)
        return torch.sigmoid(self.last(torch.tanh(hidden))).reshape(-1, *self.target)

    def features(self, pictures: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Return the hidden layer, whichever layers are asked for."""
        return [self._hidden(pictures) for _ in layers]

    def _hidden(self, source: Tensor) -> Tensor:
        hidden: Tensor = self.first(source if self.pictures else source.flatten(1))
        return hidden


class Discriminator(nn.Module):
    """Judges with two hidden layers: a score for each sample, or a map of scores for each picture.

    A coupling may show it more channels than a recipe does; zeros then stand for the rest.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        pictures, self.channels = len(shape) == 3, shape[0]
        size = torch.Size(shape).numel()
        self.first: nn.Module = nn.Conv2d(shape[0], 8, 4, 4) if pictures else nn.Linear(size, 8)
        self.score: nn.Module = nn.Conv2d(8, 1, 1) if pictures else nn.Linear(8, 1)
        self.summary = nn.Linear(8, 6)
        self.pictures = pictures

    def forward(self, samples: Tensor, *further: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return (score, features) of [N, *shape]."""
        lacking = samples.new_zeros(len(samples), self.channels - samples.shape[1], *samples.shape[2:])
        samples = torch.cat([samples, lacking], 1)
        hidden = torch.tanh(self.first(samples if self.pictures else samples.flatten(1)))
        flat = hidden.flatten(2).mean(2) if self.pictures else hidden
        return self.score(hidden), (hidden, self.summary(flat))


@frozen
class Pictures(Dataset):
    """Paired random samples of some domains; each domain is one minus the domain before it.

    Attributes:
        domains: their names.
        shape: of a sample.
        labels: names of labels, each 0 or 1.
    """

    domains: list[str] = field(factory=lambda: ["A", "B"])
    shape: list[int] = field(factory=lambda: [3, 16, 16])
    labels: list[str] = field(factory=lambda: ["label"])

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """The same in all domains."""
        return {domain: tuple(self.shape) for domain in self.domains}

    @property
    def groups(self) -> Sequence[Sequence[str]]:
        """All samples i belong together."""
        return [self.domains]

    def open(self, split: Split) -> Mapping[str, Samples]:
        """Draw the samples, a different set for each split."""
        count, seed = (TRAIN, 1) if split == "train" else (TEST, 2)
        first = torch.rand(count, *self.shape, generator=torch.Generator().manual_seed(seed))
        of = {domain: first if place % 2 == 0 else 1 - first for place, domain in enumerate(self.domains)}

        def stored(samples: Tensor) -> Stored:
            labels = {name: [place % 2 for place in range(count)] for name in self.labels}
            return Stored(count, lambda indices: samples[list(indices)], labels)

        return {domain: stored(samples) for domain, samples in of.items()}


def touch(value: Any) -> Tensor:
    """Mean of the squares of a value's tensors, or of a network's parameters: gives any value a gradient."""
    found = list(value.parameters()) if isinstance(value, nn.Module) else tensors_of(value)
    floating = [tensor for tensor in found if tensor.is_floating_point() and tensor.numel()]
    return torch.stack([(tensor - 0.3).square().mean() for tensor in floating]).mean()


class Touch:
    """The loss `touch`, for every player."""

    def forward(self, value: Any) -> Tensor:
        """(value - 0.3)^2, mean over all of its tensors."""
        return touch(value)


class Scores:
    """Least squares GAN (Mao et al. 2017), for the discriminator and the generator."""

    def generator(self, fake_score: Any) -> Tensor:
        """E[(D(G(x)) - 1)^2]."""
        return torch.stack([(score - 1).square().mean() for score in tensors_of(fake_score)]).mean()

    def discriminator(self, real_score: Any, fake_score: Any) -> Tensor:
        """E[(D(y) - 1)^2] + E[D(G(x))^2]."""
        return self.generator(real_score) + self.generator([1 + score for score in tensors_of(fake_score)])


def sgd(parameters: Any, *, lr: float = 0.05) -> torch.optim.Optimizer:
    """Gradient descent."""
    return torch.optim.SGD(parameters, lr)


def with_standins(registry: Registry[Any]) -> Registry[Any]:
    """Return a registry with the stand-ins and everything in another one."""
    from ganforge import KINDS

    register = Register(PLUGIN)
    register.generator("stand-in", Generator)
    register.discriminator("stand-in", Discriminator)
    register.dataset("stand-in", Pictures)
    register.loss("touch", Touch)
    register.loss("scores", Scores)
    register.optimizer("stand-in", sgd)
    return Registry([*(one for kind in KINDS for one in registry.of(kind)), *register.components.values()])
