"""Grids: `--vary`, its points, the runs at them, what is said of them, and the picture of a metric against a key."""

import importlib
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ganforge import InputError

grid, results, sweep, tables, task = (
    importlib.import_module(f"ganforge_compare.{name}") for name in ("grid", "results", "sweep", "tables", "work.task")
)

SETS = ["train.steps=4", "generator.hidden=8", "discriminator.hidden=8", "train.batch=8", "record.sample_every=0"]
WORDS = [word for text in SETS for word in ("--set", text)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=1,10,100", ["1", "10", "100"]),
        ("a.b = 1 , 10.0", ["1", "10"]),
        ("a.b=1e-4,0.001", ["0.0001", "0.001"]),
        ("a.b=true,false", ["true", "false"]),
        ("a.b=adam,sgd", ["adam", "sgd"]),
        ("a.b=[0.5, 0.9],[0, 0.9]", ["[0.5, 0.9]", "[0, 0.9]"]),
        ("a.b={ steps = [0, 9], values = [1, 0] },1", ["{ steps = [0, 9], values = [1, 0] }", "1"]),
        ("""a.b="x,y",'z,"w'""", ['"x,y"', """'z,"w'"""]),
        (r'a.b="x\",y",z', [r'"x\",y"', "z"]),
        ("a.b=it's,we're", ["it's", "we're"]),
        ("a.b=x[1,y]2", ["x[1", "y]2"]),
        ("a.b=runs/x,hub:a/b", ["runs/x", "hub:a/b"]),
        ("a.b=nan,inf", ["nan", "inf"]),
        ("a.b=9007199254740993,9007199254740992.0", ["9007199254740993", "9007199254740992.0"]),
        ('a.b="1",1', ['"1"', "1"]),
        ("a.b=1\n2", ["1\n2"]),
    ],
)
def test_values_are_parted_at_commas_that_stand_in_no_value(text, values):
    assert [point.values for point in grid.points([text])] == [{"a.b": value} for value in values]


def test_several_keys_make_a_product_and_none_makes_one_point_that_sets_nothing():
    points = grid.points(["a.b=1,2", "c.d=x,y"])
    assert [point.label for point in points] == ["a.b=1, c.d=x", "a.b=1, c.d=y", "a.b=2, c.d=x", "a.b=2, c.d=y"]
    assert points[3].sets == ["a.b=2", "c.d=y"]
    assert [point.sets for point in grid.points([])] == [[]]


@pytest.mark.parametrize(
    ("varied", "message"),
    [
        (["a.b"], "--vary a.b: expected KEY=VALUE,VALUE,..., such as losses.reconstruction.weight=1,10,100"),
        (["a.b="], "--vary a.b=: expected KEY=VALUE,VALUE,"),
        (["=1,2"], "--vary =1,2: expected KEY=VALUE,VALUE,"),
        (["a.b=1,,2"], "--vary a.b=1,,2: expected KEY=VALUE,VALUE,"),
        (["a.b=1,2", "a.b=3"], "--vary a.b=3: 'a.b' is varied twice"),
        (["a.b=1,2,1.0"], "--vary a.b=1,2,1.0: the value 1 is given twice"),
        (["train.seed=1,2"], "--vary train.seed=1,2: every point has the same seeds"),
    ],
)
def test_what_makes_no_grid_is_refused(varied, message):
    with pytest.raises(InputError) as caught:
        grid.points(varied)
    assert str(caught.value).startswith(message)


def test_folders_of_points_are_named_for_every_file_system_and_never_alike():
    labels = [
        "losses.reconstruction.weight=10",
        "dataset.root=/data/a",
        "dataset.root=/data_a",
        "train.norm=Batch",
        "train.norm=batch",
        "generator.use=" + "x" * 300,
        "generator.use=" + "x" * 301,
        "a.b={ steps = [0, 9], values = [1, 0] }",
        "a.b=1.",
        "a.b=\udcff",
        "a.b=Ä",
    ]
    names = [grid.as_name(label) for label in labels]
    assert names[0] == "losses.reconstruction.weight=10"
    assert names[4] == "train.norm=batch"
    assert len({name.lower() for name in names}) == len(labels)
    for name in names:
        assert len(name) <= 100
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.,=+-")
        assert name[-1] not in ".,"


def test_every_fault_of_every_point_is_told_with_its_recipe_before_anything_is_trained(ganforge, tmp_path):
    result = ganforge("compare", "gan_toy", "discogan_toy", "--vary", "losses.reconstruction.weight=1,lots")
    assert result.status == 2
    lines = result.err.splitlines()
    assert [line.partition(": ")[2].partition(": ")[0] for line in lines] == ["gan_toy", "gan_toy", "discogan_toy"]
    assert "losses.reconstruction.use: names no loss; there are: " in lines[0]
    wanted = "losses.reconstruction.weight: expected number or table with steps, values, between, every, got"
    assert lines[2] == f'error: discogan_toy: --vary losses.reconstruction.weight=lots: {wanted} "lots"'
    unknown = ganforge("compare", "discogan_toy", "--vary", "losses.reconstruction.weihgt=1,2")
    assert "error: discogan_toy: --vary losses.reconstruction.weihgt=1: " in unknown.err
    assert not (tmp_path / "comparison").exists()


def test_a_key_that_changes_nothing_in_a_recipe_is_refused(ganforge, tmp_path):
    result = ganforge("compare", "discogan_toy", "--vary", "train.augment.flip=false", "--vary", "train.steps=5,5e0")
    assert "the value 5 is given twice" in result.err
    words = ["--vary", "dataset.sigma=0.1,0.2", "--vary", "optimizer.lr=1e-3,2e-3"]
    (tmp_path / "mine.toml").write_text(
        "extends = 'discogan_toy'\n[optimizer.generator]\nlr = 1e-4\n[optimizer.discriminator]\nlr = 1e-4\n"
    )
    result = ganforge("compare", "mine.toml", *words)
    assert result.status == 2
    assert result.err == (
        "error: --vary: optimizer.lr has no effect on 'mine.toml': "
        "dataset.sigma=0.1, optimizer.lr=0.001 and dataset.sigma=0.1, optimizer.lr=0.002 give the same run\n"
    )


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    """A grid of two values, trained with one seed: its folder, and what the command printed."""
    folder = tmp_path_factory.mktemp("varied")
    command = [sys.executable, "-m", "ganforge", "compare", "discogan_toy", "--seeds", "1", *WORDS]
    command += ["--vary", "losses.reconstruction.weight=1,10.0"]
    return folder / "comparison", subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_each_point_is_trained_in_a_folder_of_its_own_and_drawn_against_the_key(varied):
    out, result = varied
    assert result.returncode == 0, result.stderr
    for weight in ("1", "10"):
        folder = out / f"losses.reconstruction.weight={weight}" / "seed-0" / "discogan_toy" / "0001"
        lock = (folder / "recipe.lock.toml").read_text()
        assert f"weight = {weight}.0\n" in lock.partition("[losses.reconstruction]")[2]
    found = json.loads((out / "comparison.json").read_text())
    names = [f"discogan_toy, losses.reconstruction.weight={weight}" for weight in ("1", "10")]
    assert list(found["recipes"]) == names
    assert found["varied"] == {"losses.reconstruction.weight": ["1", "10"]}
    assert found["recipes"][names[1]]["point"] == {"losses.reconstruction.weight": "10"}
    assert {(one["first"], one["second"], one["by"]) for one in found["differences"]} == {
        (*names, "losses.reconstruction.weight")
    }
    table = [line.split() for line in result.stdout.splitlines()]
    assert table[0] == ["metric", "recipe", "weight", "mean", "±", "deviation", "seeds"]
    assert ["metric", "weight", "against", "weight=1"] in table
    picture = out / "comparison_losses.reconstruction.weight.png"
    assert f"losses.reconstruction.weight: {picture.relative_to(out.parent)}\n" in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert 'alt="each metric against losses.reconstruction.weight"' in (out / "comparison.html").read_text()
    assert not (out / "comparison_seeds.png").exists()


@pytest.mark.slow
def test_the_same_grid_written_otherwise_finds_its_runs_and_a_value_more_is_added(varied, ganforge, monkeypatch):
    out, _ = varied
    missing = []
    comparison = importlib.import_module("ganforge_compare.comparison")
    monkeypatch.setattr(
        comparison, "train", lambda members, *_: missing.extend(m for m in members if not m.is_done) or []
    )
    words = ["compare", "discogan_toy", "--seeds", "1", *WORDS, "--out", out, "--json"]
    again = ganforge(*words, "--vary", "losses.reconstruction.weight=1.0,1e1,100")
    assert again.status == 0, again.err
    assert [member.label for member in missing] == ["discogan_toy, losses.reconstruction.weight=100, seed 0"]
    assert json.loads(again.out) == json.loads((out / "comparison.json").read_text())


def test_a_training_is_given_the_values_of_its_point_after_those_of_all(tmp_path):
    member = SimpleNamespace(
        recipe="mine.toml",
        label="mine, a.b=[1, 2], seed 3",
        folder=tmp_path / "0001",
        output=tmp_path / "mine.txt",
        out=tmp_path,
        seed=3,
        point=grid.Point({"a.b": "[1, 2]"}),
        plan=SimpleNamespace(train=SimpleNamespace(steps=9), plugin_files=[]),
    )
    made = task.task_of(member, ["--set", "a.b=0"], ["--device", "cpu"])
    sets = ["--set", "a.b=0", "--set", "a.b=[1, 2]", "--set", "train.seed=3"]
    assert made.run == ["run", "mine.toml", *sets, "--out", str(tmp_path), "--device", "cpu"]
    assert made.resume == ["resume", str(tmp_path / "0001"), "--set", "train.steps=9", "--device", "cpu"]
