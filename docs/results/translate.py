"""How fast pictures are translated from disk to disk: `python docs/results/translate.py [--rounds N] [--device cpu]`.

Prints, as JSON: the time of a plain loop (Pillow, torch, Pillow, one picture at a time) by that of ganforge, for the
same pixels; and the time of 256 tiles by that of one pass over the same picture without tiles, of the same arithmetic,
where every tile is as large as what it is used of. Rounds are interleaved; the figures are medians of their ratios.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ganforge import Depth, Picture, Translator
from ganforge.components.plugins import Plugins
from ganforge.recipe.layers import load
from ganforge.recipe.resolve import resolve
from ganforge.runs.trained import Trained
from ganforge.training import build
from ganforge.training.networks import make_networks
from ganforge_inference.sizes import padded
from ganforge_inference.translate import plan_jobs, translate

PIXELS = Depth("float32", 0.0, 1.0)


def draw(folder, count, side):
    """Draw pictures that are neither flat nor noise alone."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    for number in range(count):
        waves = [np.sin(generator.uniform(2, 30, 2) @ np.stack([x, y]).reshape(2, -1)).reshape(side, side)]
        waves += [waves[0] * x, y - x]
        picture = 120 + 80 * np.stack(waves, 2) + generator.normal(0, 4, (side, side, 3))
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"{number:04d}.png")


def trained_of(device, side, *sets):
    """Return untrained networks of the recipe: what is measured does not depend on their weights."""
    plugins = Plugins()
    plugins.load_installed()
    wanted = ["dataset.root=none", f"dataset.size={side}", *sets]
    plan = resolve(load("discogan_edges2shoes", wanted, plugins.recipes()), plugins.registry)
    dataset = build.make_dataset(plan)
    networks = make_networks(plan, build.shapes_of(plan, dataset), device)
    scheme, _ = build.make_scheme(plan, networks, device, {})
    return Trained(plan, dataset, scheme, device, 0)


def plain(network, device, paths, out):
    """Translate pictures one by one."""
    out.mkdir()
    with torch.inference_mode():
        for path in paths:
            pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None].to(device)
            made = network(pixels.float() / 255)[0].clamp(0, 1).mul(255).round().byte()
            Image.fromarray(made.permute(1, 2, 0).cpu().numpy()).save(out / path.name)


def timed(device, work):
    """Return the seconds that work takes."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def files(device, rounds, count, side, width):
    """Measure pictures from disk to disk."""
    trained = trained_of(device, side, f"generator.width={width}")
    network = trained.networks["G_BA"].eval()
    translator = Translator(trained, "BA")
    ratios, rates = [], []
    with tempfile.TemporaryDirectory() as scratch:
        inputs = Path(scratch) / "inputs"
        draw(inputs, count, side)
        paths = sorted(inputs.iterdir())
        for number in range(rounds + 1):  # the first one warms up
            one, other = Path(scratch) / f"plain{number}", Path(scratch) / f"ganforge{number}"
            loop = timed(device, lambda one=one: plain(network, device, paths, one))
            ours = timed(device, lambda other=other: translate(translator, plan_jobs([inputs], other)))
            if number:
                ratios.append(loop / ours)
                rates.append(count / ours)
        for path in paths:
            made = [np.asarray(Image.open(folder / path.name)).astype(int) for folder in (one, other)]
            assert np.abs(made[0] - made[1]).max() <= 1, path  # a rounding: batches sum in another order
    return {"files_ratio": statistics.median(ratios), "pictures_per_second": statistics.median(rates)}


def tiles(device, rounds, tile, width):
    """Measure 256 tiles against one pass."""
    side = 16 * tile
    trained = trained_of(device, 256, f"generator.width={width}")
    numbers = torch.randint(0, 256, (3, side, side), dtype=torch.uint8)
    picture = Picture(numbers)
    whole, cut = Translator(trained, "BA"), Translator(trained, "BA", tile=tile, overlap=0)
    ratios, rates = [], []

    def pass_over():
        with whole.working():
            return Picture(torch.from_numpy(PIXELS.numbers(whole.whole([picture])[0])), PIXELS)

    def by_tiles():
        with cut.working():
            grid = cut.grid_for(picture)
            assert len(grid) == 256
            return cut.by_tiles(picture, grid, PIXELS)

    for number in range(rounds + 1):
        one, other = timed(device, pass_over), timed(device, by_tiles)
        if number:
            ratios.append(other / one)
            rates.append(side**2 / 1e6 / other)
    assert padded(numbers[None].float(), 16).shape[2:] == (side, side)
    return {"tiles_ratio": statistics.median(ratios), "megapixels_per_second": statistics.median(rates)}


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    found = files(device, arguments.rounds, arguments.count, arguments.side, arguments.width)
    found |= tiles(device, arguments.rounds, arguments.tile, arguments.width)
    print(json.dumps({**vars(arguments), **found}))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
