"""Observers for trackers, against the real packages, offline; and what they share, against one that only notes."""

import importlib
import json
import shutil
import struct
import tomllib

import pytest

from ganforge.runs.checkpoint import read_recipe
from tests.conftest import TOY, run_at
from tests.observers.test_optional import LOSSES, crash, records

tracker = importlib.import_module("ganforge_observers.tracker")

SETS = ("evaluations.back.use=reconstruction", "record.evaluate_every=4", "record.sample_every=4")
WORDS = [word for text in SETS for word in ("--set", text)]


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """Keep trackers from looking around on this machine, and from the network."""
    for key in ("WANDB_X_DISABLE_STATS", "WANDB_X_DISABLE_META", "WANDB_X_DISABLE_MACHINE_INFO"):
        monkeypatch.setenv(key, "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb_config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "wandb_cache"))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.delenv("WANDB_MODE", raising=False)


NOTING = '''
"""A tracker that notes what it is told, and fails when it is asked to."""

import json
from ganforge import hookimpl
from ganforge_observers.tracker import Tracker, settings_of

class Noting(Tracker):
    name = "noting"

    def __init__(self, *, fails: str = "") -> None:
        super().__init__()
        self.fails = fails

    def note(self, *what):
        if what[0] == self.fails:
            raise ConnectionError("no\\nnetwork")
        with open(self.file, "a") as file:
            print(json.dumps(what), file=file)

    def open(self, run, known):
        self.file = run.folder / "noted.txt"
        self.note("open", known, settings_of(run)["train.steps"])
        return known or "an id"

    def tell(self, step, values):
        self.note("tell", step, sorted(values))

    def show(self, step, picture):
        self.note("show", step, picture.shape)

    def warn(self, messages):
        self.note("warn", messages)

    def close(self, *, finished):
        self.note("close", finished)

@hookimpl
def ganforge_register(register):
    register.observer("noting", Noting)
'''


@pytest.fixture
def noting(tmp_path):
    """The words that have a run tell the noting tracker."""
    (tmp_path / "noting_plugin.py").write_text(NOTING)
    return [*WORDS, "--plugin", "noting_plugin.py", "--set", "observers.noting={}"]


def noted(run):
    return [json.loads(line) for line in (run / "noted.txt").read_text().splitlines()]


def test_a_tracker_is_told_everything_once_also_by_a_run_that_broke_down(noting, toy, ganforge, tmp_path):
    result = ganforge("run", toy, *noting, "--set", "dataset.validation=0.25")
    assert result.status == 0, result.err
    run = tmp_path / "runs" / "toy" / "0001"
    numbers = sorted([*(f"losses/{name}" for name in LOSSES), "rates/discriminator", "rates/generator"])
    first = noted(run)
    assert first[0] == ["open", None, 8]
    assert first[-1] == ["close", True]
    assert [one[1] for one in first if one[0] == "show"] == [0, 4, 8]
    told = [(step, names) for what, step, names in (one for one in first if one[0] == "tell")]
    assert [step for step, names in told if names == [*numbers, "speed/steps_per_second"]] == [2, 4, 6, 8]
    assert [step for step, names in told if "validation/back.cycle_rmse_A" in names] == [4, 8]
    assert [step for step, names in told if "test/back.cycle_rmse_A" in names] == [8]

    crash(run)
    result = ganforge("resume", run, "--set", "observers.csv={}")  # others may look on from now on
    assert result.status == 0, result.err
    assert (run / "log.csv").exists()
    assert list(tomllib.loads((run / "recipe.lock.toml").read_text())["observers"]) == ["noting", "csv"]
    again = noted(run)[len(first) :]
    assert [one for one in again if one[0] != "warn"] == [["open", "an id", 8], ["close", True]]


@pytest.mark.parametrize(
    "at", ["open", *(pytest.param(at, marks=pytest.mark.slow) for at in ("tell", "show")), "close"]
)
def test_a_tracker_that_fails_is_told_no_more_and_the_training_goes_on(at, noting, toy, ganforge, tmp_path):
    result = ganforge("run", toy, *noting, "--set", f"observers.noting.fails={at}")
    assert result.status == 0, result.err
    run = tmp_path / "runs" / "toy" / "0001"
    warning = "nothing more of this run is sent to noting; the run continues: ConnectionError: no network"
    assert (result.out + result.err).count(warning) == 1
    assert [record["step"] for record in records(run)] == [2, 4, 6, 8]
    kinds = [one[0] for one in noted(run)] if at != "open" else []
    assert at not in kinds
    assert len([kind for kind in kinds if kind == "close"]) == 0


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"id": 3, "told": {}}', b'{"id": "x", "told": 3}', b"\xff"])
def test_a_note_that_is_damaged_begins_anew(damage, tmp_path):
    (tmp_path / "noting.json").write_bytes(damage)
    assert tracker._remembered(run_at(tmp_path), "noting") == (None, {})
    (tmp_path / "noting.json").write_text('{"id": "x", "told": {"log": 8}}')
    assert tracker._remembered(run_at(tmp_path), "noting") == ("x", {"log": 8})


def test_numbers_have_the_names_that_tensorboard_has_too():
    record = {"step": 3, "losses": {"generator.gan.AB": 0.5}, "rates": {"generator": 2e-4}, "steps_per_second": 9.5}
    assert tracker.numbers_of(record) == {
        "losses/generator.gan.AB": 0.5,
        "rates/generator": 2e-4,
        "speed/steps_per_second": 9.5,
    }
    assert tracker.metrics_of({"fid": {"AB": 3.0}}, "validation") == {"validation/fid.AB": 3.0}


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_package_that_is_missing_is_missed_before_the_training(name, toy, ganforge, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, name, None)
    result = ganforge("run", toy, "--set", f"observers.{name}={{}}")
    assert result.status == 2
    assert f"observers.{name}: needs the package {name}: pip install 'ganforge[{name}]'" in result.err
    assert not list(tmp_path.rglob("log.*"))
    assert ganforge("show", "observer", name).status == 0
    assert name in ganforge("list", "observer").out


def kept_in(folder):
    """Yield the records of an offline run of wandb: its file is a log in LevelDB's format after seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("*.wandb")
    data, place, part = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        _, size, kind = struct.unpack_from("<IHB", data, place)
        if left < 7 or kind == 0:
            place += left
            continue
        part, place = part + data[place + 7 : place + 7 + size], place + 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(part)
            part = b""


def rows_of(folder):
    """Read what an offline run of wandb holds: its run, settings, rows, and how it ended."""
    kept = list(kept_in(folder))

    def table(items):
        return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}

    (run,) = [one.run for one in kept if one.HasField("run")]
    assert run.resume  # so that `wandb sync` adds to what is there
    (end,) = [one.exit.exit_code for one in kept if one.HasField("exit")]
    rows = [table(one.history.item) for one in kept if one.HasField("history")]
    return {"id": run.run_id, "project": run.project, "config": table(run.config.update), "rows": rows, "exit": end}


def losses_of(run):
    return [record["losses"] for record in records(run)]


@pytest.mark.slow
def test_wandb_keeps_a_run_offline_and_goes_on_with_it(toy, ganforge, tmp_path):
    pytest.importorskip("wandb")
    result = ganforge("run", toy, *WORDS, "--set", "observers.wandb={mode='offline', project='mine'}")
    assert result.status == 0, result.err
    assert "told no more" not in result.out + result.err
    run = tmp_path / "runs" / "toy" / "0001"
    assert ganforge("run", toy, *WORDS).status == 0
    assert losses_of(run) == losses_of(run.with_name("0002"))  # looking changes nothing
    passed_on = read_recipe(run / "checkpoints" / "step-00000008" / "G_AB.safetensors")
    assert "wandb" not in passed_on  # which is this user's affair
    (folder,) = (run / "wandb").glob("offline-run-*")
    kept = rows_of(folder)
    assert kept["id"] == json.loads((run / "wandb.json").read_text())["id"]
    assert (kept["project"], kept["exit"]) == ("mine", 0)
    assert kept["config"]["losses.reconstruction.weight"] == 10.0
    for name in LOSSES:
        shown = [(row["step"], row[f"losses/{name}"]) for row in kept["rows"] if f"losses/{name}" in row]
        assert shown == [(one["step"], pytest.approx(one["losses"][name])) for one in records(run)]
    assert [row["step"] for row in kept["rows"] if "test/back.cycle_rmse_A" in row] == [4, 8]
    assert [row["step"] for row in kept["rows"] if "samples/path" in row] == [0, 4, 8]
    assert len(list(folder.rglob("*.png"))) == 3

    crash(run)
    shutil.rmtree(run / "wandb")
    result = ganforge("resume", run, "--set", "train.steps=10")
    assert result.status == 0, result.err
    (folder,) = (run / "wandb").glob("offline-run-*")
    more = rows_of(folder)
    assert more["id"] == kept["id"]
    assert [row["step"] for row in more["rows"] if "losses/generator" in row] == [10]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """An empty database of MLflow, which takes seconds to make."""
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    import warnings

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        place = tmp_path_factory.mktemp("mlflow")
        uri = f"sqlite:///{place / 'mlflow.db'}"
        MlflowClient(tracking_uri=uri).create_experiment("ganforge", artifact_location=str(place / "artifacts"))
    return uri


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize("store", ["database", "folder"])
def test_mlflow_keeps_a_run_and_goes_on_with_it(store, toy, ganforge, tmp_path, request):
    pytest.importorskip("mlflow")
    uri = request.getfixturevalue("database") if store == "database" else str(tmp_path / "mlruns")
    toy.write_text(TOY + f"[observers.mlflow]\ntracking_uri = '{uri}'\ntags = {{ who = 'me' }}\n")
    result = ganforge("run", toy, *WORDS)
    assert result.status == 0, result.err
    assert "told no more" not in result.out + result.err
    run = tmp_path / "runs" / "toy" / "0001"
    name = json.loads((run / "mlflow.json").read_text())["id"]
    assert ganforge("run", toy, *WORDS, "--set", "observers.mlflow=false").status == 0
    assert losses_of(run) == losses_of(run.with_name("0002"))  # looking changes nothing
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)

    def history(key):
        return sorted((one.step, one.value) for one in client.get_metric_history(name, key))

    kept = client.get_run(name)
    assert kept.info.status == "FINISHED"
    assert kept.info.run_name == "toy/0001"
    assert kept.data.tags["who"] == "me"
    assert kept.data.params["losses.reconstruction.weight"] == "10.0"
    for loss in LOSSES:
        expected = [(one["step"], pytest.approx(one["losses"][loss])) for one in records(run)]
        assert history(f"losses/{loss}") == expected
    assert [step for step, _ in history("test/back.cycle_rmse_A")] == [4, 8]
    pictures = [file.path for file in client.list_artifacts(name, "images") if file.path.endswith(".png")]
    assert len(pictures) == 3

    crash(run)
    result = ganforge("resume", run, "--set", "train.steps=10")
    assert result.status == 0, result.err
    assert "told no more" not in result.out + result.err
    assert [step for step, _ in history("losses/generator")] == [2, 4, 6, 8, 10]
    assert client.get_run(name).info.status == "FINISHED"


@pytest.mark.filterwarnings("ignore")
def test_mlflow_whose_server_is_not_there_does_not_stop_the_training(toy, ganforge, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    result = ganforge("run", toy, "--set", "observers.mlflow.tracking_uri=http://127.0.0.1:9")
    assert result.status == 0, result.err
    assert (result.out + result.err).count("nothing more of this run is sent to mlflow; the run continues: ") == 1


def test_wandb_without_a_network_does_not_stop_the_training(toy, ganforge, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    result = ganforge("run", toy, "--set", "observers.wandb.mode=online")
    assert result.status == 0, result.err
    assert (result.out + result.err).count("nothing more of this run is sent to wandb; the run continues: ") == 1
