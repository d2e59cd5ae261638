"""Comparisons: whole small ones from the command line, and their numbers against numbers worked out by hand."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock
from matplotlib.figure import Figure

from ganforge import InputError, hold
from tests.runs.forms import FORMS, make

comparison, results, task = (
    importlib.import_module(f"ganforge_compare.{name}") for name in ("comparison", "results", "work.task")
)

SETS = ["train.steps=6", "record.evaluate_every=2", "generator.hidden=8", "discriminator.hidden=8", "train.batch=8"]
WORDS = [word for text in SETS for word in ("--set", text)]
RECIPES = ["gan_toy", "discogan_toy"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison of two recipes and two seeds, and what the command printed; made once for all of pytest's workers."""
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "compared"
    with FileLock(f"{folder}.lock"):
        if not (folder / "said.json").exists():
            folder.mkdir()
            result = compare(folder, *RECIPES, "--seeds", "2", *WORDS)
            (folder / "said.json").write_text(json.dumps([result.returncode, result.stdout, result.stderr]))
    return folder, subprocess.CompletedProcess([], *json.loads((folder / "said.json").read_text()))


def compare(folder, *words):
    """Compare in a process of its own, which starts its runs in processes."""
    command = [sys.executable, "-m", "ganforge", "compare", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_every_recipe_is_trained_with_every_seed_and_one_table_one_figure_one_page_come_out(compared):
    folder, result = compared
    assert result.returncode == 0, result.stderr
    out = folder / "comparison"
    for seed in (0, 1):
        for recipe in RECIPES:
            lock = (out / f"seed-{seed}" / recipe / "0001" / "recipe.lock.toml").read_text()
            assert f"seed = {seed}\n" in lock
    found = json.loads((out / "comparison.json").read_text())
    assert list(found["recipes"]) == RECIPES
    metrics = found["recipes"]["gan_toy"]["last"]["metrics"]
    assert set(metrics["modes.coverage"]["values"]) == {"0", "1"}
    assert "modes.cycle_error_B" not in metrics
    assert (out / "comparison.png").stat().st_size > 10_000
    assert (out / "comparison_seeds.png").stat().st_size > 10_000
    page = (out / "comparison.html").read_text()
    assert 'aria-label="figure"><img ' in page  # it scrolls where the page is narrow
    assert "modes.cycle_error_B" in page
    assert "http" not in page.replace("http-equiv", "")
    table = [line.split() for line in result.stdout.splitlines()]
    assert table[0] == ["metric", "recipe", "mean", "±", "deviation", "seeds"]
    assert any(line[:2] == ["modes.clean", "discogan_toy"] and "±" in line for line in table)
    assert ["metric", "against", "gan_toy"] in table
    assert "'perhaps': beyond its own interval" in result.stdout


def test_values_are_those_of_the_runs_and_differences_those_of_their_pairs(compared):
    folder, _ = compared
    found = json.loads((folder / "comparison" / "comparison.json").read_text())
    quality = {}
    for name, recipe in found["recipes"].items():
        assert recipe["last"]["steps"] == {"0": 6, "1": 6}
        for seed, run in recipe["runs"].items():
            measured = json.loads((folder / run / "metrics.json").read_text())
            quality[name, seed] = measured["test"]["modes"]["quality"]
        held, (one, two) = recipe["last"]["metrics"]["modes.quality"], (quality[name, "0"], quality[name, "1"])
        assert held["values"] == {"0": one, "1": two}
        assert held["mean"] == pytest.approx((one + two) / 2)
        assert held["deviation"] == pytest.approx(abs(one - two) / 2**0.5)
    (difference,) = [one for one in found["differences"] if one["metric"] == "modes.quality"]
    assert (difference["first"], difference["second"], difference["at"]) == (*RECIPES, "last")
    wanted = {seed: quality["discogan_toy", seed] - quality["gan_toy", seed] for seed in "01"}
    assert difference["values"] == pytest.approx(wanted)
    half = 12.706 * abs(wanted["0"] - wanted["1"]) / 2  # of the interval: t with one degree of freedom, s / sqrt 2
    low, high = difference["interval"]
    assert (high - low) / 2 == pytest.approx(half, rel=1e-4)


@pytest.mark.slow
def test_what_is_there_is_not_trained_again_and_more_seeds_or_steps_are_added(compared, ganforge):
    out = compared[0] / "comparison"
    run = out / "seed-0" / "gan_toy" / "0001"
    before = (run / "log.jsonl").stat().st_mtime_ns
    again = ganforge("compare", *RECIPES, "--seeds", "2", *WORDS, "--out", out, "--json")
    assert again.status == 0, again.err
    assert json.loads(again.out) == json.loads((out / "comparison.json").read_text())
    assert (run / "log.jsonl").stat().st_mtime_ns == before
    longer = ganforge("compare", "gan_toy", "--seeds", "1", *WORDS, "--set", "train.steps=8", "--out", out)
    assert longer.status == 0, longer.err
    assert (run / "checkpoints" / "latest").read_text() == "step-00000008"
    words = ["gan_toy", "--seeds", "1", *WORDS, "--set", "losses.adversarial.smoothing=0.1", "--out", out]
    other = ganforge("compare", *words)
    assert other.status == 2
    assert "losses.adversarial.smoothing = 0.0, not 0.1" in other.err


@pytest.mark.slow
def test_runs_may_share_their_batches_among_devices(tmp_path, ganforge):
    """Each run is one of two processes, and continues as one."""
    words = ["gan_toy", "--seeds", "1", *WORDS, "--device", "cpu", "--devices", "2"]
    result = ganforge("compare", *words)
    assert result.status == 0, result.err
    longer = ganforge("compare", *words, "--set", "train.steps=8", "--json")
    assert longer.status == 0, longer.err
    assert "modes.coverage" in json.loads(longer.out)["recipes"]["gan_toy"]["last"]["metrics"]
    output = (tmp_path / "comparison" / "seed-0" / "gan_toy.txt").read_text()
    assert "on cpu, 2 devices" in output


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_others_are_compared(tmp_path, ganforge):
    """One recipe diverges at once."""
    for name, rate in (("fine", "1e-4"), ("wild", "1e9")):
        lines = ["extends = 'discogan_toy'", "[optimizer]", "use = 'sgd'", f"lr = {rate}"]
        (tmp_path / f"{name}.toml").write_text("\n".join(lines))
    result = ganforge("compare", "fine.toml", "wild.toml", "--seeds", "1", *WORDS, "--set", "record.log_every=1")
    assert result.status == 1
    assert "wild, seed 0 failed with status 1:\n" in result.err
    assert [line for line in result.err.splitlines() if line.startswith("error:")] == ["error: 1 of 2 runs failed"]
    assert "modes.coverage" in result.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["discogan_tou"], "did you mean 'discogan_toy'?"),
        (["gan_toy", "gan_toy"], "different names"),
        (["gan_toy", "--set", "train.stepz=3"], "train.stepz"),
        (["gan_toy", "--seeds", "0"], "--seeds"),
        (["gan_toy", "--devices", "x"], "--devices: expected a number or 'auto', got 'x'"),
        (["gan_toy", "--level", "1"], "--level: expected a number between 0 and 1, got 1.0"),
        (["gan_toy", "--level", "nan"], "--level"),
    ],
    ids=str,
)
def test_wrong_input_is_refused_before_anything_is_trained(words, message, tmp_path, ganforge):
    result = ganforge("compare", *words)
    assert result.status == 2
    assert message in result.err
    assert not (tmp_path / "comparison").exists()


ENDLESS = ["gan_toy", "--seeds", "1", *WORDS, "--set", "train.steps=1000000", "--set", "record.log_every=20"]
ENDLESS += ["--set", "record.evaluate_every=0", "--set", "record.sample_every=0"]


@pytest.fixture
def endless(tmp_path, request):
    """A comparison whose only training goes on for hours: its process and the training's folder."""
    command = [sys.executable, "-m", "ganforge", "compare", *ENDLESS, *getattr(request, "param", [])]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run = tmp_path / "comparison" / "seed-0" / "gan_toy" / "0001"
    wait_until((run / "log.jsonl").exists)
    yield process, run
    process.kill()
    process.communicate()


def wait_until(true, seconds=180):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def is_free(run):
    """Whether no process is at work on a run."""
    try:
        hold(run).release()
    except InputError:
        return False
    return True


@pytest.mark.slow
def test_an_interrupted_comparison_goes_on_where_it_was(endless, ganforge):
    process, run = endless
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)  # who is in a hurry does not lose anything either
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130
    assert "run the same command again to continue" in err
    assert "Traceback" not in err
    assert is_free(run)
    steps = int((run / "checkpoints" / "latest").read_text()[-8:]) + 3
    result = ganforge("compare", *ENDLESS, "--set", f"train.steps={steps}")
    assert result.status == 0, result.err
    assert (run / "checkpoints" / "latest").read_text() == f"step-{steps:08d}"


@pytest.mark.slow
@pytest.mark.parametrize("endless", [[], ["--device", "cpu", "--devices", "2"]], ids=["one", "two"], indirect=True)
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)], ids=str
)
def test_whatever_ends_a_comparison_its_trainings_end_too_and_are_saved(number, status, endless):
    process, run = endless
    process.send_signal(number)
    process.communicate(timeout=180)
    assert process.returncode == status
    wait_until(lambda: is_free(run), 60)
    assert (run / "checkpoints" / "latest").exists()


@pytest.fixture
def trained(compared, tmp_path):
    """A copy of the comparison, for `TRAINED`, of which nothing is to be trained, without its figures."""
    leave = shutil.ignore_patterns("figures", "samples", "discogan_toy")
    return Path(shutil.copytree(compared[0] / "comparison", tmp_path / "comparison", ignore=leave))


TRAINED = ["gan_toy", "--seeds", "2", *WORDS]


TELLING = ("empty", "torn", "of wrong types", "not a number", "absent", "folder", "pipe", "link to /dev/zero")


@pytest.mark.parametrize(
    "form", [*TELLING, *(pytest.param(form, marks=pytest.mark.slow) for form in FORMS if form not in TELLING)]
)
@pytest.mark.parametrize(
    "name", [pytest.param("log.jsonl", marks=pytest.mark.slow), "metrics.json", "recipe.lock.toml"]
)
def test_a_damaged_file_of_a_run_is_named_and_the_run_left_out_where_it_is_needed(
    name, form, trained, ganforge, monkeypatch
):
    monkeypatch.setattr(comparison, "train", lambda *_: [])
    path = trained / "seed-1" / "gan_toy" / "0001" / name
    make(path, form)
    result = ganforge("compare", *TRAINED, "--json")
    if name == "recipe.lock.toml" and form not in ("absent", "link to nowhere"):
        assert result.status == 2
        assert len(result.err.splitlines()) == 1
        assert str(path.relative_to(trained.parent).parent) in result.err
        return
    assert result.status == 0, result.err
    values = json.loads(result.out)["recipes"]["gan_toy"]["last"]["metrics"]["modes.quality"]["values"]
    needed = name == "metrics.json"
    assert set(values) == ({"0"} if needed else {"0", "1"})
    assert len(result.err.splitlines()) == needed
    assert ("comparison/seed-1/gan_toy/0001" in result.err) == needed


EVIL = '<b>"&\x1b[31m\ud800'


def test_names_from_files_are_escaped_everywhere(trained, ganforge, monkeypatch):
    monkeypatch.setattr(comparison, "train", lambda *_: [])
    found = {"step": 6, "test": {EVIL: {EVIL: 0.5}}, "about": {"test": {EVIL: {EVIL: EVIL}}}}
    found["best"] = {**found, "by": EVIL}
    (trained / "seed-0" / "gan_toy" / "0001" / "metrics.json").write_text(json.dumps(found))
    result = ganforge("compare", *TRAINED, "--seeds", "1")
    assert result.status == 0, result.err
    assert "\x1b" not in result.out
    page = (trained / "comparison.html").read_text()
    assert "<td>&lt;b&gt;&quot;&amp;\\x1b[31m\\ud800.&lt;b&gt;" in page
    assert "<b>" not in page
    assert "<li>one seed: no deviation" in page


LOCAL = "from ganforge import hookimpl\nprint('code runs')\n"


@pytest.mark.parametrize(
    ("names", "files", "refused"),
    [
        (["plugins/mine.py"], {"plugins/mine.py": LOCAL}, ""),
        (["plugins/mine.py"], {"plugins/mine.py": LOCAL + "#"}, "plugins/mine.py"),
        (["plugins/mine.py"], {}, "plugins/mine.py"),
        (["plugins/other.py"], {"plugins/other.py": LOCAL}, "plugins/other.py"),
        (["plugins/mine.py", "plugins/other.py"], {"plugins/mine.py": LOCAL, "plugins/other.py": ""}, "plugins/other"),
        (["mine.py"], {"mine.py": LOCAL}, "mine.py"),
        ("plugins/other.py", {"plugins/other.py": LOCAL}, "plugins/other.py"),
    ],
)
def test_code_of_a_run_that_the_recipe_does_not_name_is_refused(
    names, files, refused, trained, ganforge, monkeypatch, tmp_path
):
    monkeypatch.setattr(comparison, "train", lambda *_: [])
    run = trained / "seed-1" / "gan_toy" / "0001"
    lock = run / "recipe.lock.toml"
    lock.write_text(f"plugins = {json.dumps(names)}\n" + lock.read_text())
    for name, text in files.items():
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text(text)
    (tmp_path / "mine.py").write_text(LOCAL)
    result = ganforge("compare", *TRAINED, "--plugin", "mine.py")
    if refused:
        assert result.status == 2
        assert f"gan_toy/0001/{refused}" in result.err
        assert "is not the code that 'gan_toy' names" in result.err
    else:
        assert result.status == 0, result.err
        assert "loading code: mine.py" in result.err


def test_a_run_that_was_meanwhile_trained_with_other_settings_is_not_compared(trained, ganforge, monkeypatch):
    lock = trained / "seed-0" / "gan_toy" / "0001" / "recipe.lock.toml"

    def train(*_):
        lock.write_text(lock.read_text().replace("hidden = 8", "hidden = 9"))
        return []

    monkeypatch.setattr(comparison, "train", train)
    result = ganforge("compare", *TRAINED)
    assert result.status == 2
    assert "comparison/seed-0/gan_toy/0001 was trained with discriminator.hidden = 9, not 8; " in result.err


def test_what_a_recipe_leaves_to_the_device_may_be_another_devices(trained, ganforge, monkeypatch):
    monkeypatch.setattr(comparison, "train", lambda *_: [])
    lock = trained / "seed-1" / "gan_toy" / "0001" / "recipe.lock.toml"
    lock.write_text(
        lock.read_text().replace('precision = "fp32"', 'precision = "bf16"').replace("threads = 1", "threads = 0")
    )
    result = ganforge("compare", *TRAINED)
    assert result.status == 0, result.err
    assert "note: runs have different precisions: fp32 gan_toy, seed 0; bf16 gan_toy, seed 1\n" in result.out
    for what, there in (
        ("precision='fp32'", "compute.precision = 'bf16', not 'fp32'"),
        ("threads=1", "threads = 0, not 1"),
    ):
        result = ganforge("compare", *TRAINED, "--set", f"compute.{what}")
        assert result.status == 2
        assert there in result.err


def test_two_comparisons_do_not_work_in_one_folder(trained, ganforge):
    held = hold(trained)
    result = ganforge("compare", *TRAINED)
    held.release()
    assert result.status == 2
    assert "error: another process is using comparison\n" in result.err


def test_a_run_that_another_process_trains_is_not_moved_away(trained, ganforge):
    run = trained / "seed-0" / "gan_toy" / "0001"
    shutil.rmtree(run / "checkpoints")  # as before its first checkpoint
    held = hold(run)
    result = ganforge("compare", *TRAINED)
    held.release()
    assert result.status == 2
    assert "error: another process is using comparison/seed-0/gan_toy/0001\n" in result.err
    assert run.exists()


@pytest.mark.parametrize("name", ["", "comparison.json", "comparison.html", "comparison.png", "comparison_seeds.png"])
def test_what_cannot_be_written_is_told_in_a_line(name, trained, ganforge, monkeypatch, tmp_path):
    monkeypatch.setattr(comparison, "train", lambda *_: [])
    monkeypatch.setattr(results, "draw", lambda _: Figure())
    if name:
        (trained / name).unlink()
        (trained / name).mkdir()
    else:
        (tmp_path / "file").write_text("")
    result = ganforge("compare", *TRAINED, "--out", trained if name else "file")
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert "error: cannot write" in result.err
    assert not [path for path in trained.glob(".*") if path.name != ".lock"], "nothing half-written stays"


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n\x1a\n" + b"x" * 50, "pipe"])
def test_a_figure_that_cannot_be_read_is_left_out_and_none_is_named_that_is_not_written(
    content, trained, ganforge, monkeypatch
):
    monkeypatch.setattr(comparison, "train", lambda *_: [])
    (trained / "comparison.png").unlink()
    if content is not None:
        path = trained / "seed-0" / "gan_toy" / "0001" / "figures" / "a.png"
        path.parent.mkdir()
        os.mkfifo(path) if content == "pipe" else path.write_bytes(content)
    result = ganforge("compare", *TRAINED)
    assert result.status == 0, result.err
    assert "seeds:" in result.out
    assert "figure:" not in result.out
    assert "page:" in result.out
    assert not (trained / "comparison.png").exists()


def test_failures_are_told_where_no_run_came_far_enough(ganforge, monkeypatch, tmp_path):
    monkeypatch.setattr(comparison, "train", lambda *_: ["gan_toy, seed 0 failed with status 2:\n  error: no memory"])
    result = ganforge("compare", *TRAINED)
    assert result.status == 1
    assert result.err.splitlines() == [
        "gan_toy, seed 0 failed with status 2:",
        "  error: no memory",
        *(
            f"note: gan_toy, seed {seed} is not compared: it has no results for its last step "
            f"(comparison/seed-{seed}/gan_toy/0001)"
            for seed in (0, 1)
        ),
        "error: no run got far enough to be compared",
    ]


def test_what_a_training_does_is_read_from_its_output(tmp_path):
    output = tmp_path / "output.txt"
    plan = SimpleNamespace(train=SimpleNamespace(steps=100))
    member = SimpleNamespace(steps_done=lambda: 40, plan=plan, output=output)
    for text, doing in (
        (None, ("starting", 0, 100)),
        (b"", ("starting", 0, 100)),
        (b"reading A: 3/20\nodd: \xff\n", ("reading A", 3, 20)),
        (b"reading A: 3/20\nrendering train: 5/9\nwarning: odd\n", ("rendering train", 5, 9)),
        (b"reading A: 3/20\nstep 20/100  generator 0.5\n", ("step", 40, 100)),
        (b"gan_toy: runs/0001 on cpu\n", ("step", 40, 100)),
        (b"x" * 100_000 + b"\nreading A: " + b"9" * 5000 + b"/1", ("step", 40, 100)),
    ):
        if text is not None:
            output.write_bytes(text)
        found = task.doing(member)
        assert (found.what, found.done, found.total) == doing


def test_without_a_terminal_a_line_now_and_then_tells_what_is_done(capsys, monkeypatch):
    display = importlib.import_module("ganforge_compare.display")
    monkeypatch.setattr(display, "PLAIN_SECONDS", -1)
    with display.Display() as shown:
        shown.show(40, 200, {"a, seed 0": display.Doing("step", 40, 100), "b, seed 0": display.Doing("reading", 1, 9)})
    assert capsys.readouterr().err == "all: steps 40/200; a, seed 0: step 40/100; b, seed 0: reading 1/9\n"
