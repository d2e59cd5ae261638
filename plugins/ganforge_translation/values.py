"""The values of a direction, such as from A to B, in the notation of Kim et al. 2017, section 2.2.

Every value is a function of others, which it asks for by name. `source` and `real` are fields of the batch: x_A, the
samples to translate, and x_B, samples of the target domain. `generator` is G_AB, `inverse` is G_BA if there is a way
back, and `discriminator` is D_B, which returns (score, features); the score is a logit.
"""

from typing import Any

from torch import Tensor, nn

Judgement = tuple[Any, tuple[Tensor, ...]]


def fake(generator: nn.Module, source: Tensor) -> Tensor:
    """x_AB = G_AB(x_A), Eq. 1: [N, *target shape]."""
    return generator(source)  # type: ignore[no-any-return]


def reconstructed(inverse: nn.Module, fake: Tensor) -> Tensor:
    """x_ABA = G_BA(x_AB), Eq. 2: [N, *source shape]."""
    return inverse(fake)  # type: ignore[no-any-return]


def identity(generator: nn.Module, real: Tensor) -> Tensor:
    """G_AB(x_B), [N, *target shape]: the generator's output for a sample of the target domain."""
    return generator(real)  # type: ignore[no-any-return]


def shown(fake: Tensor) -> Tensor:
    """Translations as shown to the discriminator: unchanged here; another value under this name changes them."""
    return fake


def shown_real(real: Tensor) -> Tensor:
    """Real samples as shown to the discriminator: unchanged here."""
    return real


def judged_real(discriminator: nn.Module, shown_real: Tensor) -> Judgement:
    """D_B(x_B): (score, features)."""
    return discriminator(shown_real)  # type: ignore[no-any-return]


def judged_fake(discriminator: nn.Module, shown: Tensor) -> Judgement:
    """D_B(x_AB): (score, features)."""
    return discriminator(shown)  # type: ignore[no-any-return]


def real_score(judged_real: Judgement) -> Any:
    """The logit of D_B(x_B)."""
    return judged_real[0]


def fake_score(judged_fake: Judgement) -> Any:
    """The logit of D_B(x_AB)."""
    return judged_fake[0]


def real_features(judged_real: Judgement) -> tuple[Tensor, ...]:
    """Hidden activations of D_B(x_B), [N, ...] each."""
    return judged_real[1]


def fake_features(judged_fake: Judgement) -> tuple[Tensor, ...]:
    """Hidden activations of D_B(x_AB), [N, ...] each."""
    return judged_fake[1]


VALUES = (
    fake,
    reconstructed,
    identity,
    shown,
    shown_real,
    judged_real,
    judged_fake,
    real_score,
    fake_score,
    real_features,
    fake_features,
)
