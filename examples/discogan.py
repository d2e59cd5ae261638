"""DiscoGAN on one page of plain PyTorch: the method and the toy experiment of Kim et al. 2017 (arXiv 1703.05192).

    python examples/discogan.py [STEPS] [PICTURE]

draws its own points, trains for a minute on a CPU (OMP_NUM_THREADS=1: more threads do not pay for networks this
small) and writes `discogan.png`. Every step computes what `ganforge run discogan_toy` computes.
"""

import math
import sys
import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

BATCH, SIGMA, RECONSTRUCTION = 64, 0.1, 10.0


def make_generator(target_mean: Tensor, hidden: int) -> nn.Sequential:
    """Return three linear layers with ReLU, [N, 2] to [N, 2]; the output starts at the mean of the target domain."""
    last = nn.Linear(hidden, 2)
    with torch.no_grad():
        last.bias.add_(target_mean.cpu())
    return nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last, nn.ReLU())


def make_discriminator(hidden: int) -> nn.Sequential:
    """Return five linear layers with ReLU in between, [N, 2] to a logit [N, 1]."""
    inner = [layer for _ in range(3) for layer in (nn.Linear(hidden, hidden), nn.ReLU())]
    return nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), *inner, nn.Linear(hidden, 1))


def make_optimizer(*networks: nn.Module) -> torch.optim.Adam:
    """Return one optimizer for the parameters of several networks."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.Adam(parameters, lr=5e-4, betas=(0.5, 0.999))


def minus_log(score: Tensor, *, real: bool) -> Tensor:
    """Return -E[log D] (real) or -E[log(1 - D)] (fake), where D is the sigmoid of the score."""
    return binary_cross_entropy_with_logits(score, torch.full_like(score, float(real)))


class Step:
    """One training step: first both discriminators, then both generators."""

    def __init__(self, a: Tensor, b: Tensor, hidden: int) -> None:
        self.G_AB, self.G_BA = make_generator(b.mean(0), hidden), make_generator(a.mean(0), hidden)
        self.D_A, self.D_B = make_discriminator(hidden), make_discriminator(hidden)
        self.networks = {"G_AB": self.G_AB, "G_BA": self.G_BA, "D_A": self.D_A, "D_B": self.D_B}
        for network in self.networks.values():
            network.to(a.device)
        self.of_generators = make_optimizer(self.G_AB, self.G_BA)
        self.of_discriminators = make_optimizer(self.D_A, self.D_B)

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Train on a batch of samples of A and of B, [N, 2] each; return both losses."""
        x_A, x_B = batch["A"], batch["B"]

        # The discriminators learn to tell real samples from translations. No gradient goes on to the generators.
        x_AB, x_BA = self.G_AB(x_A).detach(), self.G_BA(x_B).detach()  # Eq. 1
        L_D_B = minus_log(self.D_B(x_B), real=True) + minus_log(self.D_B(x_AB), real=False)  # Eq. 6
        L_D_A = minus_log(self.D_A(x_A), real=True) + minus_log(self.D_A(x_BA), real=False)
        L_D = L_D_A + L_D_B  # Eq. 8
        self.of_discriminators.zero_grad()
        L_D.backward()  # type: ignore[no-untyped-call]
        self.of_discriminators.step()

        # The generators learn to pass for real, and to lead back to the sample that they came from.
        x_AB, x_BA = self.G_AB(x_A), self.G_BA(x_B)  # Eq. 1
        x_ABA, x_BAB = self.G_BA(x_AB), self.G_AB(x_BA)  # Eq. 2
        L_CONST_A, L_CONST_B = mse_loss(x_ABA, x_A), mse_loss(x_BAB, x_B)  # Eq. 3
        L_GAN_B, L_GAN_A = minus_log(self.D_B(x_AB), real=True), minus_log(self.D_A(x_BA), real=True)  # Eq. 4
        L_G_AB = L_GAN_B + RECONSTRUCTION * L_CONST_A  # Eq. 5
        L_G_BA = L_GAN_A + RECONSTRUCTION * L_CONST_B
        L_G = L_G_AB + L_G_BA  # Eq. 7
        self.of_generators.zero_grad()
        L_G.backward()  # type: ignore[no-untyped-call]
        self.of_generators.step()
        return {"discriminator": L_D.detach(), "generator": L_G.detach()}


def make(batch: Mapping[str, Tensor], width: int = 64) -> Step:
    """Make the step for points like those of a batch, with hidden layers of a width."""
    return Step(batch["A"], batch["B"], width)


def arc(modes: int, radius: float, centre: float, start: float, stop: float) -> Tensor:
    """Return the centres of modes on an arc between two angles in degrees, [modes, 2]."""
    angles = torch.linspace(start, stop, modes) * math.pi / 180
    return centre + radius * torch.stack([angles.cos(), angles.sin()], dim=1)


def draw(centres: Tensor, count: int = BATCH) -> Tensor:
    """Draw from a mixture of Gaussians around the centres, [count, 2]."""
    return centres[torch.randint(len(centres), (count,))] + SIGMA * torch.randn(count, 2)


def write_picture(name: str, a: Tensor, b: Tensor, translate: nn.Module) -> None:
    """Draw Figure 4: points of each mode of A, translated, in a colour of their own; the modes of B are crosses."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (480, 480), "white")
    pen = ImageDraw.Draw(picture)
    for mode, colour in zip(a, ("red", "orange", "green", "blue", "purple"), strict=True):
        with torch.no_grad():
            for x, y in (100 * translate(draw(mode[None], 200))).tolist():
                pen.ellipse((x - 2, 478 - y, x + 2, 482 - y), fill=colour)
    for x, y in (100 * b).tolist():
        pen.line((x - 6, 474 - y, x + 6, 486 - y), fill="black", width=2)
        pen.line((x - 6, 486 - y, x + 6, 474 - y), fill="black", width=2)
    picture.save(name)


def main(count: str = "10_000", picture: str = "discogan.png") -> None:
    """Train five modes to ten and back for a number of steps; print both losses now and then, and write the picture."""
    steps = int(count)
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    a, b = arc(5, 1.0, 1.5, 90, 378), arc(10, 4.0, 0.25, 5, 85)
    train = make({"A": a, "B": b})
    began = time.perf_counter()
    for step in range(1, steps + 1):
        losses = train({"A": draw(a), "B": draw(b)})
        if step % 200 == 0:
            print(f"{step}: L_D {losses['discriminator'].item():.3f}, L_G {losses['generator'].item():.3f}")  # noqa: T201
    print(f"{steps / (time.perf_counter() - began):.0f} steps/s")  # noqa: T201
    write_picture(picture, a, b, train.G_AB)
    print(picture)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:3])
