"""Every shipped recipe that needs no data trains without divergence, goes on bit for bit, and can be used."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ganforge import load_trained
from ganforge.components.plugins import Plugins
from ganforge.recipe import layers
from ganforge.training import build

EMBEDDED = ("turntable", "coats", "mixture")  # data sets that need no files


def embedded() -> list[str]:
    plugins = Plugins()
    plugins.load_installed()
    tables = {name: layers.load(path).table for name, path in plugins.recipes().items()}
    return [name for name, table in tables.items() if table.get("dataset", {}).get("use") in EMBEDDED]


SETS = ("train.steps=200", "record.checkpoint_every=100", "record.sample_every=0", "record.keep=0", "compute.threads=1")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [name for name in embedded() if not name.startswith("base_")])
def test_two_hundred_steps(recipe: str, ganforge, tmp_path: Path) -> None:
    sets = [word for text in SETS for word in ("--set", text)]
    result = ganforge("run", recipe, "--out", tmp_path / "runs", *sets)
    assert result.status == 0, result.err
    assert "diverge" not in result.err
    run = tmp_path / "runs" / recipe / "0001"
    log = (run / "log.jsonl").read_text()
    assert '"step": 200' in log
    assert "null" not in log  # which a number that is not finite would be

    # As if it had been killed after the first checkpoint.
    again = tmp_path / "again"
    shutil.copytree(run, again, symlinks=True)
    shutil.rmtree(again / "checkpoints" / "step-00000200")
    result = ganforge("resume", again)
    assert result.status == 0, result.err
    one, other = (sorted((path / "checkpoints" / "step-00000200").glob("*.safetensors")) for path in (run, again))
    assert [path.name for path in one] == [path.name for path in other]
    for mine, theirs in zip(one, other, strict=True):
        a, b = load_file(mine), load_file(theirs)
        assert all(torch.equal(a[key], b[key]) for key in a), mine.name

    plugins = Plugins()
    plugins.load_installed()
    trained = load_trained(again / "checkpoints" / "step-00000200", plugins, torch.device("cpu"))
    shapes = build.shapes_of(trained.plan, trained.dataset)
    with trained.evaluating():
        for way in trained.directions:
            if trained.translates(way):
                made = trained.translate(way, torch.rand(2, *shapes[trained.source(way)]))
            else:
                made = trained.draw(way, 2)
            assert made.shape == (2, *shapes[trained.target(way)])
            assert made.isfinite().all()
