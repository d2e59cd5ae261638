"""Make docs/figure4.png of three trained runs: `python docs/results/figure4.py RUN RUN RUN OUT.png`.

`ganforge compare gan_toy gan_recon_toy discogan_toy --seeds 1 --set train.steps=50_000` trains them; their folders are
then comparison/seed-0/gan_toy/0001 and so on.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

from ganforge import Plugins, Trained, load_trained
from ganforge_evaluations.figure4 import add_scale, draw_panel, judge
from ganforge_evaluations.mode_coverage import modes_of, view_to_b

TITLES = ("(a) initial state", "(b) GAN", "(c) GAN with reconstruction", "(d) DiscoGAN")


def draw(states: list[Trained]) -> Figure:
    """Draw a panel for each state, with one legend and one scale for all."""
    figure = Figure(figsize=(14, 4.1), layout="constrained")
    panels = figure.subplots(1, len(states), sharey=True)
    for axes, title, trained in zip(panels, TITLES, states, strict=True):
        tests, modes = trained.samples("test"), trained.dataset.modes
        with trained.evaluating():
            view = view_to_b(trained.views({name: one.load(range(one.length)) for name, one in tests.items()}))
            background = draw_panel(axes, modes, modes_of(tests["A"]), view["fake"].cpu(), judge(view, modes["B"]))
        axes.set_title(title)
    add_scale(figure, background, panels)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


if __name__ == "__main__":
    *runs, out = map(Path, sys.argv[1:])
    plugins = Plugins()
    plugins.load_installed()
    trained = [load_trained(run, plugins, torch.device("cpu")) for run in runs]
    draw([trained[0].initial(), *trained]).savefig(out, dpi=120, pil_kwargs={"optimize": True})
