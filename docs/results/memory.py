"""Compares the memory that runs say they need with what they take: `python docs/results/memory.py FOLDER [CASE ...]`.

Each case is a `ganforge run` of three steps on noise, in a process of its own, with its pictures, evaluations and a
checkpoint after each step. What it takes is the most memory that it had, as the system tells (ru_maxrss, Linux).
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy
from PIL import Image

NARROW, PAIRS, FOLDERS = (
    "generator.width=16 discriminator.width=16",
    "dataset.root={0}/pairs",
    "dataset.root={0}/folders",
)
DISCOGAN = f"discogan_edges2shoes {PAIRS} compute.precision"
CASES = {  # a recipe, and what is set
    "DiscoGAN 64x64, batch 32": f"{DISCOGAN}=fp32 train.batch=32",
    "the same, narrow, batch 100": f"{DISCOGAN}=fp32 train.batch=100 {NARROW}",
    "the same in bf16": f"{DISCOGAN}=bf16 train.batch=100 {NARROW}",
    "the same, fp32, not channels last": f"{DISCOGAN}=fp32 train.batch=100 compute.channels_last=false {NARROW}",
    "CycleGAN 64x64, narrow, batch 32": f"cyclegan_horse2zebra {FOLDERS} dataset.size=64 train.batch=32 {NARROW}",
    "CycleGAN 256x256, narrow, batch 1": f"cyclegan_horse2zebra {FOLDERS} train.batch=1 {NARROW}",
    "CycleGAN 256x256, batch 1": f"cyclegan_horse2zebra {FOLDERS} train.batch=1",
    "CUT 128x128, narrow, batch 4": f"cut_horse2zebra {FOLDERS} dataset.size=128 train.batch=4 {NARROW}",
    "pix2pix 256x256, batch 2": f"pix2pix_facades {PAIRS} train.batch=2",
    "pix2pixHD 128x128, narrow, batch 8": (
        f"pix2pixhd_facades {PAIRS} dataset.size=128 losses.perceptual=false train.batch=8 {NARROW}"
    ),
    "MUNIT 128x128, narrow, batch 4": f"munit_edges2shoes {PAIRS} dataset.size=128 train.batch=4 {NARROW}",
    "WGAN-GP 64x64, narrow, batch 100": (
        "wgan_gp_celeba dataset.use=folders dataset.a={0}/folders/trainA dataset.b={0}/folders/trainB "
        f"train.batch=100 {NARROW}"
    ),
}
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
    recipe, *sets = CASES[case].format(root).split()
    sets += ["train.steps=3", "train.norm='running'", "record.checkpoint_every=1"]
    words = [sys.executable, "-P", "-m", "ganforge", "run", recipe, "--out", str(root / "runs"), "--device", "cpu"]
    with subprocess.Popen(
        [*words, *(word for text in sets for word in ("--set", text))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status = os.waitstatus_to_exitcode(status)
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
