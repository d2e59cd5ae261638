"""Curves of numbers over a training, in bounded memory."""

from collections.abc import Mapping
from operator import itemgetter

POINTS = 500  # of a curve, at most
WAITING = 8 * POINTS  # points after which a curve is thinned
CURVES = 200  # of a kind, at most
NAME_LENGTH = 200  # characters of a curve's name, at most
LARGEST = 1e30  # larger values are not shown, and values below its inverse count as zero

Point = tuple[int, float]  # step, value
Courses = dict[str, list[Point]]  # by name


def follow(courses: Courses, step: int, values: Mapping[str, float]) -> None:
    """Add values to their curves, of which there are at most `CURVES`."""
    for name, value in values.items():
        points = courses.get(name)
        if points is None:
            if len(courses) == CURVES or len(name) > NAME_LENGTH:
                continue
            points = courses[name] = []
        points.append((step, value))
        if len(points) > WAITING:
            points[:] = thinned(points)


def thinned(points: list[Point]) -> list[Point]:
    """Return at most `POINTS` points, by step: the ends, and the extremes within equal ranges of steps.

    Thinning again with more points keeps the extremes. Values that no chart can show are left out.
    """
    plain = [(step, value if abs(value) > 1 / LARGEST else 0.0) for step, value in points if abs(value) < LARGEST]
    points = sorted(plain, key=itemgetter(0))
    if len(points) <= POINTS:
        return points
    first, last = points[0], points[-1]
    ranges = (POINTS - 2) // 2
    extremes: dict[int, tuple[Point, Point]] = {}
    for point in points:
        place = (point[0] - first[0]) * ranges // (last[0] - first[0] + 1)
        low, high = extremes.get(place, (point, point))
        extremes[place] = (point if point[1] < low[1] else low, point if point[1] > high[1] else high)
    kept = dict.fromkeys([first, *(point for pair in extremes.values() for point in pair), last])
    return sorted(kept, key=itemgetter(0))
