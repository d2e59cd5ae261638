"""Data of a few tiny pictures, and settings that all methods share."""

from pathlib import Path

import numpy as np
from PIL import Image


def draw_folders(root: Path, side: int = 8, count: int = 6) -> Path:
    """Draw pictures of noise, darker in A than in B."""
    random = np.random.default_rng(0)
    for number, name in enumerate(("trainA", "trainB", "testA", "testB")):
        (root / name).mkdir(parents=True)
        for index in range(count):
            pixels = random.integers(0, 128, (side, side, 3)) + 127 * (number % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{index}.png")
    return root


def draw_negatives(root: Path, side: int = 8, count: int = 6) -> Path:
    """Draw pictures of noise, each with its negative to the right of it."""
    random = np.random.default_rng(0)
    for name in ("train", "test"):
        (root / name).mkdir(parents=True)
        for index in range(count):
            pixels = random.integers(0, 256, (side, side, 3)).astype(np.uint8)
            Image.fromarray(np.concatenate([pixels, 255 - pixels], 1)).save(root / name / f"{index}.png")
    return root


SETTINGS = """
[coupling]
use = "{coupling}"
[optimizer]
use = "adam"
[train]
steps = 6
batch = 3
[record]
sample_every = 0
checkpoint_every = 4
observers = []
"""


def settings(coupling: str, root: Path | None = None) -> str:
    """Write the tables that do not matter to a method; with a root, those of a data set of pictures too."""
    data = f'[dataset]\nuse = "folders"\nroot = "{root}"\nsize = 8\n' if root else ""
    return data + SETTINGS.format(coupling=coupling)
