"""Compares the memory that runs say they need with what they take: `python docs/results/memory.py FOLDER [CASE ...]`.

Each case is a `ganforge run` of three steps on noise, in a process of its own, with its pictures, evaluations and
checkpoint. What it takes is the most memory that it had, as the system tells (ru_maxrss, Linux).
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy
from PIL import Image

FOLDERS, PAIRS = "dataset={{use='folders',root='{0}/folders',size={1}}}", "dataset.root={0}/pairs dataset.size={1}"
CASES = {  # a recipe, its data, the side of its pictures, and what else is set
    "DiscoGAN 64x64, batch 8, fp32": ("discogan_edges2shoes", PAIRS, 64, "batch=8 precision=fp32"),
    "DiscoGAN 64x64, batch 64, fp32": ("discogan_edges2shoes", PAIRS, 64, "batch=64 precision=fp32"),
    "DiscoGAN 64x64, batch 200, fp32": ("discogan_edges2shoes", PAIRS, 64, "batch=200 precision=fp32"),
    "DiscoGAN 64x64, batch 200, bf16": ("discogan_edges2shoes", PAIRS, 64, "batch=200 precision=bf16"),
    "DiscoGAN 64x64, batch 64, not channels last": (
        "discogan_edges2shoes",
        PAIRS,
        64,
        "batch=64 precision=fp32 channels_last=false",
    ),
    "CycleGAN 128x128, batch 4": ("cyclegan_horse2zebra", FOLDERS, 128, "batch=4"),
    "CycleGAN 256x256, batch 1": ("cyclegan_horse2zebra", FOLDERS, 256, "batch=1"),
    "CUT 256x256, batch 1": ("cut_horse2zebra", FOLDERS, 256, "batch=1"),
    "pix2pix 256x256, batch 1": ("pix2pix_facades", PAIRS, 256, "batch=1"),
    "pix2pix 256x256, batch 16": ("pix2pix_facades", PAIRS, 256, "batch=16"),
    "pix2pixHD 256x256, batch 2": ("pix2pixhd_facades", PAIRS, 256, "batch=2"),
    "MUNIT 128x128, batch 2": ("munit_edges2shoes", PAIRS, 128, "batch=2"),
    "WGAN-GP 64x64, batch 128": ("wgan_gp_celeba", FOLDERS, 64, "batch=128"),
    "StarGAN 64x64, batch 48": ("stargan_turntable", "", 64, "batch=48"),
}
COMPUTE = ("precision", "channels_last")
SPLITS = ("train", "test")
COUNT = 208  # pictures for training, of each domain


def draw(root: Path, side: int = 256) -> None:
    """Draw noise, as `folders` and as pairs."""
    random = numpy.random.default_rng(0)
    names = [(f"folders/{split}{domain}", COUNT if split == "train" else 8, 1) for split in SPLITS for domain in "AB"]
    for name, count, wide in (*names, ("pairs/train", COUNT, 2), ("pairs/val", 8, 2)):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            noise = random.integers(0, 256, (side // 8, wide * side // 8, 3), dtype=numpy.uint8)
            Image.fromarray(noise).resize((wide * side, side)).save(root / name / f"{number}.jpg")


def measure(root: Path, case: str) -> tuple[float, float]:
    """Return the GiB that a run says it needs, and those that it took."""
    recipe, data, side, settings = CASES[case]
    sets = [f"{'compute' if text.startswith(COMPUTE) else 'train'}.{text}" for text in settings.split()]
    sets += [*data.format(root, side).split(), "train.steps=3", "train.norm='running'"]
    words = [sys.executable, "-P", "-m", "ganforge", "run", recipe, "--out", str(root / "runs"), "--device", "cpu"]
    with subprocess.Popen(
        [*words, *(word for text in sets for word in ("--set", text))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    found = re.search(r"^memory: about ([\d.,]+) GiB", said, re.MULTILINE)
    if status or not found:
        raise SystemExit(f"{case}: ended with {status} and said {said}")
    return float(found[1].replace(",", "")), usage.ru_maxrss / 2**20


def rows(root: Path, cases: list[str]) -> Iterator[str]:
    """Yield the rows of the table."""
    for case in cases:
        said, took = measure(root, case)
        yield f"| {case} | {said:.2f} | {took:.2f} | {said / took - 1:+.0%} |"


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
    sys.stdout.write("| run | said, GiB | taken, GiB | off by |\n| --- | --- | --- | --- |\n")
    for row in rows(Path(sys.argv[1]), sys.argv[2:] or list(CASES)):
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()
