"""Observers that a recipe asks for: the table and TensorBoard."""

import csv
import importlib
import json
import shutil
import subprocess
import sys
import tomllib

import pytest

from tests.conftest import run_at
from tests.runs.forms import FORMS, make

csv_log = importlib.import_module("ganforge_observers.csv_log")

LOSSES = [
    "discriminator",
    "discriminator.adversarial.AB",
    "discriminator.adversarial.BA",
    "generator",
    "generator.adversarial.AB",
    "generator.adversarial.BA",
    "generator.reconstruction.AB",
    "generator.reconstruction.BA",
]


@pytest.fixture
def toy(default_toy):
    """The small recipe as it is, since tests append tables to it."""
    return default_toy


def with_observers(*names):
    return ["--set", f"record.observers={json.dumps(names)}"]


def crash(run):
    """Leave a run as one that broke down after its checkpoint of step 4."""
    shutil.rmtree(run / "checkpoints" / "step-00000008")
    (run / "checkpoints" / "latest").write_text("step-00000004")


def rows(run):
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def records(run):
    found = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [record for record in found if "losses" in record]


def test_without_being_asked_for_they_write_nothing(toy, ganforge, tmp_path):
    ganforge("run", toy)
    names = {path.name for path in (tmp_path / "runs" / "toy" / "0001").iterdir()}
    assert not names & {"log.csv", "tensorboard"}


def test_the_table_has_a_line_for_each_record_and_a_column_for_each_loss(toy, ganforge, tmp_path):
    assert ganforge("run", toy, *with_observers("csv")).status == 0
    run = tmp_path / "runs" / "toy" / "0001"
    lines = (run / "log.csv").read_text().splitlines()
    assert sorted(lines[0].split(",")) == sorted(["step", "steps_per_second", *LOSSES])
    assert lines[0].startswith("step,steps_per_second,")
    assert [row["step"] for row in rows(run)] == ["2", "4", "6", "8"]
    for row, record in zip(rows(run), records(run), strict=True):
        assert {name: float(row[name]) for name in LOSSES} == record["losses"]


def test_a_run_that_goes_on_from_an_older_checkpoint_writes_each_step_once(toy, ganforge, tmp_path):
    ganforge("run", toy, *with_observers("csv"))
    run = tmp_path / "runs" / "toy" / "0001"
    before = rows(run)
    crash(run)
    with (run / "log.csv").open("a") as file:
        file.write("6,1")  # a line that was being written
    assert ganforge("resume", run).status == 0
    after = rows(run)
    assert [row["step"] for row in after] == ["2", "4", "6", "8"]
    for name in LOSSES:
        assert [row[name] for row in after] == [row[name] for row in before]


def test_a_loss_that_comes_later_makes_the_table_wider(tmp_path):
    run, table = run_at(tmp_path, 3), csv_log.CsvLog()
    table.ganforge_started(run)
    table.ganforge_logged(run, {"step": 1, "steps_per_second": 9.5, "losses": {"generator": 0.25}})
    table.ganforge_logged(run, {"step": 2, "steps_per_second": 9.0, "losses": {"generator": 0.5, 'odd "," one': 2.0}})
    table.ganforge_logged(run, {"step": 3, "steps_per_second": 8.0, "losses": {'odd "," one': 3.0}})
    assert (tmp_path / "log.csv").read_text() == (
        'step,steps_per_second,generator,"odd "","" one"\n1,9.5,0.25,\n2,9.0,0.5,2.0\n3,8.0,,3.0\n'
    )
    run.step = 2
    table.ganforge_started(run)
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2"]


@pytest.mark.parametrize(
    "damage",
    [
        b"2,8.0,0.",
        b"2,8.0,0.1,0.2\n",
        b"2,8.0\n",
        b"2,8.0,0.5",
        b"\xff\n",
        b"2,\0,1\n",
        b'2,8.0,"x\n',
        b"x,1,2\n",
        b"\n",
        b"9" * 5000 + b",1,2\n",
        b"x" * 2_000_000 + b"\n",
        b"2," + b"x" * 200_000 + b",1\n",
    ],
    ids=lambda damage: repr(damage[:20]),
)
def test_a_line_of_the_table_that_is_not_whole_is_dropped_when_the_run_goes_on(damage, tmp_path):
    sound = b"step,steps_per_second,generator\n1,9.5,0.25\n"
    (tmp_path / "log.csv").write_bytes(sound + damage)
    csv_log.CsvLog().ganforge_started(run_at(tmp_path, 5))
    assert (tmp_path / "log.csv").read_bytes() == sound


def test_the_table_goes_on_after_a_line_that_a_full_disk_cut_off(tmp_path):
    run, table = run_at(tmp_path, 5), csv_log.CsvLog()
    table.ganforge_started(run)
    for step in (1, 2, 3):
        table.ganforge_logged(run, {"step": step, "steps_per_second": 9.5, "losses": {"generator": 0.25}})
        with (tmp_path / "log.csv").open("ab") as file:
            file.write(b"9,9.5,0.2")
    assert (tmp_path / "log.csv").read_text().splitlines()[:-1] == [
        "step,steps_per_second,generator",
        "1,9.5,0.25",
        "2,9.5,0.25",
        "3,9.5,0.25",
    ]


@pytest.mark.parametrize("form", [form for form in FORMS if form != "folder"])
def test_whatever_stands_in_the_tables_place_makes_way(form, tmp_path):
    make(tmp_path / "log.csv", form)
    run, table = run_at(tmp_path, 5), csv_log.CsvLog()
    table.ganforge_started(run)
    table.ganforge_logged(run, {"step": 1, "steps_per_second": 9.5, "losses": {}})
    assert (tmp_path / "log.csv").read_text() == "step,steps_per_second\n1,9.5\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("csw", "record.observers: unknown observer 'csw'; did you mean 'csv'?"),
        ("graph", "record.observers: unknown observer 'graph'; there are: csv, mlflow, tensorboard, wandb"),
        ("nobody/csv", "record.observers: unknown observer 'nobody/csv'; there are: ganforge_observers/csv, "),
        (3, "record.observers: expected the observer's name; there are: csv, mlflow, tensorboard, wandb"),
    ],
)
def test_an_unknown_observer_is_a_problem_of_the_recipe(toy, ganforge, name, message):
    result = ganforge("validate", toy, *with_observers("csv", name))
    assert result.status == 2
    assert f"error: --set record.observers={json.dumps(['csv', name])}: {message}" in result.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("observers = 'csv'", ':25: record.observers: expected a list of names; write observers = ["csv"]'),
        (
            "observers.csw = {}",
            ":25: record.observers: expected a list of names; put settings into a table [observers.csw]",
        ),
        (
            "[record.observers.csv]",
            ":25: record.observers: expected a list of names; put settings into a table [observers.csv]",
        ),
        ("[observers.csw]", ":25: observers.csw: unknown observer 'csw'; did you mean 'csv'?"),
        ("[observers.table]\nuse = 'csw'", ":26: observers.table.use: unknown observer 'csw'; did you"),
        ("[observers.csv]\nfile = 'x'", ":26: observers.csv.file: unknown setting 'file'; it has no"),
        ("[observers]\ncsv = 1", ":26: observers.csv: expected a table [observers.csv]"),
        ("[observers]\ncsv = 'csv'", ':26: observers.csv: expected a table; write [observers.csv] use = "csv"'),
        (
            "[compute]\nobservers = ['csv']",
            ":26: compute.observers: unknown setting 'observers'; it belongs in [record]",
        ),
    ],
)
def test_a_table_of_observers_is_checked_as_every_components(toy, ganforge, text, message):
    toy.write_text(toy.read_text() + text)
    result = ganforge("validate", toy)
    assert result.status == 2
    assert f"error: {toy}{message}" in result.err


def test_an_observer_of_a_parent_is_left_out_with_false(toy, understand):
    toy.write_text(toy.read_text() + "observers = ['csv', 'ganforge_observers/tensorboard']\n[observers.csv]\n")
    assert sorted(understand(toy).observers) == ["csv", "tensorboard"]
    assert list(understand(toy, "observers.csv=false").observers) == ["tensorboard"]
    assert not understand(toy, "observers.csv=false", "observers.tensorboard=false").observers
    other = understand(toy, "observers.more.use=wandb", "observers.more.project=x", "record.observers=[]").observers
    assert other["more"].settings["project"] == "x"


def test_observers_are_listed_and_shown_and_tensorboard_is_not_imported_for_that(tmp_path):
    code = (
        "import sys; from ganforge.cli.main import main\n"
        "for words in (['list', 'observer'], ['show', 'observer', 'csv'], ['show', 'observer', 'tensorboard']):\n"
        "    sys.argv = ['ganforge', *words]\n"
        "    try: main()\n"
        "    except SystemExit as stop: assert not stop.code\n"
        "assert 'tensorboard' not in sys.modules and 'torch.utils.tensorboard' not in sys.modules"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "Writes `log.csv`, with a line for each log record" in shown.stdout
    assert "observer csv  (ganforge_observers)" in shown.stdout


MINE = """
from pathlib import Path
from ganforge import hookimpl

class Ended:
    "Writes the last step, and how often it was told so far, beside the run."

    def __init__(self, run, *, file: str = "mine.txt", broken: bool = False) -> None:
        if broken:
            raise RuntimeError("no ink")
        self.file, self.told = run.folder / file, 0

    @hookimpl
    def ganforge_logged(self):
        self.told += 1

    @hookimpl
    def ganforge_saving(self):
        return {"told": self.told}

    @hookimpl
    def ganforge_restored(self, states):
        self.told = states["mine/ended"]["told"]

    @hookimpl
    def ganforge_ended(self, run):
        self.file.write_text(f"{run.step} {self.told}")

@hookimpl
def ganforge_register(register):
    register.observer("ended", Ended)
"""


@pytest.fixture
def mine(tmp_path):
    """A plugin file with an observer that has settings and state."""
    (tmp_path / "mine.py").write_text(MINE)
    return ["--plugin", "mine.py"]


def test_an_observer_may_be_named_with_its_plugin_and_another_plugin_may_offer_its_own(mine, toy, ganforge, tmp_path):
    result = ganforge("run", toy, *mine, *with_observers("mine/ended", "ganforge_observers/csv", "csv"))
    assert result.status == 0, result.err
    run = tmp_path / "runs" / "toy" / "0001"
    assert (run / "mine.txt").read_text() == "8 4"
    assert len(rows(run)) == 4
    lock = tomllib.loads((run / "recipe.lock.toml").read_text())
    assert lock["observers"] == {
        "ended": {"use": "mine/ended", "file": "mine.txt", "broken": False},
        "csv": {"use": "ganforge_observers/csv"},
    }
    assert set(lock["lock"]["plugins"]) >= {"mine", "ganforge_observers"}
    assert "not recorded" not in result.out + result.err  # an observer takes no part in the step


def test_an_observers_settings_and_state_come_back_with_its_run(mine, toy, ganforge, tmp_path):
    toy.write_text(toy.read_text() + "[observers.ended]\n[observers.more]\nuse = 'ended'\nfile = 'more.txt'\n")
    assert ganforge("run", toy, *mine).status == 0
    run = tmp_path / "runs" / "toy" / "0001"
    crash(run)
    assert ganforge("resume", run).status == 0
    assert (run / "mine.txt").read_text() == (run / "more.txt").read_text() == "8 4"


def test_an_observer_that_cannot_be_made_is_left_out_with_a_warning(mine, toy, ganforge, tmp_path):
    result = ganforge("run", toy, *mine, "--set", "observers.ended.broken=true")
    assert result.status == 0
    assert "warning: observer 'mine/ended' is disabled: RuntimeError: no ink" in result.err
    assert not (tmp_path / "runs" / "toy" / "0001" / "mine.txt").exists()


def test_tensorboard_that_is_not_installed_is_missed_before_the_training(toy, ganforge, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    result = ganforge("run", toy, *with_observers("tensorboard"))
    assert result.status == 2
    assert "record.observers: needs the package tensorboard" in result.err
    assert "pip install 'ganforge[tensorboard]'" in result.err
    assert not list(tmp_path.rglob("log.*"))


@pytest.fixture
def accumulated():
    """Read what TensorBoard would show."""
    pytest.importorskip("tensorboard")
    module = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")

    def call(run):
        events = module.EventAccumulator(str(run / "tensorboard"), {"images": 0, "scalars": 0})
        events.Reload()
        return events

    return call


def test_tensorboard_gets_losses_speed_metrics_and_samples(toy, ganforge, tmp_path, accumulated):
    sets = ["evaluations.modes.use=mode-coverage", "record.evaluate_every=4", "record.sample_every=4"]
    words = [word for text in sets for word in ("--set", text)]
    result = ganforge("run", toy, *words, *with_observers("tensorboard"))
    assert result.status == 0, result.err
    run = tmp_path / "runs" / "toy" / "0001"
    events = accumulated(run)
    tags = events.Tags()
    assert {tag for tag in tags["scalars"] if tag.startswith("losses/")} == {f"losses/{name}" for name in LOSSES}
    assert {"speed/steps_per_second", "test/modes.quality"} <= set(tags["scalars"])
    for name in LOSSES:
        shown = [(scalar.step, scalar.value) for scalar in events.Scalars(f"losses/{name}")]
        assert shown == [(record["step"], pytest.approx(record["losses"][name])) for record in records(run)]
    assert [scalar.step for scalar in events.Scalars("test/modes.quality")] == [4, 8]
    assert [image.step for image in events.Images("samples")] == [0, 4, 8]
    assert events.Images("samples")[0].encoded_image_string.startswith(b"\x89PNG")


def test_tensorboard_shows_each_step_once_where_a_run_went_back(toy, ganforge, tmp_path, accumulated):
    ganforge("run", toy, *with_observers("tensorboard"))
    run = tmp_path / "runs" / "toy" / "0001"
    crash(run)
    assert ganforge("resume", run).status == 0
    assert [scalar.step for scalar in accumulated(run).Scalars("losses/generator")] == [2, 4, 6, 8]
