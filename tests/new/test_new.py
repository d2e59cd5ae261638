"""`ganforge new`: what it writes runs, is typed and is tested as it stands; nothing is overwritten or half-written."""

import datetime
import errno
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ganforge import Folder
from ganforge_new.commands import KINDS
from ganforge_new.licences import Licence
from ganforge_new.writing import Component, write_files, write_package

PAGE = Path(__file__).parents[2] / "docs" / "plugins" / "new.md"
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


def run(*words, cwd, **variables):
    """Run Python somewhere else, and return what it said."""
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["loss", pytest.param("observer", marks=pytest.mark.slow)])
def test_what_is_written_is_tested_and_trained_as_it_stands(kind, ganforge, tmp_path):
    made = ganforge("new", kind, f"my-{kind}")
    assert made.status == 0, made.err
    assert made.out.splitlines() == [
        f"wrote my_{kind}.py",
        f"wrote test_my_{kind}.py",
        f"wrote my_{kind}.toml",
        "next:",
        f"  pytest test_my_{kind}.py",
        f"  ganforge check my_{kind}.py",
        f"  ganforge run my_{kind}.toml",
    ]
    trained = ganforge("run", f"my_{kind}.toml", "--set", "train.steps=50")
    assert trained.status == 0, trained.err
    run("-m", "ruff", "check", "--isolated", ".", cwd=tmp_path)
    assert " passed" in run(*PYTEST, cwd=tmp_path)
    if kind == "observer":
        assert json.loads((tmp_path / "runs" / "my_observer" / "0001" / "my_observer.json").read_text())["step"] == 50
    else:
        lines = (tmp_path / "my_loss.py").read_text().splitlines()
        assert len([line for line in lines if line.strip()]) == 12


@pytest.mark.slow
def test_every_kind_is_typed_tested_and_trained_as_it_stands(ganforge, tmp_path):
    for kind in KINDS:
        assert ganforge("new", kind, f"My{kind.title()}").status == 0
        trained = ganforge("run", f"my_{kind}.toml")
        assert trained.status == 0, trained.err
    found = run("my_command.py", "runs/my_command/0001", cwd=tmp_path)
    assert found.startswith("step 200\n")
    run("-m", "ruff", "check", "--isolated", "--exclude", "runs", ".", cwd=tmp_path)
    run("-m", "mypy", "--strict", "--exclude", "runs/", ".", cwd=tmp_path)
    assert " passed" in run(*PYTEST, cwd=tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["loss", "a/b"], "'a/b' cannot be the name of a component; use letters, digits, '-' and '_'; start with a letter"),
        (["loss", "2d"], "'2d' cannot be the name of a component"),
        (["loss", "größe"], "'größe' cannot be the name of a component"),
        (["loss", ""], "'' cannot be the name of a component"),
        (["loss", "class"], "'class' is a Python keyword; choose another name"),
        (["coupling", "none"], "'None' is a Python keyword; choose another name"),
        (["loss", "l2"], "there is a loss 'l2' already, in ganforge_losses; choose another name"),
        (["loss", "discogan-toy"], "there is a recipe 'discogan_toy' already; choose another name"),
        (["loss", "share"], "there is a plugin 'share' already; choose another name"),
        (["loss", "random"], "'random' is a module that is installed already; choose another name"),
        (["command", "translate"], "there is a command 'translate' already; choose another name"),
        (["coupling", "coupling"], "'Coupling' has another meaning in the file of a coupling; choose another name"),
        (["loss", "source"], "'source' has another meaning in the file of a loss; choose another name"),
        (["loss", "near", "--author", "Ada"], "--license and --author are for packages: add --package"),
        (["loss", "near", "--out", "file"], "'file' is not a folder"),
        (["loss", "near", "--package", "--author", " "], "the licence MIT needs the name of its author: --author NAME"),
        (["loss", "old"], "'old.toml' exists already; choose another name, or another folder with --out"),
        (["loss", "old", "--package", "--license", "none"], "'ganforge-old' exists already; choose another name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_cannot_be_written_is_refused_in_a_line_and_nothing_changes(words, message, ganforge, tmp_path):
    for name in ("file", "old.toml"):
        (tmp_path / name).write_text("kept")
    (tmp_path / "ganforge-old").mkdir()
    before = sorted(tmp_path.rglob("*"))
    result = ganforge("new", *words)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"error: {message}")
    assert len(result.err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "old.toml").read_text() == "kept"


def test_an_unknown_kind_is_answered_by_the_nearest(ganforge):
    result = ganforge("new", "losss", "near")
    assert result.status == 2
    assert "loss" in result.err


@pytest.mark.parametrize("package", [[], ["--package", "--license", "none"]], ids=["files", "package"])
def test_on_a_full_disk_nothing_is_left(package, ganforge, tmp_path, monkeypatch):
    written = []
    whole = Folder.write

    def write(self, name, content, **options):
        written.append(name)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(self, name, content, **options)

    monkeypatch.setattr(Folder, "write", write)
    result = ganforge("new", "loss", "near", "--out", "new", *package)
    assert (result.status, result.err) == (1, "error: cannot write into 'new': No space left on device\n")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "module", "type"),
    [("l1-smooth", "l1_smooth", "L1Smooth"), ("TwoWay", "two_way", "TwoWay"), ("x", "x", "X")],
)
def test_names_become_those_of_modules_and_classes(name, module, type):
    assert (Component("loss", name).module, Component("loss", name).type) == (module, type)


def test_the_files_and_the_package_of_every_kind_are_tidy(tmp_path):
    for kind in KINDS:
        component = Component(kind, f"my-{kind}")
        component.check()
        write_package(component, tmp_path, Licence())
        write_files(component, tmp_path / "files")
    run("-m", "ruff", "check", "--isolated", ".", cwd=tmp_path / "files")
    (tmp_path / "files" / "ruff.toml").write_text("line-length = 120\n")
    run("-m", "ruff", "check", "--extend-select", "I,UP,B,RUF", "--ignore", "RUF002", ".", cwd=tmp_path)
    run("-m", "ruff", "format", "--check", ".", cwd=tmp_path)
    for file in tmp_path.rglob("*.py"):
        compile(file.read_text(), file, "exec")


@pytest.mark.parametrize("licence", ["MIT", "Apache-2.0", "BSD-3-Clause", "none"])
def test_a_package_has_the_licence_of_choice(licence, ganforge, tmp_path):
    made = ganforge("new", "loss", "near-by", "--package", "--license", licence, "--author", 'Ada "A" Löwe')
    assert made.status == 0, made.err
    assert made.out.splitlines()[-3:] == [
        "  pip install -e ganforge-near-by",
        "  pytest ganforge-near-by",
        "  ganforge run near_by",
    ]
    folder = tmp_path / "ganforge-near-by"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"ganforge": {"ganforge_near_by": "ganforge_near_by"}}
    assert project["dependencies"] == [f"ganforge>={importlib.metadata.version('ganforge')}"]
    if licence == "none":
        assert not (folder / "LICENSE").exists()
        assert "license" not in project
    else:
        assert f"{datetime.date.today().year}" in (folder / "LICENSE").read_text()
        assert 'Ada "A" Löwe' in (folder / "LICENSE").read_text()
        assert project["license"] == licence
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert [name for name in names if name != "LICENSE"] == [
        ".github/workflows/tests.yml",
        "README.md",
        "ganforge_near_by/__init__.py",
        "ganforge_near_by/near_by.py",
        "ganforge_near_by/near_by.toml",
        "ganforge_near_by/py.typed",
        "pyproject.toml",
        "tests/test_near_by.py",
    ]
    assert not [
        path for path in folder.rglob("*") if path.name != "LICENSE" and path.is_file() and "xample" in path.read_text()
    ]


def test_the_author_is_gits(ganforge, tmp_path, monkeypatch):
    (tmp_path / "gitconfig").write_text("[user]\nname = Grace\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    assert ganforge("new", "loss", "near", "--package").status == 0
    text = (tmp_path / "ganforge-near" / "LICENSE").read_text()
    assert f"Copyright (c) {datetime.date.today().year} Grace\n" in text


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["loss", "observer", "command"])
def test_a_package_installs_elsewhere_and_works_there(kind, ganforge, tmp_path):
    assert ganforge("new", kind, "near-by", "--package", "--author", "Ada").status == 0
    folder, target = tmp_path / "ganforge-near-by", tmp_path / "target"
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", folder, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("ganforge_near_by-0.1.0-*.whl")
    install = ("-m", "zipfile", "-e", wheel, target)  # what pip does with a wheel of pure Python
    run(*install, cwd=tmp_path)
    there = {"PYTHONPATH": str(target)}
    plugins = json.loads(run("-m", "ganforge", "plugins", "--json", cwd=tmp_path, **there))
    (row,) = [row for row in plugins if row["name"] == "ganforge_near_by"]
    assert (row["version"], row["from"], row["error"]) == ("0.1.0", "ganforge-near-by", "")
    run("-m", "ganforge", "run", "near_by", "--set", "train.steps=4", cwd=tmp_path, **there)
    if kind != "command":
        listed = json.loads(run("-m", "ganforge", "list", kind, "--json", cwd=tmp_path, **there))
        assert [row["plugin"] for row in listed if row["name"] == "near-by"] == ["ganforge_near_by"]
    else:
        assert run("-m", "ganforge", "near-by", "runs/near_by/0001", cwd=tmp_path, **there).startswith("step 4\n")
    assert " passed" in run(*PYTEST, folder / "tests", cwd=tmp_path, **there)
    run("-m", "ruff", "check", ".", cwd=folder)
    run("-m", "mypy", cwd=folder, MYPYPATH=str(folder))


@pytest.mark.slow
def test_the_page_says_what_is_written_and_its_commands_work(ganforge, tmp_path):
    blocks = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    shown = [text for kind, text in blocks if kind in ("python", "toml")]
    commands = [line.partition("#")[0].strip() for kind, text in blocks if kind == "sh" for line in text.splitlines()]
    for command in commands:
        program, *words = shlex.split(command)
        if program == "ganforge" and words[0] != "check":
            result = ganforge(*words, *(["--set", "train.steps=20"] if words[0] == "run" else []))
            assert result.status == 0, f"{command}: {result.err}"
    for name in ("charbonnier.py", "test_charbonnier.py", "charbonnier.toml"):
        assert (tmp_path / name).read_text() in shown
    assert {"pytest test_charbonnier.py", "ganforge check charbonnier.py", "pip install -e ganforge-huber2"} <= {
        *commands
    }


def test_the_page_names_every_kind():
    assert re.findall(r"^\| `(\w+)` \| ", PAGE.read_text(), re.MULTILINE) == [*KINDS]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("(reconstructed: Tensor", "(reconstructd: Tensor"),
        ("eps: Annotated[float, gt(0)] = 1e-3", "eps=1e-3"),
        ("def ganforge_register", "def ganforge_regster"),
    ],
)
def test_the_errors_that_the_page_shows_are_said(right, wrong, ganforge, tmp_path):
    assert ganforge("new", "loss", "charbonnier").status == 0
    file = tmp_path / "charbonnier.py"
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong))
    said = [line for line in ganforge("run", "charbonnier.toml").err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert f"{said[0].replace(str(tmp_path), '/home/ada')}\n" in PAGE.read_text()
