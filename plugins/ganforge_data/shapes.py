"""Random cars, chairs and heads that face +z, with their top towards +y, within a ball of radius 1."""

import colorsys
from collections.abc import Callable
from random import Random

from ganforge_data.render import Part, Vector, box, cylinder, ellipsoid, frustum

BLACK, DARK, SILVER = (0.06, 0.06, 0.07), (0.16, 0.17, 0.19), (0.72, 0.73, 0.75)
GLASS, LAMP, RED, WHITE = (0.16, 0.21, 0.27), (1.0, 0.96, 0.75), (0.8, 0.08, 0.08), (0.96, 0.96, 0.95)
SKINS = ((0.98, 0.84, 0.74), (0.93, 0.74, 0.6), (0.8, 0.6, 0.44), (0.6, 0.41, 0.29), (0.42, 0.28, 0.2))
HAIRS = (
    (0.1, 0.08, 0.07),
    (0.28, 0.17, 0.1),
    (0.47, 0.3, 0.16),
    (0.85, 0.68, 0.35),
    (0.6, 0.22, 0.1),
    (0.65, 0.65, 0.66),
)
WOODS = ((0.55, 0.35, 0.2), (0.4, 0.24, 0.14), (0.75, 0.55, 0.35), (0.25, 0.17, 0.12))


def car(random: Random) -> list[Part]:
    """A saloon, an estate, a coupe or a van: body, cabin of glass under a roof, wheels, lamps, bumpers."""
    between = random.uniform
    paint = _paint(random)
    length, width = between(0.82, 0.92), between(0.35, 0.41)
    low, belt = -0.26, between(0.0, 0.06)  # the sills, and where the windows begin
    kind = random.choice(("saloon", "estate", "coupe", "van"))
    front = {"saloon": 0.3, "estate": 0.3, "coupe": 0.22, "van": 0.62}[kind] + between(-0.05, 0.05)  # of the cabin
    back = {"saloon": -0.62, "estate": -0.86, "coupe": -0.68, "van": -0.88}[kind] + between(-0.03, 0.03)
    rise = {"saloon": 0.27, "estate": 0.28, "coupe": 0.23, "van": 0.42}[kind] + between(-0.02, 0.03)
    rake, hatch = between(0.18, 0.28), {"saloon": 0.18, "estate": 0.07, "coupe": 0.34, "van": 0.03}[kind]
    back = max(back, -length + 0.03)

    middle = (low + belt) / 2
    parts = [
        frustum(paint, (0, middle, 0), (width, belt - middle, length), (width * 0.93, 0, length * 0.96), gloss=0.35),
        box(DARK, (0, low + 0.05, 0), (width * 1.01, 0.05, length * 1.015)),  # bumpers and sills
    ]
    bottom = (front - back) / 2
    top = (front - rake - (back + hatch)) / 2
    forward = (front - rake + back + hatch) / 2 - (front + back) / 2
    cabin = (0.0, belt + rise / 2, (front + back) / 2)
    inner, roof = width * 0.9, width * 0.72
    parts.append(frustum(GLASS, cabin, (inner, rise / 2, bottom), (roof, 0, top), forward=forward, gloss=0.5))
    shift = (front + back) / 2 + forward
    parts.append(
        frustum(paint, (0, belt + rise, shift), (roof * 1.04, 0.025, top * 1.04), (roof * 0.9, 0, top * 0.9), gloss=0.3)
    )
    for place in (0.0, -0.5 if kind in ("estate", "van") else 0.0):  # pillars between the side windows
        z = shift + place * top
        parts.append(frustum(paint, (0, belt + rise / 2, z), (inner * 1.01, rise / 2, 0.03), (roof * 1.02, 0, 0.03)))
    if kind == "van":
        parts.append(
            frustum(
                paint,
                (0, belt + rise / 2, back + 0.35),
                (inner * 1.015, rise / 2, 0.33),
                (roof * 1.04, 0, 0.3),
                gloss=0.2,
            )
        )

    radius = between(0.15, 0.18)
    for z in (length * between(0.58, 0.64), -length * between(0.56, 0.62)):
        for side in (1, -1):
            parts.append(cylinder(BLACK, (side * width * 0.88, low, z), radius, 0.075, axis=0))
            parts.append(cylinder(SILVER, (side * width * 0.9, low, z), radius * 0.58, 0.085, axis=0, gloss=0.3))
    lamps = between(0.05, 0.07)
    for side in (1, -1):
        parts.append(
            ellipsoid(LAMP, (side * width * 0.68, middle + 0.04, length * 0.95), (0.1, lamps, 0.07), gloss=0.6)
        )
        parts.append(box(RED, (side * width * 0.75, middle + 0.05, -length * 0.965), (0.07, lamps, 0.03)))
        parts.append(
            ellipsoid(paint, (side * (width + 0.03), belt + 0.05, front - 0.06), (0.06, 0.04, 0.03))
        )  # mirrors
    parts.append(box(BLACK, (0, middle - 0.02, length * 0.975), (width * 0.35, 0.045, 0.02)))  # the grille
    parts.append(box(WHITE, (0, low + 0.07, -length * 1.01), (0.12, 0.035, 0.02)))  # the plate, behind
    return parts


def chair(random: Random) -> list[Part]:
    """A chair with four legs or a column, a solid or slatted back, with or without arms."""
    between = random.uniform
    frame, cover = random.choice((*WOODS, DARK, SILVER)), random.choice((_paint(random), random.choice(WOODS)))
    width, depth = between(0.36, 0.46), between(0.34, 0.42)
    seat, thick = between(-0.16, -0.06), between(0.03, 0.07)
    floor, top = -0.82, between(0.55, 0.85)
    lean = between(4, 12)

    parts = [box(cover, (0, seat, 0), (width, thick, depth), gloss=0.1)]
    if random.random() < 0.75:
        thin = between(0.03, 0.05)
        half = (seat - floor) / 2
        for x in (width - thin, thin - width):
            for z in (depth - thin, thin - depth):
                leg = (x, floor + half, z)
                round_legs = cylinder(frame, leg, thin, half)
                parts.append(round_legs if random.random() < 0.5 else box(frame, leg, (thin, half, thin)))
    else:
        parts.append(cylinder(frame, (0, (seat + floor) / 2, 0), 0.06, (seat - floor) / 2))
        parts.append(box(frame, (0, floor + 0.03, 0), (width, 0.03, 0.05)))
        parts.append(box(frame, (0, floor + 0.03, 0), (0.05, 0.03, width)))

    rear, half = -depth, (top - seat) / 2
    offset = -half * 0.1 - 0.02
    style = random.choice(("solid", "slats", "ladder"))
    if style == "solid":
        low = between(0.0, 0.35) * half
        parts.append(
            box(cover, (0, seat + half + low, rear + offset), (width * 0.95, half - low, 0.045), tilt=-lean, gloss=0.1)
        )
    for x in (width * 0.9, -width * 0.9):
        parts.append(box(frame, (x, seat + half, rear + offset), (0.04, half, 0.04), tilt=-lean))
    if style == "slats":
        for number in range(5):
            x = (number - 2) * width * 0.38
            parts.append(box(frame, (x, seat + half, rear + offset), (0.035, half * 0.95, 0.025), tilt=-lean))
        parts.append(box(frame, (0, top - 0.05, rear + offset - half * 0.16), (width * 0.94, 0.07, 0.045), tilt=-lean))
    if style == "ladder":
        for share in (0.35, 0.65, 0.93):
            y = seat + 2 * half * share
            z = rear + offset - (y - seat - half) * 0.14
            parts.append(box(cover, (0, y, z), (width * 0.94, 0.075, 0.035), tilt=-lean))
    if random.random() < 0.35:
        for x in (width * 0.98, -width * 0.98):
            parts.append(box(frame, (x, seat + 0.26, -0.03), (0.045, 0.03, depth * 0.95)))
            parts.append(box(frame, (x, seat + 0.13, depth * 0.8), (0.035, 0.13, 0.035)))
    return parts


def head(random: Random) -> list[Part]:
    """A head on shoulders: skull and jaw, nose, eyes with brows, mouth, ears, and hair."""
    between = random.uniform
    skin, hair, shirt = random.choice(SKINS), random.choice(HAIRS), _paint(random)
    skin = tuple(min(1.0, max(0.0, value + between(-0.03, 0.03))) for value in skin)  # type: ignore[assignment]
    darker: Vector = (skin[0] * 0.9, skin[1] * 0.86, skin[2] * 0.84)
    width, height, depth = between(0.4, 0.47), between(0.55, 0.62), between(0.48, 0.54)
    y = 0.16
    parts = [
        ellipsoid(skin, (0, y, 0), (width, height, depth)),
        ellipsoid(skin, (0, y - 0.26, 0.1), (width * between(0.72, 0.86), 0.36, depth * 0.76)),  # the jaw
        cylinder(darker, (0, -0.55, -0.06), 0.22, 0.3),
        ellipsoid(shirt, (0, -1.02, -0.08), (0.78, 0.36, 0.36), planes=[[0.0, -1.0, 0.0, 0.0]]),
    ]
    parts += [ellipsoid(darker, (side * width * 0.99, y - 0.05, -0.03), (0.06, 0.13, 0.09)) for side in (1, -1)]

    level, apart = y + 0.05, width * between(0.4, 0.46)
    iris = random.choice(((0.2, 0.13, 0.08), (0.2, 0.35, 0.5), (0.25, 0.4, 0.25)))
    for side in (1, -1):
        place = depth * 0.87
        parts.append(ellipsoid(WHITE, (side * apart, level, place), (0.1, 0.06, 0.06), gloss=0.3))
        parts.append(ellipsoid(iris, (side * apart, level, place + 0.035), (0.052, 0.055, 0.045)))
        parts.append(box(hair, (side * apart, level + 0.14, place + 0.01), (0.12, 0.022, 0.05)))
    long = between(0.07, 0.12)
    parts.append(frustum(darker, (0, y - 0.09, depth + 0.02), (0.085, 0.14, long), (0.035, 0, 0.03), forward=-0.06))
    lips = (min(1.0, skin[0] * 0.85 + 0.08), skin[1] * 0.55, skin[2] * 0.55)
    parts.append(ellipsoid(lips, (0, y - 0.36, depth * 0.8), (between(0.12, 0.17), 0.045, 0.1)))

    style = random.choice(("short", "short", "long", "bald"))
    if style != "bald":
        line = between(0.2, 0.32)  # how far down the forehead it begins
        cut = [0.0, -0.8, 0.6, line - 0.12]  # the face below and in front of the hairline is free
        parts.append(ellipsoid(hair, (0, y + 0.06, -0.03), (width * 1.1, height * 1.03, depth * 1.08), planes=[cut]))
    if style == "long":
        cut = [0.0, 0.0, 1.0, 0.02]
        parts.append(ellipsoid(hair, (0, y - 0.22, -0.12), (width * 1.22, 0.68, depth * 0.9), planes=[cut]))
    if style != "long" and random.random() < 0.25:
        cut = [0.0, 1.0, 0.1, -0.02]
        parts.append(ellipsoid(hair, (0, y - 0.29, 0.11), (width * 0.86, 0.37, depth * 0.78), planes=[cut]))  # a beard
    return parts


SHAPES: dict[str, Callable[[Random], list[Part]]] = {"car": car, "chair": chair, "head": head}


def _paint(random: Random) -> Vector:
    """Return a colour of a car's paint or of cloth: mostly vivid, sometimes grey."""
    if random.random() < 0.3:
        grey = random.choice((0.15, 0.45, 0.7, 0.92))
        return (grey, grey, grey + 0.02)
    return colorsys.hsv_to_rgb(random.random(), random.uniform(0.55, 0.9), random.uniform(0.5, 0.95))
