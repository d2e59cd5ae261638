"""One direction of a coupling for one batch: the named tensors that a loss may ask for, each computed on first use."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import attrs
from attrs import define
from torch import Tensor

Generator = Callable[[Tensor], Tensor]
Discriminator = Callable[[Tensor], tuple[Tensor, tuple[Tensor, ...]]]

# What is computed from the fake, directly or not: a loss that asks for one of these needs the generator's forward pass.
FROM_FAKE = frozenset({"fake", "reconstructed", "fake_score", "fake_features"})


@define(slots=False)
class View:
    """What one direction, such as A to B, offers to losses (the notation is that of Kim et al. 2017, section 2.2).

    Attributes:
        name: the direction, such as `AB`.
        source: x_A, the batch of the domain that is translated, [N, *source shape].
        real: x_B, the batch of the domain that is translated to, [N, *target shape].
        generator: G_AB.
        discriminator: D_B, returns (score, features); the score is a logit.
        inverse: G_BA, where the direction has a way back.
    """

    name: str
    source: Tensor
    real: Tensor
    generator: Generator
    discriminator: Discriminator
    inverse: Generator | None = None

    @cached_property
    def fake(self) -> Tensor:
        """x_AB = G_AB(x_A), Eq. 1."""
        return self.generator(self.source)

    @cached_property
    def reconstructed(self) -> Tensor:
        """x_ABA = G_BA(x_AB), Eq. 2."""
        if self.inverse is None:
            raise AttributeError("reconstructed")
        return self.inverse(self.fake)

    @cached_property
    def identity(self) -> Tensor:
        """G_AB(x_B): what the generator makes of a picture that needs no translation."""
        return self.generator(self.real)

    @property
    def real_score(self) -> Tensor:
        """The logit of D_B(x_B)."""
        return self._judged_real[0]

    @property
    def fake_score(self) -> Tensor:
        """The logit of D_B(x_AB)."""
        return self._judged_fake[0]

    @property
    def real_features(self) -> tuple[Tensor, ...]:
        """Hidden activations of D_B(x_B), [N, ...] each."""
        return self._judged_real[1]

    @property
    def fake_features(self) -> tuple[Tensor, ...]:
        """Hidden activations of D_B(x_AB), [N, ...] each."""
        return self._judged_fake[1]

    @cached_property
    def _judged_real(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.discriminator(self.real)

    @cached_property
    def _judged_fake(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.discriminator(self.fake)

    @property
    def offers(self) -> tuple[str, ...]:
        """Names that a loss may ask this view for."""
        names = ("source", "real", "fake", "identity", "real_score", "fake_score", "real_features", "fake_features")
        return (*names, "discriminator", *(("reconstructed",) if self.inverse is not None else ()))

    def tensor(self, name: str) -> Any:
        """Return one of the offered tensors (or the discriminator) by name."""
        return getattr(self, name)

    def detached(self) -> "View":
        """Return the same view for the discriminator phase: the same fake, cut off from the generator that made it."""
        view = attrs.evolve(self)
        if "fake" in self.__dict__:
            view.__dict__["fake"] = self.fake.detach()
        return view
