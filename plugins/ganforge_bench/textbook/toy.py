"""The toy experiment (Kim et al. 2017, arXiv 1703.05192, section 3.1): `python toy.py [STEPS]` trains it, 20,000 steps.

With OMP_NUM_THREADS=1 on a CPU, where more threads do not pay.
"""

import math
import sys
import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

BATCH, SIGMA, RECONSTRUCTION = 64, 0.1, 10.0


def make(batch: Mapping[str, Tensor], width: int = 64) -> "Step":
    """Make the step for points A and B, [N, 2], with hidden layers of a width."""
    return Step(batch["A"], batch["B"], width)


class Step:
    """Two generators with Eq. 3 and 4 for their losses, two discriminators with Eq. 6."""

    def __init__(self, a: Tensor, b: Tensor, hidden: int) -> None:
        self.ab, self.ba = generator(b.mean(0), hidden), generator(a.mean(0), hidden)
        self.d_a, self.d_b = discriminator(hidden), discriminator(hidden)
        self.networks = {"G_AB": self.ab, "G_BA": self.ba, "D_A": self.d_a, "D_B": self.d_b}
        for network in self.networks.values():
            network.to(a.device)
        self.for_g, self.for_d = adam(self.ab, self.ba), adam(self.d_a, self.d_b)

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Train the discriminators, then the generators; return both losses."""
        a, b = batch["A"], batch["B"]

        d_loss = judge(self.d_b, b, 1) + judge(self.d_b, self.ab(a).detach(), 0)
        d_loss = d_loss + judge(self.d_a, a, 1) + judge(self.d_a, self.ba(b).detach(), 0)
        self.for_d.zero_grad()
        d_loss.backward()  # type: ignore[no-untyped-call]
        self.for_d.step()

        ab, ba = self.ab(a), self.ba(b)
        g_loss = judge(self.d_b, ab, 1) + judge(self.d_a, ba, 1)
        g_loss = g_loss + RECONSTRUCTION * (mse_loss(self.ba(ab), a) + mse_loss(self.ab(ba), b))
        self.for_g.zero_grad()
        g_loss.backward()  # type: ignore[no-untyped-call]
        self.for_g.step()
        return {"discriminator": d_loss.detach(), "generator": g_loss.detach()}


def judge(network: nn.Module, points: Tensor, target: int) -> Tensor:
    """Return how far the judgement of points is from a target, 1 for real and 0 for fake."""
    score = network(points)
    return binary_cross_entropy_with_logits(score, torch.full_like(score, target))


def adam(*networks: nn.Module) -> torch.optim.Adam:
    """Return the optimizer of both players."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.Adam(parameters, lr=5e-4, betas=(0.5, 0.999))


def generator(mean: Tensor, hidden: int) -> nn.Sequential:
    """Return three linear layers with ReLU, whose output starts at a mean."""
    last = nn.Linear(hidden, 2)
    with torch.no_grad():
        last.bias.add_(mean.cpu())
    return nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last, nn.ReLU())


def discriminator(hidden: int) -> nn.Sequential:
    """Return five linear layers with ReLU in between; the output is a logit."""
    inner = [part for _ in range(3) for part in (nn.Linear(hidden, hidden), nn.ReLU())]
    return nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), *inner, nn.Linear(hidden, 1))


def arc(modes: int, radius: float, centre: float, start: float, stop: float) -> Tensor:
    """Return the centres of modes on an arc between two angles in degrees, [modes, 2]."""
    angles = torch.linspace(start, stop, modes) * math.pi / 180
    return centre + radius * torch.stack([angles.cos(), angles.sin()], dim=1)


def draw(centres: Tensor) -> Tensor:
    """Draw a batch from a mixture, [BATCH, 2]."""
    return centres[torch.randint(len(centres), (BATCH,))] + SIGMA * torch.randn(BATCH, 2)


def main(steps: int) -> None:
    """Train five modes to ten and back."""
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    a, b = arc(5, 1.0, 1.5, 90, 378), arc(10, 4.0, 0.25, 5, 85)
    train = make({"A": a, "B": b})
    began = time.perf_counter()
    for step in range(1, steps + 1):
        losses = train({"A": draw(a), "B": draw(b)})
        if step % 200 == 0:
            print(f"{step}: {losses['discriminator'].item():.3f} {losses['generator'].item():.3f}")  # noqa: T201
    print(f"{steps / (time.perf_counter() - began):.0f} steps/s")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
