"""What pixels hint at which angles belong together, before anything is trained: the table of classes.md.

python docs/results/angles.py [MODELS] renders so many models of cars, chairs and heads from eleven angles.
"""

import sys
from itertools import combinations
from random import Random

import torch
from torch import Tensor

from ganforge_data.render import render
from ganforge_data.shapes import SHAPES

ANGLES = torch.arange(-75, 76, 15)


def pictures(shape: str, models: int) -> Tensor:
    """Return the pixels of models from all angles, [models, angles, pixels]."""
    parts = [SHAPES[shape](Random(f"0 {shape} {model}")) for model in range(models)]
    return torch.stack(
        [torch.stack([render(one, (64, 64), float(angle)).flatten() for angle in ANGLES]) for one in parts]
    )


def edges(pixels: Tensor) -> Tensor:
    """Return the size of the grey pictures' gradient, as [models, angles, pixels]."""
    grey = pixels.unflatten(2, (3, 64, 64)).mean(2)
    across, down = grey[..., 1:, 1:] - grey[..., 1:, :-1], grey[..., 1:, 1:] - grey[..., :-1, 1:]
    return (across.square() + down.square()).sqrt().flatten(2)


def between(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean squared distance over all pairs of models for each pair of angles, [angles of A, angles of B]."""
    return (
        torch.cdist(a.flatten(0, 1), b.flatten(0, 1))
        .square()
        .unflatten(1, b.shape[:2])
        .unflatten(0, a.shape[:2])
        .mean((0, 2))
    )


def best_mapping(distances: Tensor) -> list[int]:
    """Return the one-to-one mapping of angles with a small sum of distances: swaps are made while any helps."""
    mapping = list(range(len(distances)))
    swapped = True
    while swapped:
        swapped = False
        for one, two in combinations(range(len(mapping)), 2):
            now = distances[one, mapping[one]] + distances[two, mapping[two]]
            if distances[one, mapping[two]] + distances[two, mapping[one]] < now - 1e-6:
                mapping[one], mapping[two], swapped = mapping[two], mapping[one], True
    return mapping


def main(models: int) -> None:
    """Print both tables."""
    found = {shape: pictures(shape, models) for shape in SHAPES}
    for name, seen in {"pixels": found, "edges": {shape: edges(pixels) for shape, pixels in found.items()}}.items():
        for a, b in (("chair", "car"), ("car", "head")):
            distances = between(seen[a], seen[b])
            mapping = best_mapping(distances)
            measured = {
                "straight": distances.diagonal().mean(),
                "mirrored": distances.flip(1).diagonal().mean(),
                "best": distances[range(len(mapping)), mapping].mean(),
            }
            shares = {what: round(float(value / distances.mean()), 3) for what, value in measured.items()}
            error = min(float((ANGLES[mapping] - sign * ANGLES).float().square().mean().sqrt()) for sign in (1, -1))
            print(f"{name}, {a} to {b}: {shares}; best: {ANGLES[mapping].tolist()}, RMSE {error:.1f}")  # noqa: T201
        for shape, pixels in seen.items():
            same = torch.cdist(pixels, pixels).square().mean(0)  # [angles, angles], of one model
            apart = torch.stack([same.diagonal(places).mean() for places in range(len(ANGLES))])
            shares = [round(float(distance / apart.max()), 2) for distance in apart]
            print(f"{name}, {shape}, one model from 0 to 150 degrees apart: {shares}")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
