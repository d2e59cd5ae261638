"""The pictures of a run in its report: unchanged, or reduced if they are too many or too large."""

import math
import os
import re
import warnings
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from attrs import frozen
from PIL import Image

from ganforge import InputError, leads_out, open_inside, read_inside
from ganforge_observers.report.texts import number

SHOWN_SAMPLES = 24
SHOWN_FIGURES = 24
SAMPLE_BYTES = 4_500_000  # of all sample pictures; a third more in base64
FIGURE_BYTES = 1_500_000
PICTURE_BYTES = 1 << 25  # larger files are left out
WIDEST = 1600  # pixels of a reduced picture
NARROWEST = 240
INITIAL = "_initial"
PNG_END = b"IEND\xaeB`\x82"


@frozen
class Picture:
    """A picture embedded in the page."""

    label: str
    data: str
    width: int
    height: int


def sample_files(folder: Path) -> list[tuple[int, str]]:
    """Return the sample pictures with their steps, in order."""
    found = [(re.fullmatch(r"samples/step-(\d{1,15})\.png", name), name) for name in pictures_of(folder, "samples")]
    return sorted((int(step[1]), name) for step, name in found if step)


def figure_files(folder: Path) -> list[tuple[str, str]]:
    """Return the figures with their labels: for each the initial state, then the last and the best weights."""
    best = [(stem, 2, name) for stem, name in _stems(folder, "figures/best") if not stem.endswith(INITIAL)]
    bests = {stem for stem, _, _ in best}
    last = [(stem, 0 if stem.endswith(INITIAL) else 1, name) for stem, name in _stems(folder, "figures")]
    labels = {0: "", 1: " (last)", 2: " (best)"}
    ordered = sorted(last + best, key=lambda one: (one[0].removesuffix(INITIAL), one[1]))
    return [(stem + (labels[rank] if stem in bests else ""), name) for stem, rank, name in ordered[:SHOWN_FIGURES]]


def _stems(folder: Path, part: str) -> list[tuple[str, str]]:
    return [(Path(name).stem, name) for name in pictures_of(folder, part)]


def pictures_of(folder: Path, part: str) -> list[str]:
    """Return the names of the pictures in a subfolder of the run; none if it is a link elsewhere."""
    if leads_out(folder / part, folder):
        return []
    return [f"{part}/{path.name}" for path in (folder / part).glob("*.png")]


def spread(files: Sequence[tuple[int, str]], most: int) -> list[tuple[str, str]]:
    """Select every file, or every second, fourth, ... one, and the last one.

    So nearly all files selected at one checkpoint are selected at the next, and need not be reduced again.
    """
    stride = 1
    while len(chosen := [*files[:-1:stride], *files[-1:]]) > most:
        stride *= 2
    return [(number(step), name) for step, name in chosen]


def embed(folder: Path, files: Sequence[tuple[str, str]], budget: int) -> list[Picture]:
    """Embed pictures, and reduce large ones so that all fit into `budget` bytes."""
    facts = {name: facts_of(folder, name) for _, name in files}
    share = budget // len(files) if sum(size for size, _ in facts.values()) > budget else budget
    found = []
    for label, name in files:
        size, changed = facts[name]
        if not 0 < size <= PICTURE_BYTES:
            continue
        # A damaged picture may make its decoder raise or warn anything; it is left out.
        with suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("error")
            kind, data, width, height = whole(folder, name) if size <= share else smaller(folder, name, changed, share)
            found.append(Picture(label, f"data:image/{kind};base64,{b64encode(data).decode()}", width, height))
    return found


def facts_of(folder: Path, name: str) -> tuple[int, int]:
    """Return a file's size in bytes and modification time; zeros if it is not a file in the run's folder."""
    try:
        with open_inside(folder, name) as file:
            facts = os.fstat(file.fileno())
    except (InputError, FileNotFoundError):
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


def whole(folder: Path, name: str) -> tuple[str, bytes, int, int]:
    """Return a picture unchanged: its type, bytes, width and height."""
    data = read_inside(folder, name, PICTURE_BYTES)
    if not data.endswith(PNG_END):
        raise ValueError("it is being written")
    with Image.open(BytesIO(data), formats=["PNG"]) as image:
        return "png", data, *image.size


@lru_cache(maxsize=4 * SHOWN_SAMPLES)
def smaller(folder: Path, name: str, changed: int, most: int) -> tuple[str, bytes, int, int]:
    """Return a picture as a JPEG of limited size: its type, bytes, width and height.

    Args:
        folder: the run's folder.
        name: name of the picture in it.
        changed: its modification time, part of the cache key, so that it is not reduced again at the next checkpoint.
        most: largest number of bytes.
    """
    with Image.open(BytesIO(read_inside(folder, name, PICTURE_BYTES)), formats=["PNG"]) as image:
        picture = image.convert("RGB") if image.mode in ("RGB", "L") else on_white(image)
    width = min(picture.width, WIDEST)
    while True:
        height = max(1, round(picture.height * width / picture.width))
        buffer = BytesIO()
        picture.resize((width, height), Image.Resampling.HAMMING).save(buffer, "JPEG", quality=88, subsampling=0)
        if buffer.tell() <= most or width <= NARROWEST:
            return "jpeg", buffer.getvalue(), width, height
        width = max(NARROWEST, int(width * min(0.9, math.sqrt(most / buffer.tell()))))


def on_white(image: Image.Image) -> Image.Image:
    """Draw a picture, which may be transparent, on white."""
    picture = Image.new("RGBA", image.size, "white")
    picture.alpha_composite(image.convert("RGBA"))
    return picture.convert("RGB")
