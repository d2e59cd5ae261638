"""StarGAN's coupling, with labelled directions and a discriminator that classifies domains."""

from collections.abc import Sequence
from itertools import permutations

from attrs import field, frozen
from torch import Tensor, nn

from ganforge import Coupling, Network, View


def relabelled(generator: nn.Module, source: Tensor, target_label: int) -> Tensor:
    """G(x, c): x translated to domain c; for a fake and its source's label it is G(G(x, c), c'), Eq. 4."""
    return generator(source, target_label)  # type: ignore[no-any-return]


def part(generator: nn.Module, samples: Tensor, place: tuple[int, int]) -> Tensor:
    """In training, the part of a domain's batch for one of the directions that meet in this domain.

    So every sample is translated to one other domain, as in the authors' code, not to all of them, and the cost per
    sample does not depend on the number of domains. Outside of training all samples are returned.

    Args:
        generator: its mode says whether this is training.
        samples: the whole batch of the domain, [N, ...].
        place: (index k of the direction, number K of directions). It gets every K-th sample from the k-th on, equally
            many for each direction and at least one, so that parts of a batch on several devices are divided like the
            whole batch.
    """
    if not generator.training:
        return samples
    number, count = place
    size = max(1, len(samples) // count)
    return samples[number % len(samples) :: count][:size]


class Classification:
    """L_cls: real samples are classified as their domain, Eq. 2, and fakes as their target domain, Eq. 3.

    The logits of D_cls, [N, domains], are the last entry of the discriminator's features.
    """

    def discriminator(self, real_features: Sequence[Tensor], target_label: int) -> Tensor:
        """E[-log D_cls(c'|x)], Eq. 2; c' is the domain of the real samples, the direction's target."""
        return _surprise(real_features[-1], target_label)

    def generator(self, fake_features: Sequence[Tensor], target_label: int) -> Tensor:
        """E[-log D_cls(c|G(x, c))], Eq. 3."""
        return _surprise(fake_features[-1], target_label)


def _surprise(logits: Tensor, label: int) -> Tensor:
    """E[-log p(label)] for logits [N, domains]."""
    if label >= logits.shape[1]:
        raise ValueError(f"no domain has the label {label}; set discriminator.domains to that of the coupling")
    return -logits.log_softmax(1)[:, label].mean()


def _names(_: object, attribute: object, domains: Sequence[str]) -> None:
    """Two or more different names without a dot."""
    if len(domains) < 2 or len(set(domains)) < len(domains) or not all(name and "." not in name for name in domains):
        raise ValueError("domains must be two or more different names without a dot")


@frozen
class StarGAN(Coupling):
    """StarGAN: one generator and one discriminator for all directions between the domains (Figure 3, Eq. 5 and 6).

    Attributes:
        domains: domains of the data set; every ordered pair is a direction. A domain's label is its index.
    """

    domains: list[str] = field(factory=lambda: ["A", "B", "C"], validator=_names)

    @property
    def networks(self) -> Sequence[Network]:
        """G and D, for samples of one shape in all domains."""
        return (Network("G", "generator", (self.domains[0],)), Network("D", "discriminator", (self.domains[0],)))

    @property
    def views(self) -> Sequence[View]:
        """All directions, each with the labels of its domains, and its index among the directions that meet there."""
        return [self._view(source, target) for source, target in permutations(self.domains, 2)]

    def _view(self, source: str, target: str) -> View:
        labels = {"source_label": self.domains.index(source), "target_label": self.domains.index(target)}
        places = {"source_place": self._place(source, target), "real_place": self._place(target, source)}
        fields = {"source": source, "real": target, "source_batch": source, "real_batch": target}
        between = "" if all(len(name) == 1 for name in (source, target)) else "2"
        networks = {"generator": "G", "discriminator": "D"}
        return View(f"{source}{between}{target}", (source, target), fields, networks, labels | places)

    def _place(self, domain: str, partner: str) -> tuple[int, int]:
        """Return the index of a partner among a domain's partners, and their number."""
        partners = [name for name in self.domains if name != domain]
        return partners.index(partner), len(partners)
