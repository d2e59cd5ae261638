"""Tiles against whole pictures, in numbers and in a picture: `python docs/results/tiles.py [--out DIR]`.

The picture is a wall of drawn animals (the data set `coats`, CC0). The networks are untrained ones with He's initial
weights, in which small differences grow as they hardly do in trained ones; and one that is taught for 200 steps to turn
pictures into their negatives. For each network prints, as JSON, the
largest and the mean difference of pixels from those of the whole picture, in one pass: of tiles by which norms are
measured 1, 4 or 16 at a time, or all at once; and of tiles that are each normalised by themselves. Writes tiles.png.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from ganforge import Depth, Picture
from ganforge.components.plugins import Plugins
from ganforge.recipe.layers import load
from ganforge.recipe.resolve import resolve
from ganforge.training import build
from ganforge_inference.tiles import tiler as tiling
from ganforge_networks import conv, resnet, unet

PIXELS = Depth("float32", 0.0, 1.0)
SHAPE = (3, 64, 64)
NETWORKS = {
    "conv, batch norm": lambda: conv.Generator(SHAPE, SHAPE, width=8),
    "resnet, batch norm": lambda: resnet.Generator(SHAPE, SHAPE, width=8, blocks=6, norm="batch"),
    "unet, batch norm": lambda: unet.Generator(SHAPE, SHAPE, width=8, levels=5, dropout=0.0),
    "resnet, instance norm": lambda: resnet.Generator(SHAPE, SHAPE, width=8, blocks=6),
    "unet, instance norm": lambda: unet.Generator(SHAPE, SHAPE, width=8, levels=5, norm="instance", dropout=0.0),
    "resnet, instance norm, taught": lambda: resnet.Generator(SHAPE, SHAPE, width=8, blocks=6),
}


def wall(rows, columns):
    """Draw a wall of animals, [3, 64 rows, 64 columns] in [0, 1]; the right half lies in the shade."""
    plugins = Plugins()
    plugins.load_installed()
    dataset = build.make_dataset(resolve(load("cyclegan_coats", (), plugins.recipes()), plugins.registry))
    samples = dataset.open("train")["A"]
    made = torch.stack([samples.make(samples.items[place]) for place in range(rows * columns)])
    whole = made.reshape(rows, columns, *made.shape[1:]).permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2).float() / 255
    whole[:, :, whole.shape[2] // 2 :] *= 0.3
    return whole


def enliven(network):
    """Give a network weights with which it does something."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, a=0.2)


def teach(network, picture, steps=200):
    """Teach a network to turn parts of a picture into their negatives."""
    random = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(steps):
        places = [torch.randint(side - 128, (4,), generator=random).tolist() for side in picture.shape[1:]]
        parts = torch.stack([picture[:, y : y + 128, x : x + 128] for y, x in zip(*places, strict=True)])
        optimizer.zero_grad()
        (network(parts) - (1 - parts)).abs().mean().backward()
        optimizer.step()


def made_by(network):
    """Return a function that translates, of a network."""
    network.eval()

    def make(pictures):
        with torch.no_grad():
            return network(pictures).clamp(0, 1)

    return make


def compared(network, picture):
    """Return the differences of a network's tiles from the whole picture, and the pictures themselves."""
    make = made_by(network)
    least = getattr(network, "least", 1)
    tiler = tiling.Tiler(
        make, [network], (3, 3), multiple=network.multiple, least=least, device=torch.device("cpu"), tile=256
    )
    tiler.tile = max(256, tiler._smallest(tiler.reach) + tiler.multiple)
    tiler.overlap = 2 * tiler.reach
    grid, whole = tiler.grid_for(picture.size), make(picture.pixels[None])[0]
    shown, found = {"whole": whole}, {"reach": tiler.reach, "tile": tiler.tile, "tiles": len(grid)}

    def look(name):
        made = tiler.translate(picture, grid, PIXELS, lambda *_: None).numbers
        shown[name], apart = made, (made - whole).abs()
        found[name] = {"largest": round(float(apart.max()), 7), "mean": round(float(apart.mean()), 7)}

    norms = tiling.Pooled.of
    if norms([network]).norms:
        for count in (1, 4, 16, len(grid)):
            need = count * grid.area * tiler.bytes_per_pixel / tiling.SHARE
            tiling.free_on = lambda device, need=need: need
            look(f"{count} at a time")
        tiling.Pooled.of = classmethod(lambda cls, networks: cls([]))
    look("each by itself")
    tiling.Pooled.of = norms
    return found, shown


def main():
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    picture = Picture(wall(12, 16), PIXELS)
    for name, make in NETWORKS.items():
        network = make()
        enliven(network)
        if name.endswith("taught"):
            teach(network, picture.numbers)
        found, shown = compared(network, picture)
        print(json.dumps({"network": name, **found}), flush=True)  # noqa: T201 - what it is for
        if name.endswith("taught"):
            parts = [picture.numbers, shown["whole"], shown["16 at a time"], shown["each by itself"]]
            beside = torch.cat(parts, 2).mul(255).byte().permute(1, 2, 0).numpy()
            size = (1600, math.ceil(1600 * beside.shape[0] / beside.shape[1]))
            small = Image.fromarray(np.ascontiguousarray(beside)).resize(size, Image.Resampling.LANCZOS)
            small.quantize(128).save(arguments.out / "tiles.png")


if __name__ == "__main__":
    main()
