"""Sample pictures that are written while the steps go on."""

import errno
import os

import pytest

from ganforge.runs.writer import Writer
from ganforge.system.folder import Folder

RECIPE = """\
extends = "discogan_edges2shoes"
evaluations = {{ diversity = false, grid = false, pairs = false }}
[dataset]
root = "{root}"
size = 16
[generator]
width = 2
[discriminator]
width = 2
[train]
steps = 4
batch = 2
[record]
log_every = 1
sample_every = 2
checkpoint_every = 2
"""


@pytest.fixture
def recipe(tmp_path, pairs):
    path = tmp_path / "small.toml"
    path.write_text(RECIPE.format(root=pairs))
    return path


def names(folder):
    return sorted(path.name for path in folder.glob("*")) if folder.exists() else []


@pytest.mark.slow
def test_the_checkpoint_of_a_step_is_there_only_after_its_picture(recipe, ganforge, tmp_path, monkeypatch):
    """Else a run that is killed in between would go on without that picture."""
    written, write, stage = [], Folder.write, Folder.stage
    monkeypatch.setattr(
        Folder, "write", lambda self, name, *rest, **how: written.append(name) or write(self, name, *rest, **how)
    )
    monkeypatch.setattr(Folder, "stage", lambda self, name: written.append(name) or stage(self, name))
    result = ganforge("run", recipe)
    assert result.status == 0, result.err
    order = [name for name in written if "step-" in name]
    assert order == [
        "samples/step-00000000.png",
        "samples/step-00000002.png",
        "step-00000002",
        "samples/step-00000004.png",
        "step-00000004",
    ]


@pytest.mark.parametrize("mode", ["stop", pytest.param("go_on", marks=pytest.mark.slow)])
def test_a_picture_that_cannot_be_written_is_told(mode, recipe, ganforge, tmp_path, monkeypatch):
    write = Folder.write

    def full(self, name, *rest, **how):
        if name == "samples/step-00000002.png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, name, *rest, **how)

    monkeypatch.setattr(Folder, "write", full)
    result = ganforge("run", recipe, "--set", f"record.on_write_error={mode}")
    run = tmp_path / "runs/small/0001"
    assert "No space left on device; " in " ".join((result.err + result.out).split())
    assert result.status == (1 if mode == "stop" else 0)
    assert names(run / "samples")[:1] == ["step-00000000.png"]
    assert ("step-00000004.png" in names(run / "samples")) is (mode == "go_on")


def test_a_look_at_the_samples_is_one_pass(recipe, ganforge, monkeypatch):
    """The picture and the signs of failure come from the same translations."""
    from ganforge.runs.run import Run

    looks, sample = [], Run.sample
    monkeypatch.setattr(Run, "sample", lambda self: looks.append(self.step) or sample(self))
    begun, begin = [], Writer.begin
    monkeypatch.setattr(Writer, "begin", lambda self, *jobs: begun.append(1) or begin(self, *jobs))
    assert ganforge("run", recipe).status == 0
    assert looks == [0, 2, 4]
    assert len(begun) == 5  # three pictures, two checkpoints
