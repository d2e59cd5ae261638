"""Differentiable augmentation of the discriminator's real and fake inputs.

A recipe sets `[values.shown] use = "diffaugment"` and, for real samples, `[values.shown_real] use = "diffaugment",
on = { fake = "real" }`; the same applies to `ada`. Pictures are [N, C, H, W] in [0, 1], and are changed as the papers
change pictures in [-1, 1]; results may lie outside. Each picture has its own random numbers.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from attrs import field, frozen, validators
from torch import Tensor, nn

Policy = Literal["colour", "translation", "cutout"]
Transform = Literal["flip", "turn", "shift", "brightness", "contrast", "saturation"]
Change = Callable[[Tensor], Tensor]


def diffaugment(
    fake: Tensor,
    *,
    policy: list[Policy] = ["colour", "translation", "cutout"],  # noqa: B006  # a setting's default, never changed
) -> Tensor:
    """DiffAugment (Zhao et al. 2020, arXiv 2006.10738, section 3.3), applied to every picture.

    Args:
        fake: the pictures.
        policy: augmentations, in this order: `colour` changes brightness by up to 0.5, saturation by a factor of 0 to
            2, contrast by a factor of 0.5 to 1.5; `translation` shifts by up to an eighth of the size, and `cutout`
            covers a square of half the size, both filling with grey, the zero of pixels in [-1, 1].
    """
    _require_pictures(fake, "diffaugment")
    pictures = 2 * fake - 1
    for name in policy:
        for change in POLICIES[name]:
            pictures = change(pictures)
    return (pictures + 1) / 2


class ADAState(nn.Module):
    """The state of the update `ada`: [probability p, sum of the mean signs since the last change of p]; starts at 0."""

    state: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("state", torch.zeros(2))

    def forward(self) -> Tensor:
        """The tensor itself; changes to it take effect in the next step."""
        return self.state


def ada(
    fake: Tensor,
    ada_state: Tensor,
    *,
    transforms: list[Transform] = ["flip", "turn", "shift", "brightness", "contrast", "saturation"],  # noqa: B006
) -> Tensor:
    """Adaptive augmentation (Karras et al. 2020, arXiv 2006.06676, appendix B): each change with probability p.

    These are six of the paper's 18 transforms, in its order and with its strengths: mirroring, rotations by multiples
    of 90 degrees (180 if pictures are not square), shifts by whole pixels up to an eighth of the size with reflected
    borders, brightness N(0, 0.2), contrast 2^N(0, 0.5) and saturation 2^N(0, 1). Scaling, free rotation, fractional
    shifts, luma flips, hue, filters, noise and cutout are not implemented. The update `ada` controls p.

    Args:
        fake: the pictures.
        ada_state: [p, ...].
        transforms: the transforms to use.
    """
    _require_pictures(fake, "ada")
    pictures = 2 * fake - 1
    for name, transform in TRANSFORMS.items():
        if name in transforms:
            now = _uniform(pictures) < ada_state[0]  # [N, 1, 1, 1]
            pictures = transform(pictures, now)
    return (pictures + 1) / 2


@frozen
class ADA:
    """Controls the probability of `ada` for each direction by how much D overfits (Karras et al. 2020, section 3.1).

    Attributes:
        target: target of the heuristic r_t = E[sign(D_train)], Eq. 1, in -1..1; p grows above it and shrinks below it.
            With a target outside this range p only shrinks or only grows.
        interval: steps after which p changes, by the mean of r_t since the last change.
        pictures: number of real pictures in which p can go from 0 to 1.
        players: players whose steps count.
    """

    target: float = field(default=0.6, validator=[validators.ge(-2), validators.le(2)])
    interval: int = field(default=4, validator=validators.ge(1))
    pictures: float = field(default=500_000, validator=validators.gt(0))
    players: list[str] = ["discriminator"]  # noqa: RUF008  # a setting's default, never changed

    def after(self, step: int, real_score: Tensor | Sequence[Tensor], ada_state: Tensor) -> None:
        """Add this step's r_t, and change p after each interval."""
        scales = [real_score] if isinstance(real_score, Tensor) else real_score
        signs = torch.stack([score.sign().mean() for score in scales]).mean()
        ada_state[1].add_(signs)
        if (step + 1) % self.interval == 0:
            speed = self.interval * len(scales[0]) / self.pictures
            ada_state[0].add_(speed * (ada_state[1] / self.interval - self.target).sign()).clamp_(0, 1)
            ada_state[1].zero_()


def _brightness(pictures: Tensor) -> Tensor:
    return pictures + _uniform(pictures) - 0.5


def _saturation(pictures: Tensor) -> Tensor:
    return _from(pictures.mean(1, keepdim=True), pictures, 2 * _uniform(pictures))


def _contrast(pictures: Tensor) -> Tensor:
    return _from(pictures.mean((1, 2, 3), keepdim=True), pictures, 0.5 + _uniform(pictures))


def _translation(pictures: Tensor) -> Tensor:
    count, _, *size = pictures.shape
    shifts = [torch.randint(-(side // 8), side // 8 + 1, (count,), device=pictures.device) for side in size]
    places = [_places(side, shift) for side, shift in zip(size, shifts, strict=True)]
    inside = [(place >= 0) & (place < side) for side, place in zip(size, places, strict=True)]
    moved = _taken(pictures, *(place.clamp(0, side - 1) for side, place in zip(size, places, strict=True)))
    return moved * _cross(*inside)


def _cutout(pictures: Tensor) -> Tensor:
    count, _, *size = pictures.shape
    covered = []
    for side in size:
        half = side // 2
        centre = torch.randint(0, side + 1 - half % 2, (count,), device=pictures.device)
        place = _places(side, centre - half // 2)
        covered.append((place >= 0) & (place < half))
    return pictures * ~_cross(*covered)


POLICIES: dict[str, Sequence[Change]] = {
    "colour": (_brightness, _saturation, _contrast),
    "translation": (_translation,),
    "cutout": (_cutout,),
}


def _flip(pictures: Tensor, now: Tensor) -> Tensor:
    return torch.where(now & (_uniform(pictures) < 0.5), pictures.flip(3), pictures)


def _turn(pictures: Tensor, now: Tensor) -> Tensor:
    square = pictures.shape[2] == pictures.shape[3]
    turned = torch.stack([pictures.rot90(quarters, (2, 3)) for quarters in ((0, 1, 2, 3) if square else (0, 2))])
    chosen = torch.where(now, _uniform(pictures) * len(turned), 0).flatten().long().clamp(max=len(turned) - 1)
    return turned[chosen, torch.arange(len(pictures), device=pictures.device)]


def _shift(pictures: Tensor, now: Tensor) -> Tensor:
    places = []
    for side in pictures.shape[2:]:
        shift = ((2 * _uniform(pictures) - 1) * side / 8).round()
        place = _places(side, torch.where(now, shift, 0).flatten().long())
        places.append((side - 1) - ((side - 1) - place.abs()).abs())
    return _taken(pictures, *places)


def _brighter(pictures: Tensor, now: Tensor) -> Tensor:
    return pictures + now * 0.2 * _normal(pictures)


def _contrasted(pictures: Tensor, now: Tensor) -> Tensor:
    return pictures * (now * 0.5 * _normal(pictures)).exp2()


def _saturated(pictures: Tensor, now: Tensor) -> Tensor:
    return _from(pictures.mean(1, keepdim=True), pictures, (now * _normal(pictures)).exp2())


TRANSFORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "flip": _flip,
    "turn": _turn,
    "shift": _shift,
    "brightness": _brighter,
    "contrast": _contrasted,
    "saturation": _saturated,
}


def _uniform(pictures: Tensor) -> Tensor:
    return torch.rand(len(pictures), 1, 1, 1, dtype=pictures.dtype, device=pictures.device)


def _normal(pictures: Tensor) -> Tensor:
    return torch.randn(len(pictures), 1, 1, 1, dtype=pictures.dtype, device=pictures.device)


def _from(middle: Tensor, pictures: Tensor, factor: Tensor) -> Tensor:
    """Scale pixels around a centre value."""
    return middle + (pictures - middle) * factor


def _places(side: int, shift: Tensor) -> Tensor:
    """Return for each row or column of a shifted picture its original index, [N, side]."""
    return torch.arange(side, device=shift.device) - shift[:, None]


def _taken(pictures: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Select rows, [N, H], and columns, [N, W], of pictures."""
    each = torch.arange(len(pictures), device=pictures.device)[:, None, None]
    return pictures[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cross(rows: Tensor, columns: Tensor) -> Tensor:
    """Return whether both a pixel's row and column are selected, [N, 1, H, W]."""
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _require_pictures(samples: Tensor, name: str) -> None:
    if samples.ndim != 4:
        raise ValueError(f"'{name}' needs pictures [N, channels, height, width], got {list(samples.shape)}")
