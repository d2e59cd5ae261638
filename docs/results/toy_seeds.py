"""The toy with wide gaps as a plain loop, many seeds at once: the mathematics of `discogan_toy_wide` without ganforge.

python docs/results/toy_seeds.py [STEPS] [SEEDS] [CHANGE...] prints the clean modes of each seed, averaged over the last
fifth of the training. A change is one of CHANGES. All seeds train in one program: weights are [2, seeds, in, out], the
first index is the direction (A to B, B to A), and losses are summed, so that none knows of another.
"""

import math
import sys
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss, relu

from ganforge_evaluations.mode_coverage import measure

BATCH, HIDDEN, SIGMA, PROBES = 200, 64, 0.1, 1000
CHANGES = {
    "halved": "the discriminator's loss is the mean of its two halves instead of their sum",
    "decoupled": "weight decay is AdamW's",
    "no-decay": "no weight decay",
    "second-forward": "the generators play on translations made anew instead of those that discriminators were shown",
    "generator-first": "the generators play before the discriminators",
    "no-mean": "the generators' output does not start at the mean of its domain",
    "turned": "B's arc begins at 0 degrees instead of -135",
}


class Layers:
    """Linear layers with ReLU between them, [2, seeds] networks at once, initialised as torch does."""

    def __init__(self, seeds: int, sizes: list[int]) -> None:
        self.weights, self.biases = [], []
        for before, after in pairwise(sizes):
            bound = 1 / math.sqrt(before)
            self.weights.append(torch.empty(2, seeds, before, after).uniform_(-bound, bound).requires_grad_())
            self.biases.append(torch.empty(2, seeds, 1, after).uniform_(-bound, bound).requires_grad_())

    @property
    def parameters(self) -> list[Tensor]:
        """All weights and biases."""
        return [*self.weights, *self.biases]

    def __call__(self, x: Tensor, *, other: bool = False, frozen: bool = False) -> Tensor:
        """Map [2, seeds, N, in] to [2, seeds, N, out]; each by the network of the other direction, if asked for."""
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if frozen:
                weight, bias = weight.detach(), bias.detach()
            if other:
                weight, bias = weight.flip(0), bias.flip(0)
            x = torch.baddbmm(bias.flatten(0, 1), x.flatten(0, 1), weight.flatten(0, 1)).unflatten(0, (2, -1))
            x = relu(x) if number < len(self.weights) - 1 else x
        return x


def arc(modes: int, radius: float, start: float, stop: float) -> Tensor:
    """Return the centres of modes on an arc around zero, [modes, 2]."""
    angles = torch.linspace(start, stop, modes).deg2rad()
    return radius * torch.stack([angles.cos(), angles.sin()], dim=1)


def draw(domains: tuple[Tensor, Tensor], seeds: int) -> Tensor:
    """Draw a batch of A and one of B for every seed, [2, seeds, BATCH, 2]."""
    centres = torch.stack([modes[torch.randint(len(modes), (seeds, BATCH))] for modes in domains])
    return centres + SIGMA * torch.randn_like(centres)


def bce(score: Tensor, real: bool) -> Tensor:
    """Return the mean over the batch, summed over directions and seeds."""
    return binary_cross_entropy_with_logits(score, torch.full_like(score, float(real)), reduction="sum") / BATCH


def train(steps: int, seeds: int, changes: list[str]) -> list[float]:
    """Return the clean modes of each seed."""
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    start = 0.0 if "turned" in changes else -135.0
    domains = arc(5, 1.0, 90, 378), arc(10, 2.0, start, start + 270)
    generators = Layers(seeds, [2, HIDDEN, HIDDEN, 2])
    discriminators = Layers(seeds, [2, HIDDEN, HIDDEN, HIDDEN, HIDDEN, 1])
    if "no-mean" not in changes:
        with torch.no_grad():
            generators.biases[-1] += torch.stack([domains[1].mean(0), domains[0].mean(0)])[:, None, None]
    make = torch.optim.AdamW if "decoupled" in changes else torch.optim.Adam
    decay = 0.0 if "no-decay" in changes else 1e-4
    for_g, for_d = (
        make(nets.parameters, lr=2e-4, betas=(0.5, 0.999), weight_decay=decay, fused=True)
        for nets in (generators, discriminators)
    )

    def play_discriminators(real: Tensor, fake: Tensor) -> None:
        loss = bce(discriminators(real.flip(0)), True) + bce(discriminators(fake.detach()), False)
        for_d.zero_grad()
        (loss / 2 if "halved" in changes else loss).backward()
        for_d.step()

    def play_generators(real: Tensor, fake: Tensor) -> None:
        distance = mse_loss(generators(fake, other=True), real) * real.shape[0] * seeds
        for_g.zero_grad()
        (bce(discriminators(fake, frozen=True), True) + 10 * distance).backward()
        for_g.step()

    labels = torch.arange(5).repeat_interleave(PROBES)
    probes = (domains[0][labels] + SIGMA * torch.randn(len(labels), 2)).expand(2, seeds, -1, -1)
    clean = []
    for step in range(1, steps + 1):
        real = draw(domains, seeds)
        if "generator-first" in changes:
            play_generators(real, fake := generators(real))
            play_discriminators(real, fake)
        else:
            play_discriminators(real, fake := generators(real))
            play_generators(real, generators(real) if "second-forward" in changes else fake)
        if step % 1000 == 0:
            with torch.no_grad():
                images = generators(probes)[0]
            clean.append([measure(each, labels, domains[1], SIGMA)["clean"] for each in images])
            print(step, clean[-1], flush=True)  # noqa: T201
    late = torch.tensor(clean[len(clean) * 4 // 5 :])  # [evaluations, seeds]
    return late.mean(0).tolist()


if __name__ == "__main__":
    count, seeds, *changes = [*sys.argv[1:], *("50000", "10")[len(sys.argv) - 1 :]]
    if unknown := set(changes) - set(CHANGES):
        sys.exit(f"unknown: {', '.join(unknown)}; a change is one of {', '.join(CHANGES)}")
    found = torch.tensor(train(int(count), int(seeds), changes))
    names = " ".join(changes) or "as described"
    print(f"{names}: {found.mean():.2f} ± {found.std():.2f}: {[round(value, 1) for value in found.tolist()]}")  # noqa: T201
