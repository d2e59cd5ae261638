"""A small ray caster: shaded convex parts on a plain background, one picture at a time."""

import math
from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

Vector = tuple[float, float, float]

FIELD_OF_VIEW = 25.0  # degrees
DISTANCE = 4.9  # of the camera from the origin; a ball of radius 1 just fits into the picture
SAMPLES = 3  # rays along each side of a pixel
LIGHT = (-0.45, 0.75, 0.6)  # where light comes from, as the camera sees it
AMBIENT = 0.45
FAR = 1e6


@frozen
class Part:
    """A convex solid: the intersection of half-spaces and an optional quadric, in its own frame.

    Attributes:
        colour: red, green and blue in 0..1.
        planes: [P, 4]; a point p is inside where p . planes[:, :3] <= planes[:, 3].
        quadric: [3] weights w; a point is inside where sum(w p^2) <= 1. Zero along a cylinder's axis.
        centre: origin of the frame.
        turn: [3, 3] rotation from the part's frame into the object's.
        radius: radius of a ball around the centre that contains the part.
        gloss: strength of the highlight.
    """

    colour: Vector
    planes: Tensor
    quadric: Tensor
    centre: Tensor
    turn: Tensor
    radius: float
    gloss: float = 0.0


def box(colour: Vector, centre: Vector, half: Vector, *, tilt: float = 0.0, gloss: float = 0.0) -> Part:
    """Make a box of half sizes, tilted about the x axis (degrees)."""
    return frustum(colour, centre, half, half, tilt=tilt, gloss=gloss)


def frustum(
    colour: Vector,
    centre: Vector,
    bottom: Vector,
    top: Vector,
    *,
    forward: float = 0.0,
    tilt: float = 0.0,
    gloss: float = 0.0,
) -> Part:
    """Make a box whose top is smaller or larger than its bottom.

    Args:
        colour: its colour.
        centre: halfway between bottom and top.
        bottom: half sizes (x, y, z) at the bottom; y is half of the height.
        top: half sizes at the top.
        forward: how far the top's centre lies in front of the bottom's.
        tilt: rotation about the x axis, in degrees.
        gloss: strength of the highlight.
    """
    height = bottom[1]
    planes = [[0.0, 1.0, 0.0, height], [0.0, -1.0, 0.0, height]]
    for sign in (1.0, -1.0):
        slope = (top[0] - bottom[0]) / (2 * height)
        planes.append([sign, -slope, 0.0, (bottom[0] + top[0]) / 2])
        low, high = sign * bottom[2], forward + sign * top[2]
        slope = sign * (high - low) / (2 * height)
        planes.append([0.0, -slope, sign, sign * (low + high) / 2])
    wide, deep = max(bottom[0], top[0]), max(bottom[2], top[2] + abs(forward))
    return _part(colour, centre, torch.tensor(planes), (0.0, 0.0, 0.0), tilt, math.hypot(wide, height, deep), gloss)


def ellipsoid(
    colour: Vector,
    centre: Vector,
    radii: Vector,
    *,
    planes: Sequence[Sequence[float]] = (),
    tilt: float = 0.0,
    gloss: float = 0.0,
) -> Part:
    """Make an ellipsoid, cut by planes [nx, ny, nz, d] that keep n . p <= d (in its own frame)."""
    cuts = torch.tensor(planes) if planes else torch.zeros(0, 4)
    x, y, z = radii
    return _part(colour, centre, cuts, (x**-2, y**-2, z**-2), tilt, max(radii), gloss)


def cylinder(
    colour: Vector, centre: Vector, radius: float, half: float, *, axis: int = 1, tilt: float = 0.0, gloss: float = 0.0
) -> Part:
    """Make a cylinder along x (0), y (1) or z (2)."""
    along = [float(axis == number) for number in range(3)]
    planes = torch.tensor([[*along, half], [*(-value for value in along), half]])
    x, y, z = ((1 - value) / radius**2 for value in along)
    return _part(colour, centre, planes, (x, y, z), tilt, math.hypot(radius, half), gloss)


def _part(
    colour: Vector, centre: Vector, planes: Tensor, quadric: Vector, tilt: float, radius: float, gloss: float
) -> Part:
    turn = _turn(0, math.radians(tilt))
    return Part(colour, planes, torch.tensor(quadric), torch.tensor(centre), turn, radius, gloss)


def render(
    parts: Sequence[Part],
    size: tuple[int, int],
    azimuth: float,
    elevation: float = 10.0,
    ground: Vector = (1.0, 1.0, 1.0),
) -> Tensor:
    """Render an object that faces +z, with its top towards +y, inside a ball of radius 1.

    Args:
        parts: parts of the object.
        size: height and width of the picture; the ball fits into the shorter side.
        azimuth: degrees; 0 shows the front, at +90 the front points to the left of the picture.
        elevation: degrees of the camera above the horizon.
        ground: colour behind the object.

    Returns:
        The picture, float [3, H, W] in 0..1.
    """
    height, width = size[0] * SAMPLES, size[1] * SAMPLES
    reach = math.tan(math.radians(FIELD_OF_VIEW / 2)) / min(height, width)
    y, x = torch.meshgrid(
        (height - 1 - 2 * torch.arange(height)) * reach, (2 * torch.arange(width) - width + 1) * reach, indexing="ij"
    )
    rays = normalize(torch.stack([x, y, -torch.ones_like(x)], dim=-1).reshape(-1, 3), dim=1)  # [S, 3]
    # From the camera's frame into the object's: down by the elevation, then against the azimuth.
    turn = _turn(1, math.radians(azimuth)) @ _turn(0, -math.radians(elevation))
    origin = turn @ torch.tensor([0.0, 0.0, DISTANCE])
    rays = rays @ turn.T
    light = turn @ normalize(torch.tensor(LIGHT), dim=0)

    nearest = torch.full((len(rays),), FAR)
    picture = torch.tensor(ground).expand(len(rays), 3).clone()
    for part in parts:
        away = part.centre - origin
        near = (rays @ away > math.sqrt(max(0.0, float(away @ away) - part.radius**2))).nonzero().flatten()
        distance, normal = _meet(part, origin, rays[near])
        first = distance < nearest[near]
        hit = near[first]
        nearest[hit] = distance[first]
        picture[hit] = _shade(part, normal[first], rays[hit], light)
    whole = picture.T.reshape(1, 3, height, width)
    return avg_pool2d(whole, SAMPLES)[0].clamp(0, 1)


def _meet(part: Part, origin: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
    """Return where rays enter a part, [S], or FAR if they miss it, and the outward normals there, [S, 3]."""
    start = part.turn.T @ (origin - part.centre)
    rays = rays @ part.turn
    enter, leave = torch.full((len(rays),), -FAR), torch.full((len(rays),), FAR)
    normal = torch.zeros_like(rays)
    if part.quadric.any():
        a, b = rays.square() @ part.quadric, rays @ (part.quadric * start)
        c = start.square() @ part.quadric - 1
        root = (b * b - a * c).clamp_min(0).sqrt()
        crosses = (b * b > a * c) & (a > 1e-9)
        enter = torch.where(crosses, (-b - root) / a.clamp_min(1e-9), FAR)
        leave = torch.where(crosses, (-b + root) / a.clamp_min(1e-9), -FAR)
        normal = (start + enter[:, None] * rays) * part.quadric
    for plane in part.planes:
        towards, ahead = rays @ plane[:3], plane[3] - start @ plane[:3]
        at = ahead / torch.where(towards.abs() < 1e-9, 1e-9, towards)
        inward = (towards < 0) & (at > enter)
        enter = torch.where(inward, at, enter)
        normal = torch.where(inward[:, None], plane[:3], normal)
        leave = torch.where((towards >= 0) & (at < leave), at, leave)
    distance = torch.where((enter < leave) & (enter > 0), enter, FAR)
    return distance, normalize(normal, dim=1) @ part.turn.T


def _shade(part: Part, normal: Tensor, rays: Tensor, light: Tensor) -> Tensor:
    """Lambert's law with an even ambient light and, for glossy parts, a highlight."""
    facing = (normal @ light).clamp_min(0)
    shaded = torch.tensor(part.colour) * (AMBIENT + (1 - AMBIENT) * facing)[:, None]
    if part.gloss:
        mirrored = rays - 2 * (rays * normal).sum(1, keepdim=True) * normal
        shaded = shaded + part.gloss * (mirrored @ light).clamp_min(0).pow(20)[:, None]
    return shaded


def _turn(axis: int, angle: float) -> Tensor:
    """Return the rotation matrix about x (0) or y (1)."""
    c, s = math.cos(angle), math.sin(angle)
    if axis == 0:
        return torch.tensor([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    return torch.tensor([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
