"""How the speed and the memory of the picture step grow: `python docs/results/speed.py [--device cuda] [--largest N]`.

Measures `discogan_edges2shoes` on random pictures against batch, width and picture size, each case in a process of its
own, with every `auto` of the recipe; draws speed.png beside this file and prints the figures as a table.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure

from ganforge import Plugins, assemble, pick_device, read_recipe, settle
from ganforge.recipe.resolve import resolve
from ganforge_bench import bench

CASES = {
    "batch (width 64, 64x64)": ("train.batch", [8, 16, 32, 64, 128, 256, 512]),
    "width (batch 32, 64x64)": ("width", [16, 32, 64, 128]),
    "picture side (batch 32, width 64)": ("dataset.size", [32, 64, 128, 256]),
}
LONGEST = 40.0  # seconds


def measure(sets, device_name):
    """Return steps per second and the peak of memory of one case."""
    plugins = Plugins()
    plugins.load_installed()
    recipe = read_recipe(plugins, "discogan_edges2shoes", ["dataset.root=none", *sets])
    device = pick_device(device_name)
    plan, dataset = settle(resolve(recipe, plugins.registry), device)
    engine, batches = assemble(plan, dataset, bench.random_sources(plan, dataset), device)
    engine.step(0, batches(0))
    times = []
    while len(times) < 3 or sum(times) < min(LONGEST, 20 * times[0]):
        bench.wait(device)
        began = time.perf_counter()
        engine.step(len(times), batches(len(times)))
        bench.wait(device)
        times.append(time.perf_counter() - began)
    return {
        "steps_per_second": 1 / sorted(times)[len(times) // 2],
        "memory_mib": bench.peak_memory(device) / 2**20,
        "precision": plan.compute.precision,
        "threads": torch.get_num_threads(),
    }


def main():
    """Measure every case in a new process, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--largest", type=int, default=512, help="the largest batch")
    parser.add_argument("--case", nargs="*", help="one case, for the script's own use")
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.case, arguments.device)))  # noqa: T201
        return
    found = {}
    for title, (key, values) in CASES.items():
        for value in (value for value in values if key != "train.batch" or value <= arguments.largest):
            wide = [f"generator.width={value}", f"discriminator.width={value}"]
            sets = (wide if key == "width" else [f"{key}={value}"]) + ["train.batch=32"] * (key != "train.batch")
            words = [sys.executable, __file__, "--device", arguments.device, "--case", *sets]
            one = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
            speed, memory = one["steps_per_second"], one["memory_mib"]
            found.setdefault(title, []).append((value, speed, memory))
            print(f"| {title} | {value} | {speed:.3g} | {memory:,.0f} | {one['precision']} |", flush=True)  # noqa: T201
    draw(found)


def draw(found):
    """Draw speed and memory against each size; `found` holds (size, steps per second, MiB) by title."""
    figure = Figure(figsize=(12, 6), layout="constrained")
    axes = figure.subplots(2, len(found), squeeze=False)
    for column, (title, rows) in enumerate(found.items()):
        x, speed, memory = zip(*rows, strict=True)
        for row, y, label in ((0, speed, "steps/s"), (1, memory, "peak memory, MiB")):
            one = axes[row][column]
            one.plot(x, y, marker="o")
            one.set(xlabel=title, ylabel=label, xscale="log", yscale="log", xticks=x, xticklabels=x, yticks=[])
            one.minorticks_off()
            one.margins(0.15)
            for place, value in zip(x, y, strict=True):
                text = f"{value:.2g}" if value < 100 else f"{value:,.0f}"
                one.annotate(text, (place, value), xytext=(4, 5), textcoords="offset points", fontsize=8)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=100)


if __name__ == "__main__":
    main()
