"""The toy experiment as a plain script: the mathematics of `discogan_toy`, as one would write it down.

python docs/results/plain_toy.py [STEPS]; with OMP_NUM_THREADS=1 for the figures of speed.md.
"""

import math
import sys
import time

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

BATCH, HIDDEN, SIGMA = 64, 64, 0.1


def arc(modes: int, radius: float, centre: float, start: float, stop: float) -> torch.Tensor:
    """Return the centres of modes on an arc, [modes, 2]."""
    angles = torch.linspace(start, stop, modes) * math.pi / 180
    return centre + radius * torch.stack([angles.cos(), angles.sin()], dim=1)


def generator(mean: torch.Tensor) -> nn.Sequential:
    """Return three linear layers with ReLU whose output starts at a mean."""
    net = nn.Sequential(
        nn.Linear(2, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2), nn.ReLU()
    )
    with torch.no_grad():
        net[4].bias += mean
    return net


def discriminator() -> nn.Sequential:
    """Return five linear layers with ReLU; the output is a logit."""
    hidden = [part for _ in range(3) for part in (nn.Linear(HIDDEN, HIDDEN), nn.ReLU())]
    return nn.Sequential(nn.Linear(2, HIDDEN), nn.ReLU(), *hidden, nn.Linear(HIDDEN, 1))


def draw(centres: torch.Tensor) -> torch.Tensor:
    """Draw a batch from a mixture."""
    return centres[torch.randint(len(centres), (BATCH,))] + SIGMA * torch.randn(BATCH, 2)


def main(steps: int) -> None:
    """Train."""
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    a = arc(5, 1.0, 1.5, 90, 378)
    b = arc(10, 4.0, 0.25, 5, 85)
    ab, ba, d_a, d_b = generator(b.mean(0)), generator(a.mean(0)), discriminator(), discriminator()
    for_g = torch.optim.Adam([*ab.parameters(), *ba.parameters()], lr=5e-4, betas=(0.5, 0.999))
    for_d = torch.optim.Adam([*d_a.parameters(), *d_b.parameters()], lr=5e-4, betas=(0.5, 0.999))
    real, fake = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)
    loss = binary_cross_entropy_with_logits
    began = time.perf_counter()
    for step in range(1, steps + 1):
        x_a, x_b = draw(a), draw(b)
        x_ab, x_ba = ab(x_a).detach(), ba(x_b).detach()
        d_loss = loss(d_b(x_b), real) + loss(d_b(x_ab), fake) + loss(d_a(x_a), real) + loss(d_a(x_ba), fake)
        for_d.zero_grad()
        d_loss.backward()
        for_d.step()

        x_ab, x_ba = ab(x_a), ba(x_b)
        g_loss = loss(d_b(x_ab), real) + loss(d_a(x_ba), real)
        g_loss = g_loss + 10 * (mse_loss(ba(x_ab), x_a) + mse_loss(ab(x_ba), x_b))
        for_g.zero_grad()
        g_loss.backward()
        for_g.step()
        if step % 200 == 0:
            print(f"{step}: {d_loss.item():.3f} {g_loss.item():.3f}")  # noqa: T201
    print(f"{steps / (time.perf_counter() - began):.0f} steps/s")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
