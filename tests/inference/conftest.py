"""A trained run that the tests of this folder share, and pictures to translate."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.conftest import draw_pairs, run_command

SETS = ["dataset.size=[16,32]", "generator.width=2", "discriminator.width=2", "train.batch=4", "train.steps=1"]
NONE = [f"evaluations.{name}=false" for name in ("diversity", "grid", "pairs")]


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory):
    """A run of one step in two directions."""
    place = tmp_path_factory.mktemp("shared")
    sets = [*SETS, f"dataset.root={draw_pairs(place / 'pairs')}", *NONE, "record.sample_every=0"]
    words = ["run", "discogan_edges2shoes", *(word for text in sets for word in ("--set", text)), "--out", place]
    assert run_command(*words) == 0
    return place / "discogan_edges2shoes" / "0001"


@pytest.fixture
def folder(shared_run, tmp_path):
    """A copy of a checkpoint, far from its run."""
    return shutil.copytree(shared_run / "checkpoints" / "step-00000001", tmp_path / "mine")


@pytest.fixture
def zoo(tmp_path):
    """Pictures of many modes and sizes."""
    folder = tmp_path / "zoo"
    (folder / "inner").mkdir(parents=True)
    Image.new("L", (50, 70), 100).save(folder / "grey.jpg")
    Image.new("RGBA", (31, 17), (9, 99, 9, 128)).save(folder / "clear.png")
    Image.fromarray(np.full((20, 30), 30000, dtype=np.uint16)).save(folder / "deep.png")
    Image.new("P", (8, 8), 3).save(folder / "inner" / "palette.gif")
    return folder
