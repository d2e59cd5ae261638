"""Draws what each method of docs/results/methods.md makes of the same test pictures.

`python docs/results/methods.py FOLDER OUT.png`, where FOLDER is the one that `ganforge compare` filled.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from ganforge import Plugins, as_float, load_trained

COUNT = 10  # pictures in a row


def main(folder: Path, out: Path) -> None:
    """Draw a row for the inputs, one for each method, and one for the true partners where there are any."""
    plugins = Plugins()
    plugins.load_installed()
    rows: list[tuple[str, torch.Tensor]] = []
    for run in sorted((folder / "seed-0").iterdir()):
        trained = load_trained(run / "0001", plugins, torch.device("cpu"))
        test = trained.samples("test")
        places = torch.linspace(0, test["A"].length - 1, COUNT).round().long().tolist()
        inputs = as_float(test["A"].load(places))
        with trained.evaluating():
            rows.append((run.name, trained.translate("AB", inputs)))
    first = ("input", inputs)
    truth = [("truth", as_float(test["B"].load(places)))] if trained.plan.evaluations.keys() & {"pairs"} else []
    rows = [first, *rows, *truth]
    figure, axes = plt.subplots(len(rows), 1, figsize=(COUNT * 0.8, len(rows) * 0.82))
    for axis, (name, pictures) in zip(axes, rows, strict=True):
        axis.imshow(torch.cat(list(pictures.clamp(0, 1)), 2).permute(1, 2, 0))
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
        axis.set(xticks=[], yticks=[])
    figure.savefig(out, dpi=80, bbox_inches="tight")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
