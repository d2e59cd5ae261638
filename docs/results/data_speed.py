"""How fast pictures get from the disk to the device: `python docs/results/data_speed.py PAIRS [--count N]`.

PAIRS is a folder with `train/` in the layout of the pix2pix archives. Its files are linked as often as it takes to have
`--count` of them (every link is decoded anew). Prints, as JSON: pictures per second of plain one-process loops (with
Pillow's calls alone; and with ganforge's faster dilation in its place), of ganforge's preparation with one process and
with all cores; how long a second start takes to have the data; and the share of a training step that fetching its batch
takes.
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from ganforge.components.plugins import Plugins
from ganforge.data.batches import Batches
from ganforge.data.reading import read
from ganforge.recipe.layers import load
from ganforge.recipe.resolve import resolve
from ganforge.training import build
from ganforge_cache import cache
from ganforge_cache.preparing import Maker, make_all
from ganforge_data.edges2photo import thicken


def pillow_filter(picture):
    """Dilate with Pillow."""
    return picture.filter(ImageFilter.MinFilter(3))


def plain(paths, middle, dilate):
    """Decode side-by-side pairs as the data set does, with nothing around the Pillow calls."""
    began = time.perf_counter()
    for number, path in paths:
        picture = Image.open(path).convert("RGB")
        if number < middle:
            half = dilate(picture.crop((0, 0, picture.width // 2, picture.height)))
        else:
            half = picture.crop((picture.width // 2, 0, picture.width, picture.height))
        np.asarray(half.resize((64, 64), Image.Resampling.BILINEAR)).transpose(2, 0, 1).copy()
    return len(paths) / (time.perf_counter() - began)


def rate_of(samples, shape, processes):
    """Pictures per second of the parallel making alone, into a file that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "samples"
        file.touch()
        began = time.perf_counter()
        for _ in make_all(Maker(samples.make, shape, file, 0), samples.items, processes):
            pass
        return samples.length / (time.perf_counter() - began)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--count", type=int, default=50_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plugins = Plugins()
    plugins.load_installed()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["GANFORGE_CACHE"] = str(Path(scratch) / "cache")
        train = Path(scratch) / "pairs" / "train"
        train.mkdir(parents=True)
        (Path(scratch) / "pairs" / "val").symlink_to((arguments.pairs / "val").resolve())
        originals = itertools.cycle(sorted((arguments.pairs / "train").iterdir()))
        for number in range(1, arguments.count + 1):
            os.link(next(originals), train / f"{number}_AB.jpg")
        sets = [f"dataset.root={train.parent}", "train.batch=32"]
        plan = resolve(load("discogan_edges2shoes", sets, plugins.recipes()), plugins.registry)
        dataset = build.make_dataset(plan)
        opened = dataset.open("train")
        shape = dataset.shapes["A"]

        found = {"count": arguments.count, "cores": len(os.sched_getaffinity(0))}
        some = max(1, arguments.count // 3000)
        sample = list(enumerate(itertools.chain(opened["A"].items, opened["B"].items)))[::some]
        few = [samples.__class__(samples.items[::some], samples.make, "") for samples in opened.values()]
        rounds = {"plain Pillow": [], "plain": [], "one process": []}
        for _ in range(5):  # interleaved, since the machine may be busy at times
            rounds["plain Pillow"].append(plain(sample, opened["A"].length, pillow_filter))
            rounds["plain"].append(plain(sample, opened["A"].length, thicken))
            rates = [rate_of(samples, shape, 1) for samples in few]
            rounds["one process"].append(statistics.harmonic_mean(rates))
        began = time.perf_counter()
        read(dataset, "train", cache.ready)
        together = arguments.count / (time.perf_counter() - began)
        rounds["plain"].append(plain(sample, opened["A"].length, thicken))
        for name, rates in rounds.items():
            found[f"{name}, pictures/s"] = [round(rate, 1) for rate in rates]
        reference = statistics.median(rounds["plain"])
        found["all cores, pictures/s"] = round(together, 1)
        found["all cores, pictures/s per core"] = round(together / found["cores"], 1)
        found["all cores / plain"] = round(together / reference, 2)
        found["all cores / plain Pillow"] = round(together / statistics.median(rounds["plain Pillow"]), 2)
        overhead = reference / statistics.median(rounds["one process"]) - 1
        found["overhead of one process over plain"] = f"{overhead:.1%}"
        found["cache, MiB"] = round(sum(entry.size for entry in cache.entries()) / 2**20, 1)

        began = time.perf_counter()
        batches = Batches(read(dataset, "train", cache.ready), batch=32, seed=0, device=torch.device("cpu"))
        found["second start until the data are there, s"] = round(time.perf_counter() - began, 2)
        for residency in ("device", "disk"):
            batches = Batches(
                read(dataset, "train", cache.ready), batch=32, seed=0, device=torch.device("cpu"), residency=residency
            )
            times = []
            for step in range(500):  # nothing but the batch: the step is left out
                began = time.perf_counter()
                batches(step)
                times.append(time.perf_counter() - began)
            found[f"batch of 32 from {residency}, ms"] = round(1000 * statistics.median(times), 3)
        engine = build.make_engine(plan, build.check(plan, dataset), batches, dataset.shapes)
        times = []
        for step in range(8):
            batch = batches(step)
            began = time.perf_counter()
            engine.step(step, batch)
            times.append(time.perf_counter() - began)
        found["training step at batch 32, one thread, ms"] = round(1000 * statistics.median(times), 1)
        share = found["batch of 32 from device, ms"] / found["training step at batch 32, one thread, ms"]
        found["share of the data path"] = f"{share:.2%}"
    print(json.dumps(found, indent=2))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
