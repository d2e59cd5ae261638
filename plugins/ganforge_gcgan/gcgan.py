"""GcGAN's coupling, and values to compare translations of samples and of turned samples (Fu et al. 2019, section 3).

f turns a picture: x~ = f(x). Its content stays the same, so G(f(x)) should equal f(G(x)). The geometry-consistency
loss is the distance `l1` between `turned_fake` and `fake_turned`. One generator translates both. Turned samples have
their own discriminator if the coupling offers one; the constraint alone fits any coupling.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from attrs import frozen
from torch import Tensor, nn

from ganforge import Coupling, Network, View

Turn = Callable[[Tensor], Tensor]


def turn(*, geometry: Literal["rotation", "flip"] = "rotation") -> Turn:
    """f: clockwise rotation by 90 degrees, or a vertical flip, of pictures [N, C, H, W]."""
    return _rotated if geometry == "rotation" else _flipped


def _rotated(pictures: Tensor) -> Tensor:
    return torch.rot90(pictures, -1, (2, 3))


def _flipped(pictures: Tensor) -> Tensor:
    return pictures.flip(2)


def turned_source(turn: Turn, source: Tensor) -> Tensor:
    """x~ = f(x): [N, C, W, H] for a rotation."""
    return turn(source)


def turned_real(turn: Turn, real: Tensor) -> Tensor:
    """y~ = f(y)."""
    return turn(real)


def turned_fake(generator: nn.Module, turned_source: Tensor) -> Tensor:
    """G(f(x)): the translation of the turned sample."""
    return generator(turned_source)  # type: ignore[no-any-return]


def fake_turned(turn: Turn, fake: Tensor) -> Tensor:
    """f(G(x)): the translation, turned afterwards."""
    return turn(fake)


def turned_identity(generator: nn.Module, turned_real: Tensor) -> Tensor:
    """G(f(y)): the generator's output for a turned sample of the target domain."""
    return generator(turned_real)  # type: ignore[no-any-return]


def shown_turned(turned_fake: Tensor) -> Tensor:
    """Turned translations as shown to their discriminator: unchanged."""
    return turned_fake


def turned_real_score(turned_discriminator: nn.Module, turned_real: Tensor) -> Any:
    """The logit of D~(y~)."""
    return turned_discriminator(turned_real)[0]


def turned_fake_score(turned_discriminator: nn.Module, shown_turned: Tensor) -> Any:
    """The logit of D~(G(x~))."""
    return turned_discriminator(shown_turned)[0]


VALUES = (
    turn,
    turned_source,
    turned_real,
    turned_fake,
    fake_turned,
    turned_identity,
    shown_turned,
    turned_real_score,
    turned_fake_score,
)


@frozen
class GcGAN(Coupling):
    """GcGAN: one direction, with a discriminator for samples and one for turned samples.

    The generator plays first, as in the authors' code.
    """

    players = ("generator", "discriminator")
    networks = (
        Network("G_AB", "generator", ("A", "B")),
        Network("D_B", "discriminator", ("B",)),
        Network("D_B_turned", "discriminator", ("B",)),
    )
    views = (
        View(
            "AB",
            ("A", "B"),
            {"source": "A", "real": "B"},
            {"generator": "G_AB", "discriminator": "D_B", "turned_discriminator": "D_B_turned"},
        ),
    )
