"""Writing beside the steps: nothing is lost, nothing moves under the copies, and what fails is raised where it is told."""

import json
import threading
from pathlib import Path

import pytest
import torch

from ganforge.runs import checkpoint, writer
from ganforge.runs.saving import Saving
from ganforge.runs.writer import Copies, Writer
from ganforge.system.folder import Folder


def test_a_job_is_done_beside_and_what_comes_then_in_the_thread_that_settles_it():
    told, go_on = [], threading.Event()

    def job():
        go_on.wait()
        told.append(threading.current_thread().name)

    beside = Writer()
    beside.begin(job, lambda: told.append(threading.current_thread().name))
    assert (beside.done, told) == (False, [])
    go_on.set()
    beside.wait()
    assert (beside.done, told) == (True, ["ganforge-writer"])
    beside.settle()
    beside.settle()
    assert (beside.done, told) == (False, ["ganforge-writer", threading.current_thread().name])


def test_what_a_job_raises_is_raised_once_and_what_comes_then_is_not_done():
    def full():
        raise OSError(28, "No space left on device")

    told, beside = [], Writer()
    beside.begin(full, lambda: told.append("then"))
    with pytest.raises(OSError, match="No space left"):
        beside.begin(lambda: told.append("the next job"), lambda: told.append("then"))
    beside.settle()
    assert told == []


def test_copies_stay_as_they_were_and_keep_the_types_of_their_nest():
    weight, count = torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last), torch.tensor(3)
    nest = {"a": [weight, (count, "text", None)], 0: (1, [2.5])}
    copies = Copies()
    copied = copies.of(nest)
    weight.zero_()
    count += 1
    assert torch.equal(copied["a"][0], torch.arange(24.0).reshape(1, 2, 3, 4))
    assert copied["a"][1] == (3, "text", None)
    assert copied[0] == (1, [2.5])
    nest[0][1].append(9)
    assert copied[0] == (1, [2.5])


def test_copies_of_the_same_shape_take_the_place_of_the_last_ones_and_others_do_not():
    copies = Copies()
    first = copies.of([torch.ones(3), torch.ones(2)])
    second = copies.of([torch.zeros(3), torch.zeros(4)])
    assert second[0].data_ptr() == first[0].data_ptr()
    assert (second[1].tolist(), first[1].tolist()) == ([0, 0, 0, 0], [1, 1])


@pytest.mark.parametrize(("kilobytes", "fits"), [(9, True), (7, False)])
def test_copies_fit_where_memory_for_twice_as_much_is_free(kilobytes, fits, monkeypatch):
    monkeypatch.setattr(writer, "free_memory", lambda: 1024.0 * kilobytes)
    assert Copies().fit({"a": [torch.ones(1024)]}) is fits  # 4 kB


def end_of(run):
    """What a run leaves but for times, by name."""
    found = {}
    for path in run.rglob("*.*"):
        if path.suffix == ".safetensors":
            found[path.name, path.parent.name], _ = checkpoint.read_tensors(path)
        elif path.name in ("metrics.json", "latest", "best"):
            found[path.name, path.parent.name] = path.read_text()
    return found


def assert_alike(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, dict):
            assert all(torch.equal(tensor, other[name][key]) for key, tensor in value.items()), name
        else:
            assert value == other[name]


def test_where_memory_is_short_checkpoints_are_the_same(toy, ganforge, tmp_path, monkeypatch):
    assert ganforge("run", toy, "--out", "beside").status == 0
    monkeypatch.setattr(writer, "free_memory", lambda: 0)
    monkeypatch.setattr(Copies, "of", None)
    assert ganforge("run", toy, "--out", "at_once").status == 0
    assert_alike(end_of(tmp_path / "beside/toy/0001"), end_of(tmp_path / "at_once/toy/0001"))


LOOKING = """
import threading
from ganforge import hookimpl

@hookimpl
def ganforge_checkpointed(run, folder):
    files = sorted(path.name for path in folder.iterdir())
    with (run.folder / "told").open("a") as file:
        file.write(f"{folder.name} {files[0]} {run.newest} {threading.current_thread() is threading.main_thread()}\\n")
"""


def test_steps_go_on_while_a_checkpoint_is_written_and_observers_are_told_of_it_in_turn(
    toy, ganforge, tmp_path, monkeypatch
):
    """The first checkpoint, of step 4, is written only once the log holds step 6."""
    (tmp_path / "looking.py").write_text(LOOKING)
    log, save = tmp_path / "runs/toy/0001/log.jsonl", checkpoint.save
    logged = threading.Event()
    append = Folder.append

    def appending(self, name, text):
        append(self, name, text)
        if json.loads(text)["step"] == 6:
            logged.set()

    def saving(*words):
        assert logged.wait(60), "the run waits for its checkpoint"
        return save(*words)

    monkeypatch.setattr(Folder, "append", appending)
    monkeypatch.setattr(checkpoint, "save", saving)
    result = ganforge("run", toy, "--plugin", tmp_path / "looking.py")
    assert result.status == 0, result.err
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [2, 4, 6, 8]
    assert (tmp_path / "runs/toy/0001/told").read_text().splitlines() == [
        "step-00000004 D_A.safetensors step-00000004 True",
        "step-00000008 D_A.safetensors step-00000008 True",
    ]


@pytest.mark.parametrize("mode", ["stop", "go_on"])
def test_a_checkpoint_that_cannot_be_written_is_told_and_nothing_after_it_is_lost(
    mode, toy, ganforge, tmp_path, monkeypatch
):
    """It fails only once the next one is due."""
    save, due, state = checkpoint.save, threading.Event(), Saving.save
    monkeypatch.setattr(Saving, "save", lambda self, **how: (self._run.step > 4 and due.set()) or state(self, **how))

    def full(parent, step, *words):
        if step == 4:
            assert due.wait(60)
            raise OSError(28, "No space left on device")
        return save(parent, step, *words)

    monkeypatch.setattr(checkpoint, "save", full)
    words = ["--set", "record.checkpoint_every=2", "--set", f"record.on_write_error={mode}"]
    result = ganforge("run", toy, *words)
    folder: Path = tmp_path / "runs/toy/0001"
    said = "No space left on device; the newest checkpoint is step-0000000"
    names = sorted(path.name for path in (folder / "checkpoints").glob("*"))
    if mode == "stop":
        assert result.status == 1
        assert said in result.err
        assert names == ["latest", "step-00000002", "step-00000006"]
    else:
        assert result.status == 0, result.err
        assert said in result.out
        assert names == ["latest", "step-00000002", "step-00000006", "step-00000008"]


def test_a_run_whose_step_fails_has_written_what_was_begun(toy, ganforge, tmp_path, monkeypatch):
    (tmp_path / "failing.py").write_text(
        "from ganforge import hookimpl\ncount = []\n"
        "def failing(fake):\n    'Fails in the sixth step.'\n    count.append(1)\n"
        "    if len(count) > 11:\n        raise KeyError('mine')\n    return fake.mean()\n"
        "@hookimpl\ndef ganforge_register(register):\n    register.loss('failing', failing)\n"
    )
    words = ["--plugin", tmp_path / "failing.py", "--set", "losses.failing={use='failing'}"]
    words += ["--set", "record.checkpoint_every=1"]
    result = ganforge("run", toy, *words)
    assert result.status == 3
    checkpoints = tmp_path / "runs/toy/0001/checkpoints"
    newest = checkpoint.pointed(checkpoints, "latest")
    checkpoint.verify(newest)
    assert not [path.name for path in checkpoints.glob(".*")]
    step = checkpoint.read_step(newest)
    assert step > 0
    log = [json.loads(line) for line in (tmp_path / "runs/toy/0001/log.jsonl").read_text().splitlines()]
    assert step >= max(record["step"] for record in log if "losses" in record)


SAMPLED = """
from ganforge import hookimpl

@hookimpl
def ganforge_sampled(run):
    with (run.folder / "told").open("a") as file:
        file.write(f"sampled {run.step}\\n")
"""


def test_a_step_is_sampled_before_it_is_saved_even_as_the_best_one(toy, ganforge, tmp_path, monkeypatch):
    """A run killed in between and resumed would lack the sample."""
    (tmp_path / "sampled.py").write_text(SAMPLED)
    told, save = tmp_path / "runs/toy/0001/told", checkpoint.save

    def saving(parent, step, *words):
        with told.open("a") as file:
            file.write(f"saved {step}\n")
        return save(parent, step, *words)

    monkeypatch.setattr(checkpoint, "save", saving)
    words = ["--set", "record.evaluate_every=2", "--set", "record.sample_every=2", "--set", "record.best=coverage"]
    words += ["--set", "evaluations.modes.use=mode-coverage", "--set", "record.checkpoint_every=100"]
    result = ganforge("run", toy, "--plugin", tmp_path / "sampled.py", *words)
    assert result.status == 0, result.err
    lines = told.read_text().splitlines()
    assert [line for line in lines if line.startswith("sampled")] == [f"sampled {step}" for step in (0, 2, 4, 6, 8)]
    saved = [line.partition(" ")[2] for line in lines if line.startswith("saved")]
    assert saved[0] == "2"
    assert all(lines.index(f"sampled {step}") < lines.index(f"saved {step}") for step in saved)
