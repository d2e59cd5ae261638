"""Drawing four-legged animals: the same animal, pose and background with any coat, at any size.

Lengths are in halves of the picture's shorter side for the scene, and in lengths of the trunk for the animal, whose
frame has its origin on the ground below the middle of the trunk, u towards its head and v upwards.
"""

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
from attrs import frozen

from ganforge_data.meadow import Array, Colour, blend, cover, draw_background

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Point = tuple[float, float]

BROWNS = ((0.45, 0.25, 0.12), (0.55, 0.3, 0.13), (0.32, 0.19, 0.11), (0.62, 0.4, 0.2), (0.4, 0.19, 0.09))
BLACK, CREAM, GOLD = (0.07, 0.06, 0.06), (0.93, 0.91, 0.86), (0.83, 0.6, 0.3)
ROSETTE, SPOT, BELLY = (0.6, 0.38, 0.16), (0.16, 0.09, 0.05), (0.95, 0.88, 0.76)
BESIDE = np.array([(right, down) for down in (-1, 0, 1) for right in (-1, 0, 1)], np.float32)
MIXED = np.array([[12.9898, 39.425], [78.233, 11.135]], np.float32)  # hashes a cell's indices to pseudo-random numbers
SHARPNESS = 0.03  # width over which parts of the animal blend
STRIPES, CELL = 7.2, 0.15  # stripes per trunk length; side of a cell, which holds one spot


@frozen
class Limb:
    """A rounded part that tapers from one end to the other: radii at both ends."""

    name: str
    start: Point
    end: Point
    radii: tuple[float, float]


@frozen(eq=False)
class Animal:
    """Where an animal stands, how it is built, and how it is posed.

    Attributes:
        place: position of its frame in the scene.
        scale: length of its trunk in the scene.
        facing: 1 to the right, -1 to the left.
        near: limbs on the viewer's side, trunk, neck and head among them.
        far: legs on the other side.
        mane: along the neck, with the ears.
        tail: its limbs.
        eye: position of the eye.
        brown: colour of a plain coat.
        shift: offset of stripes and spots, so that no two animals have the same pattern.
    """

    place: Point
    scale: float
    facing: int
    near: Sequence[Limb]
    far: Sequence[Limb]
    mane: Sequence[Limb]
    tail: Sequence[Limb]
    eye: Point
    brown: Colour
    shift: float


@frozen(eq=False)
class Surface:
    """The pixels of one layer of an animal.

    Attributes:
        cover: share of the pixel that is covered, [N].
        normal: towards the viewer's right, up, and to the viewer, [N, 3].
        limb: index of the limb that the pixel belongs to, [N].
        along: how far along that limb, in lengths of the trunk from its start, [N].
        share: the same as a fraction of the limb's length, [N].
    """

    cover: Array
    normal: Array
    limb: np.ndarray[Any, np.dtype[np.int64]]
    along: Array
    share: Array

    def only(self, seen: Mask) -> "Surface":
        """Return some of the pixels."""
        return Surface(self.cover[seen], self.normal[seen], self.limb[seen], self.along[seen], self.share[seen])


def draw(random: Random, size: tuple[int, int], coat: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Draw an animal on a meadow; the same random numbers give the same scene, whatever the size and the coat.

    Args:
        random: decides animal, pose, place, background and light.
        size: height and width of the picture; the animal fits into the shorter side.
        coat: `plain`, `striped` or `spotted`.

    Returns:
        The picture, [H, W, 3].
    """
    height, width = size
    unit = min(size) / 2
    x = ((np.arange(width) + 0.5 - width / 2) / unit).astype(np.float32)
    y = ((height / 2 - 0.5 - np.arange(height)) / unit).astype(np.float32)
    light = np.array([random.choice((-0.6, 0.6)), 0.65, 0.55], np.float32)
    brightness = random.uniform(0.88, 1.08)
    animal = make_animal(random)
    picture = draw_background(random, x, y)
    _draw_shadow(picture, animal, x, y)
    _draw_animal(picture, animal, x, y, light / np.linalg.norm(light), coat)
    return (picture * (255 * brightness)).clip(0, 255).round().astype(np.uint8)


def faces_left(random: Random) -> bool:
    """Tell whether the animal that `draw` would draw faces left."""
    random.choice((0, 1)), random.uniform(0, 1)  # the light
    return make_animal(random).facing < 0


def make_animal(random: Random) -> Animal:
    """Build an animal and pose it."""
    between = random.uniform
    facing, scale = random.choice((-1, 1)), between(0.76, 0.96)
    thick, legs = between(0.19, 0.225), between(0.95, 1.08)
    back, chest = 0.66 * legs, between(0.64, 0.68) * legs
    rise = math.radians(between(18, 62))  # of the neck
    neck: Point = (0.43 + 0.46 * math.cos(rise), chest + 0.1 + 0.46 * math.sin(rise))
    droop = rise - math.radians(between(82, 105))  # of the head
    muzzle = (neck[0] + 0.29 * math.cos(droop), neck[1] + 0.29 * math.sin(droop))
    poll = (neck[0] - 0.02, neck[1] + 0.02)
    near = [
        Limb("trunk", (-0.36, back), (0.38, chest), (thick * 0.98, thick * 0.93)),
        Limb("trunk", (-0.12, back - 0.035), (0.14, chest - 0.035), (thick * 1.03, thick * 1.03)),
        Limb("neck", (0.4, chest + 0.06), neck, (0.16, 0.092)),
        Limb("head", neck, muzzle, (0.1, 0.056)),
    ]
    stride, turn = between(0.0, 0.17), between(0, 2 * math.pi)
    far: list[Limb] = []
    for number, (hip, behind) in enumerate(((-0.4, True), (-0.36, True), (0.36, False), (0.33, False))):
        swing = stride * math.sin(turn + (0, math.pi, math.pi / 2, 1.5 * math.pi)[number])
        leg = _leg(hip, swing, max(back, chest) - 0.08, behind, max(0.0, stride * math.cos(turn + number)) * 0.25)
        (near if number in (0, 2) else far).extend(leg)
    up = (-math.sin(rise), math.cos(rise))
    root = (0.36 + 0.11 * up[0], chest + 0.12 + 0.11 * up[1])
    mane = [Limb("mane", root, (poll[0] + 0.07 * up[0], poll[1] + 0.07 * up[1]), (0.035, 0.05))]
    ear = (poll[0] + 0.06 * up[0] + 0.01, poll[1] + 0.06 * up[1])
    mane += [Limb("ear", ear, (ear[0] + tip, ear[1] + 0.12), (0.035, 0.012)) for tip in (-0.05, 0.02)]
    sway = between(-0.06, 0.14)
    dock, bend = (-0.54, back + 0.09), (-0.66 - sway / 2, back - 0.12)
    tail = [Limb("dock", dock, bend, (0.045, 0.038)), Limb("tuft", bend, (-0.66 - sway, back - 0.42), (0.045, 0.03))]
    eye = (neck[0] + 0.07 * math.cos(droop) + 0.025 * math.sin(-droop), neck[1] + 0.07 * math.sin(droop) + 0.03)
    brown = random.choice(BROWNS)
    reach = 1 - 0.97 * scale  # the whole animal is visible
    place = (facing * -0.1 * scale + between(-reach, reach), between(-0.88, min(-0.5, 0.97 - 1.45 * scale)))
    return Animal(place, scale, facing, near, far, mane, tail, eye, brown, between(0, 100))


def _leg(hip: float, swing: float, top: float, behind: bool, lift: float) -> list[Limb]:
    """Return the upper and the lower half of a leg, whose hoof stands `swing` before the hip."""
    knee = (hip + 0.45 * swing + (-0.03 if behind else 0.025), 0.3)
    hoof = (hip + swing, 0.035 + lift)
    names = ("thigh", "shank") if behind else ("arm", "shank")
    return [
        Limb(names[0], (hip, top - 0.03), knee, (0.13 if behind else 0.1, 0.052)),
        Limb(names[1], knee, hoof, (0.05, 0.036)),
    ]


def _draw_shadow(picture: Array, animal: Animal, x: Array, y: Array) -> None:
    far = ((x[None] - animal.place[0]) / (0.62 * animal.scale)) ** 2
    far = far + ((y[:, None] - animal.place[1] - 0.02) / (0.085 * animal.scale)) ** 2
    picture *= 1 - 0.45 * np.exp(-1.6 * far * far)[..., None]


def _draw_animal(picture: Array, animal: Animal, x: Array, y: Array, light: Array, coat: str) -> None:
    """Draw the layers of an animal, the farthest first: far legs, tail, mane and ears, the rest."""
    u, v = animal.facing * (x - animal.place[0]) / animal.scale, (y - animal.place[1]) / animal.scale
    columns, rows = np.nonzero((u > -0.9) & (u < 1.25))[0], np.nonzero((v > -0.06) & (v < 1.5))[0]
    if not len(columns) or not len(rows):
        return
    window = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    grid = np.stack(np.broadcast_arrays(u[columns][None], v[rows][:, None]), axis=-1)  # [H, W, 2]
    pixel = abs(float(x[1] - x[0])) / animal.scale if len(x) > 1 else 1.0
    paint = COATS[coat]
    layers = ((animal.far, 0.68), (animal.tail, 0.92), (animal.mane, 0.98), (animal.near, 1.0))
    for limbs, dim in layers:
        inside = _near(grid, limbs)
        points = grid[inside]
        surface = _surface(points, limbs, pixel)
        seen = surface.cover > 0
        inside[inside], points, surface = seen, points[seen], surface.only(seen)
        colour = paint(points, surface, limbs, animal, pixel)
        normal = surface.normal * np.array([animal.facing, 1, 1], np.float32)
        shade = dim * (0.5 + 0.62 * (normal @ light).clip(0, None))
        window[inside] += surface.cover[:, None] * (colour * shade[:, None] - window[inside])
    away = np.hypot(grid[..., 0] - animal.eye[0], grid[..., 1] - animal.eye[1])
    blend(window, cover(away - 0.02, pixel), BLACK)
    glint = np.hypot(grid[..., 0] - animal.eye[0] - 0.006, grid[..., 1] - animal.eye[1] - 0.007)
    blend(window, cover(glint - 0.006, pixel), (0.9, 0.9, 0.9))


def _near(grid: Array, limbs: Sequence[Limb]) -> Mask:
    """Return which pixels may belong to limbs: those in a box around them."""
    ends = np.array([(*limb.start, *limb.end) for limb in limbs], np.float32).reshape(-1, 2)
    margin = max(max(limb.radii) for limb in limbs) + SHARPNESS
    low, high = ends.min(0) - margin, ends.max(0) + margin
    return ((grid > low) & (grid < high)).all(-1)  # type: ignore[no-any-return]


def _surface(points: Array, limbs: Sequence[Limb], pixel: float) -> Surface:
    """Return the surface at points [N, 2], where limbs blend into each other."""
    distances, normals, shares = [], [], []
    for limb in limbs:
        start, axis = np.array(limb.start, np.float32), np.subtract(limb.end, limb.start).astype(np.float32)
        share = ((points - start) @ axis / (axis @ axis)).clip(0, 1)
        away = points - start - share[:, None] * axis
        radius = limb.radii[0] + (limb.radii[1] - limb.radii[0]) * share
        distances.append(np.sqrt((away * away).sum(1)) - radius)
        normals.append(away / radius[:, None])
        shares.append(share)
    distance = np.stack(distances)  # [L, N]
    limb_of = distance.argmin(0)
    nearest = distance.min(0)
    weights = np.exp((nearest - distance) / SHARPNESS)
    total = weights.sum(0)
    distance = nearest - SHARPNESS * np.log(total)
    flat = np.einsum("ln,lnc->nc", weights / total, np.stack(normals))
    steep = (flat * flat).sum(1, keepdims=True)
    flat = flat / np.sqrt(steep.clip(1, None))
    normal = np.concatenate([flat, np.sqrt((1 - steep).clip(0, None))], axis=1)
    share = np.stack(shares)[limb_of, np.arange(len(points))]
    long = np.array([math.dist(limb.start, limb.end) for limb in limbs], np.float32)
    return Surface(cover(distance, pixel), normal, limb_of, share * long[limb_of], share)


def _plain(points: Array, surface: Surface, limbs: Sequence[Limb], animal: Animal, pixel: float) -> Array:
    """A horse's: one brown, mane and tail nearly black, muzzle and hooves dark."""
    brown = np.array(animal.brown, np.float32)
    colour = np.tile(brown, (len(points), 1))
    hair = _among(surface, limbs, "mane", "tuft", "dock")
    colour[hair] = brown * 0.3
    dark = _ends(surface, limbs, {"shank": 0.25, "head": 0.72})
    return colour * (1 - 0.65 * dark[:, None])


def _striped(points: Array, surface: Surface, limbs: Sequence[Limb], animal: Animal, pixel: float) -> Array:
    """A zebra's: black across every limb on cream, slanted towards the rump; muzzle and hooves black."""
    u, v = points.T
    trunk = _among(surface, limbs, "trunk", "thigh", "arm")
    leg, head = _among(surface, limbs, "shank"), _among(surface, limbs, "head", "ear")
    lean = np.where(u < 0, 0.75 * u * (v - 0.35), 0.0)
    phase = np.where(trunk, u + lean, surface.along) * STRIPES * np.where(leg, 1.5, np.where(head, 1.35, 1.0))
    phase = 2 * math.pi * phase + animal.shift + 0.5 * np.sin(7 * v + animal.shift) + 0.35 * np.sin(17 * u - 5 * v)
    rate = 2 * math.pi * STRIPES * 1.2
    black = (0.5 + (np.sin(phase) - 0.05) / (rate * pixel)).clip(0, 1)
    belly = trunk & (surface.normal[:, 1] < -0.55)
    black = np.where(belly, black * (1 + (surface.normal[:, 1] + 0.55) / 0.4).clip(0, 1), black)
    black = np.where(_among(surface, limbs, "tuft"), 0.85, black)
    black = np.maximum(black, _ends(surface, limbs, {"shank": 0.82, "head": 0.72}))
    cream, ink = np.array(CREAM, np.float32), np.array(BLACK, np.float32)
    return cream + (ink - cream) * black[:, None]


def _spotted(points: Array, surface: Surface, limbs: Sequence[Limb], animal: Animal, pixel: float) -> Array:
    """A leopard's: rosettes on gold, a pale belly, the end of the tail dark."""
    gold, pale = np.array(GOLD, np.float32), np.array(BELLY, np.float32)
    below = ((-surface.normal[:, 1] - 0.3) / 0.5).clip(0, 1) * _among(surface, limbs, "trunk", "neck", "thigh", "arm")
    colour = gold + (pale - gold) * below[:, None]
    size = np.where(_among(surface, limbs, "trunk", "thigh", "neck"), 1.0, 0.72).astype(np.float32)
    reach, edge = _spots(points / size[:, None], animal.shift), pixel / (CELL * size)
    outer = (0.5 - (reach - 0.36) / edge).clip(0, 1)
    inner = (0.5 - (reach - 0.15) / edge).clip(0, 1) * (size == 1)
    for share, ink in ((outer, SPOT), (inner, ROSETTE)):
        colour = colour + share[:, None] * (np.array(ink, np.float32) - colour)
    dark = np.maximum(_ends(surface, limbs, {"tuft": 0.55}), 0.7 * _ends(surface, limbs, {"head": 0.88, "shank": 0.88}))
    return colour * (1 - 0.8 * dark[:, None])  # type: ignore[no-any-return]


COATS: dict[str, Callable[[Array, Surface, Sequence[Limb], Animal, float], Array]] = {
    "plain": _plain,
    "striped": _striped,
    "spotted": _spotted,
}


def _spots(points: Array, shift: float) -> Array:
    """Return the distance of points [N, 2] from the nearest spot's centre, in cells; each cell has one spot."""
    places = points / CELL + shift
    places[:, 0] += 0.5 * (np.floor(places[:, 1]) % 2)  # cells lie like bricks
    cells = np.floor(places)[:, None] + BESIDE  # [N, 9, 2]
    noise = np.sin(cells @ MIXED) * 307.1
    middles = cells + 0.5 + 0.22 * np.sin(noise)
    away = places[:, None] - middles
    away[..., 0] += 0.5 * (cells[..., 1] % 2 - cells[:, 4:5, 1] % 2)  # the rows above and below lie half a brick aside
    nearest: Array = np.sqrt((away * away).sum(-1).min(1))
    return nearest


def _among(surface: Surface, limbs: Sequence[Limb], *names: str) -> Mask:
    """Return which pixels belong to limbs of these names."""
    found: Mask = np.array([limb.name in names for limb in limbs])[surface.limb]
    return found


def _ends(surface: Surface, limbs: Sequence[Limb], begins: dict[str, float]) -> Array:
    """Return 1 near the end of the named limbs, from the given share of their length on, and 0 elsewhere."""
    begin = np.array([begins.get(limb.name, 2.0) for limb in limbs], np.float32)[surface.limb]
    found: Array = ((surface.share - begin) * 12 + 0.5).clip(0, 1)
    return found
