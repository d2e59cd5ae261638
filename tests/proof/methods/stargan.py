"""StarGAN: one generator for translations between several domains (Choi et al. 2018, arXiv:1711.09020)."""

from collections.abc import Mapping
from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganforge import Coupling, Dataset, Network, Register, Samples, Shape, Split, Stored, View, hookimpl

DOMAINS = ("A", "B", "C")
Judgement = tuple[Tensor, tuple[Tensor, ...], Tensor]  # D_src, activations, and the logits of D_cls, [N, domains]


def translated(generator: nn.Module, source: Tensor, target_label: int) -> Tensor:
    """G(x, c), with c the domain to make; of the fake and the source's own label it is G(G(x, c), c'), Eq. 4."""
    return generator(source, target_label)


class Wasserstein:
    """L_adv as a Wasserstein distance, Eq. 8; its penalty is a loss of its own."""

    def discriminator(self, real_score: Tensor, fake_score: Tensor) -> Tensor:
        """-E[D_src(x)] + E[D_src(G(x, c))]."""
        return fake_score.mean() - real_score.mean()

    def generator(self, fake_score: Tensor) -> Tensor:
        """-E[D_src(G(x, c))]."""
        return -fake_score.mean()


class GradientPenalty:
    """E[(|grad D_src(x^)| - 1)^2], Eq. 8, with x^ at random on the lines between real samples and fakes."""

    precision = "fp32"  # it is differentiated twice

    def discriminator(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(between)[0].sum(), between, create_graph=True)
        return (slope.flatten(1).norm(dim=1) - 1).square().mean()


class Classification:
    """L_cls: the domain of a real sample is known, Eq. 2; a fake should be taken for one of the target's, Eq. 3."""

    def discriminator(self, judged_real: Judgement, label: Tensor) -> Tensor:
        """E[-log D_cls(c'|x)], Eq. 2."""
        return cross_entropy(judged_real[2], label)

    def generator(self, judged_fake: Judgement, target_label: int) -> Tensor:
        """E[-log D_cls(c|G(x, c))], Eq. 3."""
        return -judged_fake[2].log_softmax(1)[:, target_label].mean()


class Generator(nn.Module):
    """G(x, c) for points: the label stands beside the coordinates, one-hot (Section 3.1)."""

    def __init__(self, source_shape: Shape, *, domains: int = 3, hidden: int = 64) -> None:
        super().__init__()
        self.domains, (size,) = domains, source_shape
        self.layers = nn.Sequential(nn.Linear(size + domains, hidden), nn.ReLU(), nn.Linear(hidden, size))

    def forward(self, x: Tensor, label: int) -> Tensor:
        """Translate points into a domain."""
        code = torch.eye(self.domains, dtype=x.dtype, device=x.device)[label]
        return self.layers(torch.cat([x, code.expand(len(x), -1)], 1))


class Discriminator(nn.Module):
    """D with two heads: D_src and D_cls."""

    def __init__(self, shape: Shape, *, domains: int = 3, hidden: int = 64) -> None:
        super().__init__()
        self.hidden = nn.Linear(*shape, hidden)
        self.judge, self.classify = nn.Linear(hidden, 1), nn.Linear(hidden, domains)

    def forward(self, x: Tensor) -> Judgement:
        """Judge points, and tell their domains."""
        hidden = self.hidden(x).tanh()
        return self.judge(hidden), (hidden,), self.classify(hidden)


def view(source: str, target: str) -> View:
    """Wire the direction from one domain to another; the generator is told their numbers."""
    fields = {"source": source, "real": target, "label": f"{target}.label"}
    labels = {"source_label": DOMAINS.index(source), "target_label": DOMAINS.index(target)}
    return View(source + target, (source, target), fields, {"generator": "G", "discriminator": "D"}, labels)


class StarGAN(Coupling):
    """One G and one D for all pairs of domains (Figure 3, Eq. 5 and 6)."""

    networks = (Network("G", "generator", ("A",)), Network("D", "discriminator", ("A",)))
    views = tuple(view(source, target) for source, target in permutations(DOMAINS, 2))


class Clouds(Dataset):
    """A cloud of twelve points in each domain, labelled with the domain's number; the same in both splits."""

    shapes = dict.fromkeys(DOMAINS, (2,))

    def open(self, split: Split) -> Mapping[str, Samples]:
        """Return the points."""
        points = torch.randn(3, 12, 2, generator=torch.Generator().manual_seed(0))
        return {d: Stored(12, points[k].__getitem__, {"label": [k] * 12}) for k, d in enumerate(DOMAINS)}


@hookimpl
def ganforge_register(register: Register) -> None:
    register.value("translated", translated)
    register.loss("wasserstein", Wasserstein)
    register.loss("gradient-penalty", GradientPenalty)
    register.loss("classification", Classification)
    register.generator("stargan", Generator)
    register.discriminator("stargan", Discriminator)
    register.coupling("stargan", StarGAN)
    register.dataset("three-clouds", Clouds)
