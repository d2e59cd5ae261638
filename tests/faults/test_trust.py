"""A stranger's run folder, made of links and lies: nothing outside of it is read, written or deleted."""

import itertools
import json
import os
import re
import shutil
import tomllib
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ganforge.errors import InputError
from ganforge.runs import checkpoint
from ganforge.system.folder import Folder
from tests.conftest import TOY, run_command

WORDS = ["--set", "evaluations.modes={use='mode-coverage'}", "--set", "record.observers=['csv']"]
PRECIOUS = "precious\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run with everything that a run writes."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "toy.toml").write_text(TOY)
    words = [*WORDS, "--set", "record.sample_every=4", "--out", str(folder)]
    assert run_command("run", folder / "toy.toml", *words) == 0
    return folder / "toy" / "0001"


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the run."""
    return Path(shutil.copytree(finished, tmp_path / "runs" / "toy" / "0001"))


def outside_of(tmp_path):
    """A folder of files that somebody wants to keep."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("file", "step-00000002", ".old.0123456789abcdef"):
        (outside / name).write_text(PRECIOUS)
    return outside


def is_untouched(outside):
    return {path.name: path.read_text() for path in outside.iterdir()} == dict.fromkeys(
        ("file", "step-00000002", ".old.0123456789abcdef"), PRECIOUS
    )


OTHERS = (
    *("log.csv", "metrics.json", "report.html", "recipe.lock.toml", ".lock"),
    *("samples", "figures", "checkpoints/latest", "figures/figure4.png"),
)


@pytest.mark.parametrize(
    "name",
    [
        *("log.jsonl", "checkpoints", "samples/step-00000012.png"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS),
    ],
)
def test_nothing_is_written_or_deleted_through_a_link(name, run, ganforge, tmp_path):
    outside, place = outside_of(tmp_path), run / name
    is_folder = place.is_dir()
    kept = tmp_path / "kept"
    if place.exists() or place.is_symlink():
        shutil.move(place, kept)
    if name == "checkpoints":  # with all that is needed behind the link
        for path in kept.iterdir():
            shutil.move(path, outside)
    place.symlink_to(outside if is_folder else outside / "file")
    for words in (["evaluate", run], ["report", run], ["resume", run, "--set", "train.steps=12"]):
        result = ganforge(*words)
        assert result.status in (0, 1, 2, 3)
        if name == "checkpoints" and words[0] != "report":
            assert "a link that leads out of the run's folder" in result.err
    if name == "checkpoints":
        for path in list(outside.iterdir()):
            if path.name in ("latest", "step-00000004", "step-00000008"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert is_untouched(outside)


def test_a_folder_of_links_is_refused_in_one_line_and_a_link_to_the_run_itself_is_none(run, ganforge, tmp_path):
    (tmp_path / "here").symlink_to(run)
    assert ganforge("resume", tmp_path / "here", "--set", "train.steps=10").status == 0
    shutil.move(run / "samples", tmp_path / "elsewhere")
    (run / "samples").symlink_to(tmp_path / "elsewhere")
    before = sorted(path.name for path in (tmp_path / "elsewhere").iterdir())
    result = ganforge("resume", run, "--set", "train.steps=16")
    assert result.status == 1
    assert "samples/step-00000012.png is blocked by a link or another file" in " ".join(result.err.split())
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == before


def test_what_is_read_through_a_link_that_leads_out_is_refused(tmp_path):
    (tmp_path / "run" / "a").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "run" / "a" / "file").write_text("mine")
    (tmp_path / "run" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "run" / "in").symlink_to("a/file")
    (tmp_path / "run" / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "run" / "pipe")
    with Folder(tmp_path / "run") as folder:
        assert folder.read("in") == folder.read("a/file") == b"mine"
        for name, message in (
            *(("out", "leads out"), ("up/secret", "leads out"), ("../secret", "leads out")),
            *(("pipe", "is not a file"), ("a", "is not a file")),
        ):
            with pytest.raises(InputError, match=message):
                folder.read(name)
        for write in (folder.write, folder.append):
            with pytest.raises(OSError, match="up/new is blocked"):
                write("up/new", "x")
        with pytest.raises(OSError, match="is blocked by a link"):
            folder.append("out", "x")
        folder.write("out", "x")  # which replaces the link itself
    assert (tmp_path / "secret").read_text() == "secret"
    assert not (tmp_path / "new").exists()


def test_lines_are_appended_on_a_line_of_their_own_and_not_to_other_names_of_the_file(tmp_path):
    (tmp_path / "log").write_text("one\ntw")
    os.link(tmp_path / "log", tmp_path / "backup")
    with Folder(tmp_path) as folder:
        folder.append("log", "three\n")
        folder.append("log", "four\n")
    assert (tmp_path / "log").read_text() == "one\ntw\nthree\nfour\n"
    assert (tmp_path / "backup").read_text() == "one\ntw"


def test_a_folder_that_moves_is_written_where_it_is_and_one_that_is_gone_is_told(tmp_path):
    (tmp_path / "run").mkdir()
    with Folder(tmp_path / "run") as folder:
        (tmp_path / "run").rename(tmp_path / "moved")
        folder.write("a/b.txt", "x")
        assert (tmp_path / "moved" / "a" / "b.txt").read_text() == "x"
        assert not (tmp_path / "run").exists()
        shutil.rmtree(tmp_path / "moved")
        with pytest.raises(OSError, match="the folder is gone"):
            folder.append("log", "x")


def test_a_run_folder_that_is_moved_while_it_trains_stays_one_folder(toy, ganforge, tmp_path):
    (tmp_path / "mover.py").write_text(
        "from ganforge import hookimpl\n"
        "@hookimpl(trylast=True)\n"
        "def ganforge_logged(run, record):\n"
        "    if record['step'] == 4:\n"
        "        run.folder.rename(run.folder.with_name('moved'))\n"
    )
    result = ganforge("run", toy, "--plugin", "mover.py")
    assert result.status == 0, result.err
    runs = tmp_path / "runs" / "toy"
    assert [path.name for path in runs.iterdir()] == ["moved"]
    assert checkpoint.pointed(runs / "moved" / "checkpoints", "latest").name == "step-00000008"
    assert len((runs / "moved" / "log.jsonl").read_text().splitlines()) >= 4


@pytest.mark.slow
def test_fewer_steps_than_are_done_change_nothing(run, ganforge):
    before = (run / "recipe.lock.toml").read_text()
    for words in (["train.steps=4"], ["train.steps=8"], ["record.log_every=1"]):
        result = ganforge("resume", run, "--set", *words)
        assert result.status == 0
        assert (run / "recipe.lock.toml").read_text() == before
    assert "is done: 8 steps, more than the 4 asked for" in ganforge("resume", run, "--set", "train.steps=4").out
    assert ganforge("resume", run, "--set", "train.steps=10").status == 0
    assert tomllib.loads((run / "recipe.lock.toml").read_text())["train"]["steps"] == 10


@pytest.fixture
def data_recipe(toy, tmp_path):
    """A recipe of six steps on two small folders of pictures, and the folder that holds both."""
    for side, number in itertools.product("ab", range(8)):
        path = tmp_path / "data" / side / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * number, 90, 200 if side == "a" else 0)).save(path)
    recipe = tmp_path / "small.toml"
    dataset = '[dataset]\nuse = "folders"\na = "data/a"\nb = "data/b"\nsize = 16\ntest_share = 0.25\n'
    text = toy.read_text().replace('[dataset]\nuse = "mixture"\n', dataset).replace("batch = 16", "batch = 2")
    conv = ('use = "conv"\nwidth = 2', 'use = "mlp"\nhidden = 8')
    text = text.replace(conv[1], conv[0]).replace("steps = 8", "steps = 4")
    recipe.write_text(text + '[evaluations.cycle]\nuse = "reconstruction"\n')
    return recipe, tmp_path / "data"


METRICS = """\
from ganforge import Findings, hookimpl

def odd(trained, *, value: float = 1.0, fail: str = ""):
    \"\"\"A number; nothing finite before step 6.\"\"\"
    if fail and (trained.step or fail == "early"):
        raise (SystemExit if fail == "exit" else ArithmeticError)(3)
    step = trained.step
    return Findings({"value": float("nan") if step < 6 else -step, "endless": float("inf")})

def nothing(trained):
    \"\"\"None.\"\"\"

@hookimpl
def ganforge_register(register):
    register.evaluation("odd", odd)
    register.evaluation("nothing", nothing)
"""
ODD = ["--plugin", "odd.py", "--set", "evaluations.odd={use='odd'}", "--set", "record.evaluate_every=2"]


def test_json_holds_json_and_what_is_not_finite_is_never_the_best(toy, ganforge, tmp_path):
    (tmp_path / "odd.py").write_text(METRICS)
    assert ganforge("run", toy, *ODD, "--set", "record.best=value", "--set", "record.checkpoint_every=2").status == 0
    run = tmp_path / "runs" / "toy" / "0001"
    assert (run / "checkpoints" / "best").read_text() == "step-00000006"
    assert json.loads((run / "metrics.json").read_text())["test"] == {"odd": {"value": -8, "endless": None}}
    for path in [run / "metrics.json", *run.glob("checkpoints/*/*.json")]:
        json.loads(path.read_text(), parse_constant=pytest.fail)
    for line in (run / "log.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize("fail", ["raise", "exit"])
def test_an_evaluation_that_fails_is_named_and_costs_nothing_else(fail, toy, ganforge, tmp_path):
    (tmp_path / "odd.py").write_text(METRICS)
    words = ["--set", f"evaluations.bad={{use='odd', fail='{fail}'}}"]
    result = ganforge("run", toy, *ODD, *words)
    assert result.status == 3
    assert "error: evaluation 'bad' failed: " in result.err
    run = tmp_path / "runs" / "toy" / "0001"
    assert json.loads((run / "metrics.json").read_text())["test"]["odd"]["value"] == -8
    assert load_file(run / "checkpoints" / "step-00000008" / "G_AB.safetensors")
    again = ganforge("resume", run)  # which tries the evaluations again
    assert again.status == 3
    assert [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines() if '"metrics"' in line][-1][
        "step"
    ] == 8


def test_evaluations_are_tried_before_the_first_step(toy, ganforge, tmp_path):
    (tmp_path / "odd.py").write_text(METRICS)
    result = ganforge("run", toy, "--plugin", "odd.py", "--set", "evaluations.none={use='nothing'}")
    assert result.status == 3
    assert "returns NoneType, expected ganforge.Findings" in result.err
    assert not (tmp_path / "runs" / "toy" / "0001" / "log.jsonl").exists()
    result = ganforge("run", toy, *ODD, "--set", "evaluations.bad={use='odd', fail='early'}")
    assert "This was a trial before the training, which continues" in " ".join(result.out.split())


def test_an_evaluation_may_change_nothing_but_where_data_lie(run, ganforge):
    result = ganforge("evaluate", run, "--set", "train.steps=3")
    assert result.status == 2
    assert "--set train.steps=3: of trained networks, only dataset.* and evaluations.* may change" in result.err


def test_data_that_moved_are_found_again_and_others_refused(ganforge, tmp_path, data_recipe):
    recipe, data = data_recipe
    assert ganforge("run", recipe).status == 0
    run = tmp_path / "runs" / recipe.stem / "0001"
    weights = next(run.glob("checkpoints/step-*/G_AB.safetensors"))
    assert str(tmp_path) not in checkpoint.read_recipe(weights)
    data.rename(tmp_path / "moved")
    more = ["--set", "train.steps=6"]
    assert "set dataset.a" in ganforge("resume", run, *more).err
    moved = [word for side in "ab" for word in ("--set", f"dataset.{side}={tmp_path / 'moved' / side}")]
    assert ganforge("evaluate", run, *moved).status == 0
    assert ganforge("resume", run, *more, *moved).status == 0
    (tmp_path / "moved" / "a" / "0.png").write_bytes((tmp_path / "moved" / "b" / "0.png").read_bytes())
    result = ganforge("resume", run, "--set", "train.steps=8")
    assert result.status == 0
    assert re.search(r"t\w+\.A has changed since the run began: it was \d samples, ", " ".join(result.out.split()))
    shutil.copy(tmp_path / "moved" / "b" / "1.png", tmp_path / "moved" / "a" / "1.png")
    result = ganforge("resume", run, "--set", "train.steps=12", *moved)
    assert result.status == 2
    assert re.search(r"these are not the data of the run: t\w+\.A has changed", result.err)


def test_a_plugin_file_that_changed_is_told(toy, ganforge, tmp_path):
    (tmp_path / "odd.py").write_text(METRICS)
    assert ganforge("run", toy, *ODD).status == 0
    run = tmp_path / "runs" / "toy" / "0001"
    with Path(run / "plugins" / "odd.py").open("a") as file:
        file.write("# other\n")
    result = ganforge("resume", run, "--set", "train.steps=10")
    assert "plugins/odd.py has changed since the run began" in " ".join(result.out.split())


def test_a_state_of_another_recipe_is_refused_in_one_line(run, ganforge):
    newest = checkpoint.pointed(run / "checkpoints", "latest")
    with Folder(newest) as folder:
        digest = checkpoint.write_tensors(folder, "training", {"0": torch.zeros(1)}, {"step": "8"})
        state = json.loads((newest / "state.json").read_text())
        state["files"]["training.safetensors"] = digest
        state["training"] = {"dict": [["players", {"tensor": "0"}]]}
        del state["digest"]
        folder.write("state.json", json.dumps({**state, "digest": checkpoint._digest_text(state)}))
    result = ganforge("resume", run, "--set", "train.steps=10")
    assert result.status == 2
    assert "does not fit its recipe" in result.err


STOPPING = """\
import os, signal
from ganforge import Findings, hookimpl

def stopping(trained):
    \"\"\"Somebody presses Ctrl-C after the last step.\"\"\"
    if trained.step:
        os.kill(os.getpid(), signal.SIGINT)
    return Findings({"value": 1.0})

@hookimpl
def ganforge_register(register):
    register.evaluation("stopping", stopping)
"""


def test_an_interruption_of_the_last_evaluation_says_how_to_go_on(toy, ganforge, tmp_path):
    (tmp_path / "stopping.py").write_text(STOPPING)
    words = ["--plugin", "stopping.py", "--set", "evaluations.stop={use='stopping'}"]
    result = ganforge("run", toy, *words)
    assert result.status == 130
    assert "interrupted at step 8; continue with: ganforge resume runs/toy/0001" in result.err
    run = tmp_path / "runs" / "toy" / "0001"
    (run / "plugins" / "stopping.py").write_text(STOPPING.replace("if trained.step", "if False"))
    assert ganforge("resume", run).status == 0
    assert json.loads((run / "metrics.json").read_text())["test"] == {"stop": {"value": 1.0}}


def test_what_a_run_writes_has_the_permissions_of_the_umask(toy, ganforge, tmp_path):
    older = os.umask(0o027)
    try:
        assert ganforge("run", toy).status == 0
    finally:
        os.umask(older)
    run = tmp_path / "runs" / "toy" / "0001"
    modes = {path.stat().st_mode & 0o777 for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    assert modes == {0o640}
