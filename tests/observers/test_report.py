"""The report: what is on the page, that it is safe, small and cheap, and that a browser shows it."""

import importlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

charts, courses, observers, pictures, report = (
    importlib.import_module(f"ganforge_observers.report.{name}")
    for name in ("charts", "courses", "observers", "pictures", "page")
)

EVIL = "<script>alert(1)</script>\"'>&\x00\x1b[31m\u202e"
EVIL_RESULTS = {
    "step": 2,
    "test": {EVIL: {EVIL: 5.0}},
    "about": {"test": {EVIL: {EVIL: EVIL}}},
    "best": {"step": 1, "by": EVIL, "validation": {EVIL: {EVIL: 4.0}}},
}
LOCK = """\
# Cats to dogs. About a minute.
[train]
steps = 100
[lock]
name = "cats2dogs"
torch = "2.13"
[lock.plugins]
ganforge = "0.1.0"
"""


class Page(HTMLParser):
    """What elements a page has, with their attributes and the text inside of them."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        shown = " ".join(data for tag, data in self.texts if tag not in ("script", "style", "title"))
        return re.sub(r"\s+", " ", shown)


@pytest.fixture
def folder(tmp_path):
    """A run's folder that holds a locked recipe and nothing else."""
    path = tmp_path / "runs" / "cats2dogs" / "0001"
    path.mkdir(parents=True)
    (path / "recipe.lock.toml").write_text(LOCK)
    return path


def log(folder, *records):
    with (folder / "log.jsonl").open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def picture(path, side=8, noise=False):
    path.parent.mkdir(exist_ok=True)
    random = np.random.default_rng(len(path.stem))
    values = random.integers(0, 256, (side, side, 3)) if noise else np.zeros((side, side, 3))
    Image.fromarray(values.astype(np.uint8)).save(path)


def read(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def written(folder):
    report.write(folder)
    return read(folder)


def test_a_run_ends_with_a_page_of_everything(toy, ganforge, tmp_path):
    toy.write_text("# What you will see.\n" + toy.read_text())
    sets = ["record.sample_every=4", "record.evaluate_every=4", "evaluations.modes.use=mode-coverage"]
    assert ganforge("run", toy, *(word for text in sets for word in ("--set", text))).status == 0
    run = tmp_path / "runs" / "toy" / "0001"
    page = read(run)
    for words in (
        "toy 0001 What you will see. state finished steps 8 of 8 median speed",
        "generator phase",
        "weighted sum",
        "reconstruction AB",
        "discriminator phase",
        "metric step 8 test modes.coverage",
        "steps per second",
        'use = "ganforge_translation/discogan"',
        "device cpu",
    ):
        assert words in page.text
    assert [figure["data-step"] for figure in page.all("figure") if figure.get("class") == "sample"] == ["0", "4", "8"]
    assert [picture["alt"] for picture in page.all("img")][:1] == [
        "the fixed test inputs and their translations at step 0"
    ]
    assert {"figure figure4", "figure figure4_initial"} >= {picture["alt"] for picture in page.all("img")[3:]}
    assert not list(run.glob(".report*"))


def test_the_page_refers_to_nothing_outside_of_it(toy, ganforge, tmp_path):
    ganforge("run", toy, "--set", "record.sample_every=4")
    page = read(tmp_path / "runs" / "toy" / "0001")
    for _, attributes in page.elements:
        assert not {"href", "srcset", "action", "style"} & set(attributes)
        assert attributes.get("src", "data:").startswith("data:")
    (policy,) = [found["content"] for found in page.all("meta") if found.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"url\(|@import", "".join(data for tag, data in page.texts if tag == "style"))


def test_an_interrupted_run_has_its_page_too(toy, ganforge, tmp_path):
    (tmp_path / "stop.py").write_text(
        "import os, signal\n"
        "from ganforge import hookimpl\n"
        "@hookimpl\n"
        "def ganforge_logged(run):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    assert ganforge("run", toy, "--plugin", "stop.py").status == 130
    assert "state interrupted steps 2 of 8" in read(tmp_path / "runs" / "toy" / "0001").text


def test_a_failed_run_says_why_and_still_does_when_the_page_is_made_again(toy, ganforge, tmp_path):
    assert ganforge("run", toy, "--set", "optimizer.lr=1e15", "--set", "train.steps=50").status == 1
    run = tmp_path / "runs" / "toy" / "0001"
    text = read(run).text
    assert "state failed steps" in text
    assert ": the run failed: the loss '" in text
    assert ganforge("report", run).status == 0
    text = read(run).text
    assert "state not finished" in text
    assert ": the run failed: the loss '" in text


def test_warnings_are_kept_in_the_log_and_shown_once(toy, ganforge, tmp_path):
    (tmp_path / "odd.py").write_text(
        "from ganforge import hookimpl\n"
        "@hookimpl\n"
        "def ganforge_logged(run):\n"
        "    run.warn('something is odd')\n"
        "    run.warn(f'step {run.step}: this too')\n"
    )
    assert ganforge("run", toy, "--plugin", "odd.py", "--set", "train.steps=4").status == 0
    run = tmp_path / "runs" / "toy" / "0001"
    assert ganforge("resume", run, "--plugin", "odd.py", "--set", "train.steps=8").status == 0
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "warning" in record] == [2, 2, 4, 6, 6, 8]
    assert [record["step"] for record in records if "losses" in record] == [2, 4, 6, 8]
    warnings = [data for tag, data in read(run).texts if tag == "li" and ("odd" in data or "this too" in data)]
    assert warnings == [
        "step 2: something is odd",
        "step 2: this too",
        "step 4: this too",
        "step 6: this too",
        "step 8: this too",
    ]


def test_what_was_odd_before_the_first_step_is_kept_too(toy, ganforge, tmp_path):
    (tmp_path / "early.py").write_text(
        "from ganforge import hookimpl\n"
        "@hookimpl\n"
        "def ganforge_restored(run):\n"
        "    run.warn('odd weights')\n"
        "@hookimpl\n"
        "def ganforge_checkpointed(run):\n"
        "    run.warn('odd disk')\n"
    )
    assert ganforge("run", toy, "--plugin", "early.py").status == 0
    run = tmp_path / "runs" / "toy" / "0001"
    shutil.rmtree(run / "checkpoints" / "step-00000008")  # as if it had broken down in between
    (run / "checkpoints" / "latest").write_text("step-00000004")
    with (run / "log.jsonl").open("a") as file:
        file.write('{"step": 8, "warn')
    assert ganforge("resume", run, "--plugin", "early.py").status == 0
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    noted = [(record["step"], record["warning"]) for record in records if "warning" in record]
    # That the disk was odd in step 4 was told in a later one, which is done again.
    assert noted == [(4, "odd weights"), (8, "odd disk")]
    assert [record["step"] for record in records if "losses" in record] == [2, 4, 6, 8]


def test_a_page_that_cannot_be_made_costs_the_run_nothing_else(toy, ganforge, tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no page today")

    monkeypatch.setattr(report, "gather", broken)
    result = ganforge("run", toy)
    assert result.status == 0
    assert "ganforge_observers.Report' is disabled: ValueError: no page today" in result.err
    assert len((tmp_path / "runs" / "toy" / "0001" / "log.jsonl").read_text().splitlines()) == 4


def test_a_page_that_cannot_be_written_is_warned_of(toy, ganforge, tmp_path):
    (tmp_path / "block.py").write_text(
        "from ganforge import hookimpl\n"
        "@hookimpl\n"
        "def ganforge_started(run):\n"
        "    (run.folder / 'report.html').mkdir()\n"
    )
    result = ganforge("run", toy, "--plugin", "block.py")
    assert result.status == 0
    message = "cannot write runs/toy/0001/report.html: Is a directory"
    assert f"warning: {message}" in result.out
    run = tmp_path / "runs" / "toy" / "0001"
    assert f'"warning": "{message}"' in (run / "log.jsonl").read_text()
    assert not list(run.glob(".report*"))


def test_the_page_is_made_anew_at_checkpoints_for_a_small_part_of_the_time(toy, ganforge, monkeypatch):
    states = []
    monkeypatch.setattr(report, "write", lambda folder, state: states.append(state))
    every = ["--set", "record.checkpoint_every=1"]
    ganforge("run", toy, *every)
    assert states == ["finished"]  # it is over before the page is first due
    states.clear()
    monkeypatch.setattr(observers, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(observers, "SHARE", 1.0)
    ganforge("run", toy, *every)
    assert states == ["training"] * 8 + ["finished"]
    states.clear()
    monkeypatch.setattr(observers, "SHARE", 1e-12)
    ganforge("run", toy, *every)
    assert states == ["training", "finished"]


def test_nothing_that_comes_from_files_becomes_part_of_the_page(folder):
    quoted = json.dumps(EVIL.replace("\u202e", "").replace("\x00", "")).replace("\\u001b", "\\u001B")
    (folder / "recipe.lock.toml").write_text(
        f"# Look: <script>alert(1)</script>\n[train]\nsteps = 9\n[lock]\nname = {quoted}\n{quoted} = {quoted}\n"
    )
    log(
        folder,
        {"step": 1, "losses": {EVIL: 1.0, f"generator.{EVIL}": 2.0}, "metrics": {EVIL: {EVIL: 3.0}}},
        {"step": 2, "losses": {EVIL: 1.5, f"generator.{EVIL}": 2.5}, "metrics": {EVIL: {EVIL: 4.0}}},
        {"step": 2, "warning": EVIL + "\ud800"},
    )
    (folder / "metrics.json").write_text(json.dumps(EVIL_RESULTS))
    picture(folder / "figures" / ("<img src=x onerror=alert(1)>\"'.png").replace("/", ""))
    for step in (0, 5):
        picture(folder / "samples" / f"step-{step:08d}.png")
    page = written(folder)
    assert len(page.all("script")) == 1
    assert "alert" not in "".join(data for tag, data in page.texts if tag in ("script", "style"))
    assert len(page.all("img")) == 3
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    shown = "<script>alert(1)</script>\"'>&"
    assert page.text.count(shown) >= 8
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", (folder / "report.html").read_text(encoding="utf-8"))
    assert page.text.count("\N{REPLACEMENT CHARACTER}") >= 3


def test_what_cannot_be_read_is_left_out(folder):
    (folder / "log.jsonl").write_text(
        '{"step": 1, "losses": {"generator": 1.0, "generator.a": NaN}, "steps_per_second": 3}\n'
        '{"step": 2, "losses": {"generator": Infinity, "generator.a": NaN}, "steps_per_second": NaN}\n'
        '{"step": 3, "losses": {"generator": 1e300, "generator.a": "x"}}\n'
        '[1, 2]\n{"step": "x"}\n\xff\n{"step": 4, "losses": 7, "metrics": [1]}\n'
        '{"step": 5, "losses": {"generator": 2.0, "discriminator": -1e-320}}\n{"step": 6, "los',
        encoding="latin-1",
    )
    (folder / "metrics.json").write_text('{"step": 4,')
    picture(folder / "samples" / "step-00000000.png")
    (folder / "samples" / "step-00000001.png").write_bytes(
        (folder / "samples" / "step-00000000.png").read_bytes()[:-20]
    )
    (folder / "samples" / "step-00000002.png").write_text("no picture")
    (folder / "samples" / "step-x.png").write_text("no sample")
    page = written(folder)
    assert "state not finished steps 5 of 100 median speed 3 steps/s" in page.text
    assert "6 damaged lines of" in page.text
    assert "metrics.json is damaged, or from another version: it contains no metrics" in page.text
    assert "weighted sum 2 " in page.text
    assert len(page.all("img")) == 1
    assert not page.all("script")


RESULTS = {
    "step": 1500,
    "validation": {"angles": {"rmse_AB": 0.5}},
    "test": {"angles": {"rmse_AB": 0.625, "kid": None}},
    "about": {"test": {"angles": {"network": "inception", "pictures_AB": 1000}}},
    "best": {
        "step": 1200,
        "by": "-angles.rmse_AB",
        "validation": {"angles": {"rmse_AB": 0.25}},
        "test": {"angles": {"rmse_AB": 0.375}},
    },
}


def table_of(page):
    """The rows of the table of metrics."""
    cells = [data.strip() for tag, data in page.texts if tag in ("th", "td", "br") and data.strip()]
    return " ".join(cells[: cells.index("torch")])


def test_last_and_best_stand_side_by_side_on_each_split(folder):
    (folder / "metrics.json").write_text(json.dumps(RESULTS))
    page = written(folder)
    assert table_of(page) == (
        "metric last, step 1,500 validation last, step 1,500 test best, step 1,200 validation best, step 1,200 test "
        "angles.rmse_AB 0.5 0.625 0.25 0.375 angles.kid nan"
    )
    assert "chosen by -angles.rmse_AB , the lowest, on the samples set aside for validation" in page.text
    assert "angles, test: network inception, pictures_AB 1000" in page.text


@pytest.mark.parametrize(
    ("results", "head"),
    [
        ({"step": 8, "test": {"m": {"n": 1}}}, "metric step 8 test m.n 1"),
        (
            {"step": 8, "test": {"m": {"n": 1}}, "best": {"step": 8, "by": "n", "test": {"m": {"n": 1}}}},
            "metric last and best, step 8 test m.n 1",
        ),
        ({"step": 4, "validation": {"m": {"n": 1}}}, "metric step 4 validation m.n 1"),
        (None, "metric step 6 validation m.n 3"),
    ],
)
def test_the_table_shows_what_there_is(folder, results, head):
    if results:
        (folder / "metrics.json").write_text(json.dumps(results))
    log(folder, {"step": 6, "split": "validation", "metrics": {"m": {"n": 3.0}}})
    assert table_of(written(folder)) == head


def test_a_curve_for_each_split_and_the_best_step_is_marked(folder):
    (folder / "metrics.json").write_text(json.dumps({**RESULTS, "best": {**RESULTS["best"], "step": 100}}))
    for step in (0, 100, 200):
        log(folder, {"step": step, "split": "validation", "metrics": {"angles": {"rmse_AB": 1.0 + step}}})
    log(folder, {"step": 200, "split": "test", "metrics": {"angles": {"rmse_AB": 2.0}}})
    page = written(folder)
    (mark,) = [found["d"] for found in page.all("path") if found.get("class") == "rule best"]
    assert mark == "M254.0 10V234", "in the middle between 58 and 450"
    assert re.search(r"angles.rmse_AB .* validation 201 test 2 ", page.text)
    assert "A dotted line marks step 100, the best one." in page.text


@pytest.mark.parametrize("best", [None, {**RESULTS["best"], "step": 5000}], ids=["none", "elsewhere"])
def test_no_step_is_marked_that_a_chart_does_not_hold(folder, best):
    (folder / "metrics.json").write_text(json.dumps({**RESULTS, "best": best}))
    for step in (0, 100):
        log(folder, {"step": step, "metrics": {"angles": {"rmse_AB": 1.0 + step}}})
    assert not [found for found in written(folder).all("path") if found.get("class") == "rule best"]


def test_figures_of_the_best_weights_follow_those_of_the_last(folder):
    for name in ("modes", "modes_initial", "rows", "best/modes", "best/modes_initial"):
        path = folder / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(path)
    labels = [found["alt"] for found in written(folder).all("img")]
    assert labels == ["figure modes_initial", "figure modes (last)", "figure modes (best)", "figure rows"]


def test_a_run_that_stopped_early_is_finished(folder):
    log(folder, {"step": 60, "losses": {}})
    (folder / "metrics.json").write_text(json.dumps({"step": 60, "stopped": True, "test": {"m": {"n": 1}}}))
    assert "state finished steps 60 of 100" in written(folder).text


@pytest.mark.parametrize("lock", ["", "train = 1\nlock = 2", "[train]\nsteps = 'x'\n[lock]\nname = [1]"])
def test_a_strange_lock_still_makes_a_page(folder, lock):
    (folder / "recipe.lock.toml").write_text(lock)
    assert "steps 0 of 0" in written(folder).text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("runs/cats2dogs/0002", "error: no run at 'runs/cats2dogs/0002'; did you mean '0001'?"),
        ("runs/cats2dogs", "error: 'runs/cats2dogs' is not a run; did you mean 'runs/cats2dogs/0001'?"),
        ("runs", "error: 'runs' is not a run; a run's folder holds recipe.lock.toml"),
        ("runs/cats2dogs/0001/recipe.lock.toml", "is not a run; a run's folder holds recipe.lock.toml"),
    ],
)
def test_what_is_no_run_is_named(folder, ganforge, name, message):
    result = ganforge("report", name)
    assert result.status == 2
    assert message in result.err


def test_files_beside_are_not_offered_as_runs(tmp_path, ganforge):
    (tmp_path / "notes.txt").write_text("")
    for command in ("report", "resume"):
        assert ganforge(command, tmp_path / "0001").err == f"error: no run at '{tmp_path / '0001'}'\n"


def test_a_lock_that_is_no_toml_and_a_folder_that_cannot_be_written_are_named(folder, ganforge, monkeypatch):
    (folder / "recipe.lock.toml").write_text("[train")
    result = ganforge("report", folder)
    assert result.status == 2
    assert "recipe.lock.toml: Expected ']'" in result.err
    (folder / "recipe.lock.toml").write_text(LOCK)
    (folder / "report.html").mkdir()
    result = ganforge("report", folder)
    assert result.status == 2
    assert f"error: cannot write {folder / 'report.html'}: Is a directory" in result.err
    assert not list(folder.glob(".report*"))


def test_the_command_prints_the_path_and_opens_it_if_asked(folder, ganforge, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert ganforge("report", "runs/cats2dogs/0001").out == "runs/cats2dogs/0001/report.html\n"
    assert opened == []
    assert ganforge("report", "runs/cats2dogs/0001", "--open").status == 0
    assert opened == [(folder / "report.html").as_uri()]


def test_the_command_needs_neither_torch_nor_matplotlib(folder):
    log(folder, {"step": 1, "losses": {"generator": 1.0}, "steps_per_second": 2.0})
    code = (
        "import sys; from ganforge.cli.main import main\n"
        f"sys.argv = ['ganforge', 'report', {str(folder)!r}]\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (folder / "report.html").exists()


def test_samples_are_thinned_and_those_that_were_chosen_are_chosen_again(tmp_path):
    def chosen(count):
        return [label for label, _ in pictures.spread([(step, tmp_path) for step in range(count)], 5)]

    assert chosen(0) == []
    assert chosen(1) == ["0"]
    assert chosen(5) == ["0", "1", "2", "3", "4"]
    assert chosen(6) == ["0", "2", "4", "5"]
    assert chosen(9) == ["0", "2", "4", "6", "8"]
    assert chosen(10) == ["0", "4", "8", "9"]
    assert chosen(200) == ["0", "64", "128", "192", "199"]


def test_a_page_of_big_pictures_stays_small(folder):
    for step in range(30):
        picture(folder / "samples" / f"step-{step:08d}.png", side=330, noise=True)  # 330 kB each
    for name in "abcdefgh":
        picture(folder / "figures" / f"{name}.png", side=330, noise=True)
    page = written(folder)
    assert (folder / "report.html").stat().st_size < 8.5e6
    assert {shown["src"][:16] for shown in page.all("img")} == {"data:image/jpeg;"}
    assert [figure["data-step"] for figure in page.all("figure") if "data-step" in figure][::15] == ["0", "29"]
    assert len(page.all("img")) == 16 + 8


def test_pictures_come_from_inside_of_the_runs_folder_alone(folder, tmp_path):
    picture(tmp_path / "outside" / "secret.png")
    samples, figures = folder / "samples", folder / "figures"
    picture(samples / "step-00000000.png")
    picture(folder / "kept" / "elsewhere.png")
    (samples / "step-00000001.png").symlink_to(tmp_path / "outside" / "secret.png")
    (samples / "step-00000002.png").symlink_to(folder / "kept" / "elsewhere.png")
    (samples / "step-00000003.png").symlink_to("/dev/zero")
    (samples / "step-00000004.png").symlink_to("nowhere.png")
    (samples / "step-00000005.png").symlink_to("step-00000005.png")
    (samples / "step-00000006.png").mkdir()
    os.mkfifo(samples / "step-00000007.png")
    with (samples / "step-00000008.png").open("wb") as file:
        file.truncate(1 << 32)
    figures.symlink_to(tmp_path / "outside")
    page = written(folder)
    assert [found["data-step"] for found in page.all("figure") if "data-step" in found] == ["0", "2"]
    assert len(page.all("img")) == 2


def png(width, height, body=b""):
    """The bytes of a PNG whose header promises pixels that its body does not hold."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", png(20_000, 20_000), png(10_000, 9_500), png(0, 0), png(8, 8, noise := os.urandom(3_000_000)), noise],
    ids=["empty", "nul", "bomb", "nearly a bomb", "no pixels", "damaged", "noise"],
)
def test_a_picture_that_is_none_is_left_out(folder, content, capfd):
    picture(folder / "figures" / "good.png")
    (folder / "figures" / "bad.png").write_bytes(content)
    assert [found["alt"] for found in written(folder).all("img")] == ["figure good"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["samples", "figures", "checkpoints", "checkpoints/latest", "report.html"])
@pytest.mark.parametrize("form", ["file", "folder", "pipe", "link to /", "link to itself", "link to /dev/zero"])
def test_whatever_lies_in_the_folder_a_page_or_one_line_comes_out(folder, ganforge, name, form):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    forms = {
        "file": lambda: path.write_bytes(b"\xff" * 10),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "link to /": lambda: path.symlink_to("/"),
        "link to itself": lambda: path.symlink_to(path.name),
        "link to /dev/zero": lambda: path.symlink_to("/dev/zero"),
    }
    forms[form]()
    result = ganforge("report", folder)
    if (name, form) == ("report.html", "folder"):
        assert (result.status, len(result.err.splitlines())) == (2, 1)
    else:
        assert (result.status, result.err) == (0, "")
        assert read(folder).text.startswith(" cats2dogs 0001")


def test_a_transparent_picture_is_laid_on_white():
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    assert list(pictures.on_white(image).tobytes()) == [255, 0, 0, 255, 255, 255]


def test_a_curve_of_many_points_keeps_its_ends_and_its_extremes():
    points = [(step, float(step % 7)) for step in range(1, 100_001)]
    points[31_234], points[77_777] = (31_235, 50.0), (77_778, -50.0)
    thin = courses.thinned(points)
    assert 400 < len(thin) <= 500
    assert thin == sorted(thin)
    assert [thin[0], thin[-1]] == [points[0], points[-1]]
    assert {(31_235, 50.0), (77_778, -50.0)} <= set(thin)
    assert courses.thinned(points[:500]) == points[:500]
    found = {}
    for step, value in points:
        courses.follow(found, step, {"a": value})
    assert len(found["a"]) <= courses.WAITING
    assert {points[0], points[-1], (31_235, 50.0), (77_778, -50.0)} <= set(courses.thinned(found["a"]))


def test_names_without_end_do_not_fill_the_memory():
    found = {}
    for step in range(10_000):
        courses.follow(found, step, {f"loss {step}": 1.0, "long " * 1000: 1.0})
    assert len(found) == courses.CURVES


def test_a_long_log_costs_little_memory(folder, monkeypatch):
    monkeypatch.setattr(courses, "WAITING", 1000)
    report.template()
    record = {"step": 0, "losses": {f"generator.{name}.AB": 0.123456789 for name in "abcdef"}, "steps_per_second": 1.0}
    with (folder / "log.jsonl").open("w") as file:
        file.writelines(json.dumps({**record, "step": step}) + "\n" for step in range(6_000))
    tracemalloc.start()
    report.write(folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6  # all records are more than 8 MB
    assert "steps 5,999 of 100" in read(folder).text


def test_a_chart_of_one_record_shows_a_point(folder):
    log(folder, {"step": 5, "losses": {"generator": 1.0}})
    page = written(folder)
    (dot,) = page.all("circle")
    assert (dot["cx"], dot["cy"]) == ("58.0", "122.0")


def test_a_chart_lays_its_points_between_its_borders():
    chart = charts.draw("losses", {"a AB": [(0, 0.0), (50, 10.0), (100, 5.0)], "a BA": [(0, 0.0)], "b": [(0, 1.0)]})
    assert [curve.look for curve in chart.curves] == ["colour-1 dash-0", "colour-1 dash-1", "colour-2 dash-0"]
    left, right, top, bottom = 58, 450, 20.2, 223.8  # the values have a margin of a twentieth at both ends
    assert chart.curves[0].path == f"M{left} {bottom}L{(left + right) / 2:g} {top}L{right} {(top + bottom) / 2:g}"
    assert [text for _, text in chart.x.ticks] == ["0", "20", "40", "60", "80", "100"]
    assert [text for _, text in chart.y.ticks] == ["0", "5", "10"]


def test_a_chart_of_very_different_values_is_logarithmic_and_one_with_none_is_left_out():
    chart = charts.draw("losses", {"": [(0, 1000.0), (1, 1e300), (2, 0.1)]}, may_be_logarithmic=True)
    assert chart.y.logarithmic
    assert [text for _, text in chart.y.ticks] == ["0.1", "1", "10", "100", "1,000"]
    assert chart.curves[0].path.count("L") == 1, "a value that no chart holds is left out"
    assert charts.draw("losses", {"": []}) is None


@pytest.mark.parametrize("value", [0.0, 7.0, -3e29, 1e-30, 5.0000000001])
def test_a_flat_curve_has_room_around_it(value):
    chart = charts.draw("flat", {"": [(0, value), (9, value)]})
    assert chart.curves[0].path == "M58 122L450 122"
    assert len(chart.y.ticks) >= 2


@pytest.mark.slow
def test_a_browser_shows_it_on_a_phone_and_on_a_desk_and_the_slider_changes_the_picture(folder):
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or pytest.skip("no chromium")
    for step in (0, 50, 100):
        picture(folder / "samples" / f"step-{step:08d}.png", side=500 + step)
    losses = {f"{phase}.{'long' * 8}.{way}": 1.0 for phase in ("generator", "discriminator") for way in ("AB", "BA")}
    log(folder, *({"step": step, "losses": losses, "metrics": {"m" * 60: {"n" * 60: step}}} for step in (1, 2, 3)))
    log(folder, {"step": 3, "warning": "w" * 300})
    report.write(folder)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in (375, 1280):
            page = browser.new_page(viewport={"width": width, "height": 800})
            problems = []
            page.on("console", lambda message, problems=problems: problems.append(message.text))
            page.on("pageerror", lambda error, problems=problems: problems.append(str(error)))
            page.goto((folder / "report.html").as_uri())
            page.locator("summary").click()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            shown = []
            for key in ("", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowRight"):
                if key:
                    page.locator("#slider").press(key)
                (sample,) = [found for found in page.locator(".sample").all() if found.is_visible()]
                loaded = sample.locator("img").evaluate("image => image.complete && image.naturalWidth")
                shown.append((page.locator("#step").text_content(), loaded))
            assert shown == [("100", 600), ("50", 550), ("0", 500), ("0", 500), ("50", 550)]
            assert page.locator("#slider").get_attribute("aria-valuetext") == "step 50"
            assert problems == []
        browser.close()
