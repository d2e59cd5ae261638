"""Distances between samples should be preserved by the translation (Benaim & Wolf 2017, section 3)."""

from typing import Annotated, Literal

import torch
from attrs.validators import ge, gt
from torch import Tensor, nn

Between = Literal["samples", "sides", "halves"]
SMALL = 1e-6


class Distance(nn.Module):
    """The distance constraint: |d(x_i, x_j) - d(G(x_i), G(x_j))|, each d less its mean, divided by its deviation.

    d is the mean absolute difference. The means and deviations of the distances in A and in B are taken over all
    samples that this loss has seen so far, and are saved with the run. (The authors' code measures them on up to 900
    samples before training.)

    Args:
        between: which distances: between all pairs of `samples` in the batch; or within each picture, for which a batch
            of one suffices, between its left and right `sides` (the paper's self-distance), or between its upper and
            lower `halves` (the self-distance of the authors' code).
        normalised: whether means and deviations are used.
        known: number of distances of each domain that must be seen first; until then the loss is 0.
        scale: factor of the distances: 2 if a paper has pixels in [-1, 1]. It only matters if they are not
            normalised.
    """

    statistics: Tensor

    def __init__(
        self,
        *,
        between: Between = "samples",
        normalised: bool = True,
        known: Annotated[int, ge(2)] = 100,
        scale: Annotated[float, gt(0)] = 1.0,
    ) -> None:
        super().__init__()
        self.between, self.normalised, self.known, self.scale = between, normalised, known, scale
        # For A and for B: number of distances, their mean, and the sum of their squared deviations from it.
        self.register_buffer("statistics", torch.zeros(2, 3))

    def generator(self, source: Tensor, fake: Tensor, real: Tensor) -> Tensor:
        """Mean over pairs, or pictures; samples are [N, ...], with N >= 2 if pairs are compared."""
        before, after = self._distances(source), self._distances(fake)
        if not self.normalised:
            return self.scale * (before - after).abs().mean()
        with torch.no_grad():
            found = [_merged(one, d) for one, d in zip(self.statistics, (before, self._distances(real)), strict=True)]
            self.statistics.copy_(torch.stack(found))
        (count_a, mean_a, squares_a), (count_b, mean_b, squares_b) = self.statistics
        before = (before - mean_a) / (squares_a / count_a).sqrt().clamp(min=SMALL)
        after = (after - mean_b) / (squares_b / count_b).sqrt().clamp(min=SMALL)
        counts = torch.minimum(count_a, count_b) >= self.known
        loss: Tensor = counts * (before - after).abs().mean()
        return loss

    def _distances(self, samples: Tensor) -> Tensor:
        """Return the distances of all pairs, [N (N - 1) / 2], or those between the parts of each picture, [N]."""
        if self.between == "samples":
            if len(samples) < 2:
                raise ValueError("pairs need 2 or more samples in a batch; for a batch of one set between = 'sides'")
            pairs = torch.triu_indices(len(samples), len(samples), 1, device=samples.device)  # [2, N (N - 1) / 2]
            flat = samples.flatten(1)
            return torch.cdist(flat, flat, p=1)[pairs[0], pairs[1]] / flat.shape[1]
        if samples.ndim != 4:
            raise ValueError(f"'{self.between}' needs pictures [N, channels, height, width], got {[*samples.shape]}")
        dimension = 3 if self.between == "sides" else 2
        half = samples.shape[dimension] // 2
        one = samples.narrow(dimension, 0, half)
        other = samples.narrow(dimension, samples.shape[dimension] - half, half)
        return (one - other).abs().flatten(1).mean(1)


def _merged(seen: Tensor, distances: Tensor) -> Tensor:
    """Add distances to a count, a mean and a sum of squared deviations (Chan et al. 1983)."""
    count, mean, squares = seen
    new, total = len(distances), count + len(distances)
    off = distances.mean() - mean
    squares = squares + (distances - distances.mean()).square().sum() + off.square() * count * new / total
    return torch.stack([total, mean + off * new / total, squares])
