"""Drawing the background of the animals: a meadow below hills and a sky."""

from random import Random
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]
Colour = tuple[float, float, float]

SKIES = (
    ((0.33, 0.56, 0.85), (0.74, 0.86, 0.95)),
    ((0.55, 0.68, 0.8), (0.88, 0.9, 0.9)),
    ((0.4, 0.5, 0.75), (0.98, 0.83, 0.68)),
)
GRASSES = ((0.36, 0.55, 0.2), (0.45, 0.58, 0.24), (0.28, 0.48, 0.2), (0.6, 0.58, 0.3))


def draw_background(random: Random, x: Array, y: Array) -> Array:
    """Draw sky with clouds, two ranges of hills with bushes, and a meadow, [H, W, 3]."""
    between = random.uniform
    pixel = y[0] - y[1] if len(y) > 1 else 1.0
    horizon = between(0.0, 0.38)
    high, low = (np.array(colour, np.float32) for colour in random.choice(SKIES))
    share = ((y - horizon) / (1.2 - horizon)).clip(0, 1)[:, None, None]
    picture = np.broadcast_to(low + (high - low) * share, (len(y), len(x), 3)).astype(np.float32)
    for _ in range(random.randrange(4)):
        at, wide = (between(-1.1, 1.1), between(horizon + 0.25, 0.95)), between(0.2, 0.5)
        far = ((x[None] - at[0]) / wide) ** 2 + ((y[:, None] - at[1]) / (0.28 * wide)) ** 2
        blend(picture, 0.8 * np.exp(-2.5 * far), (1.0, 1.0, 1.0))
    grass = np.array(random.choice(GRASSES), np.float32) * between(0.9, 1.1)
    for blue, tall in ((0.55, between(0.08, 0.25)), (0.25, between(0.02, 0.1))):
        waves = [(between(0.8, 4.5), between(0, 6.3), between(0.3, 1.0)) for _ in range(3)]
        line = horizon + tall * (0.6 + sum(size * np.sin(rate * x + phase) for rate, phase, size in waves) / 3)
        hill = grass * (0.72 - 0.1 * blue) * (1 - blue) + np.array((0.42, 0.55, 0.68), np.float32) * blue
        blend(picture, cover(y[:, None] - line[None], pixel), tuple(hill.tolist()))
    for _ in range(random.randrange(5)):
        at, wide = (between(-1.3, 1.3), horizon + between(-0.01, 0.03)), between(0.06, 0.16)
        far = np.hypot(x[None] - at[0], (y[:, None] - at[1]) * between(0.9, 1.4)) - wide
        blend(picture, cover(far, pixel), tuple((grass * between(0.5, 0.65)).tolist()))
    line = horizon + 0.012 * np.sin(between(2, 5) * x + between(0, 6))
    depth = (line[None] - y[:, None]).clip(0, None)  # [H, W]
    rough = np.zeros_like(depth)
    for rate in (3.0, 7.0, 13.0, 29.0, 47.0):
        turn, tilt, phase = between(0.7, 1.3), between(0.5, 1.1), between(0, 6)
        rough += np.sin(
            rate * (turn * x[None] + tilt * y[:, None] * 1.7) + phase + 2 * np.sin(rate * 0.4 * x[None] + phase)
        )
    shade = 0.8 + 0.22 * depth + 0.035 * rough
    blend(picture, cover(y[:, None] - line[None], pixel), grass * shade[..., None])
    return picture


def cover(distance: Array, pixel: float) -> Array:
    """Return the share of a pixel inside an outline at a signed distance from the pixel's centre."""
    return (0.5 - distance / pixel).clip(0, 1)


def blend(picture: Array, cover: Array, colour: Colour | Array) -> None:
    """Lay a colour over a picture."""
    picture += cover[..., None] * (np.asarray(colour, np.float32) - picture)
