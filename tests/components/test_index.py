"""Answers that are kept between commands: never one that no longer holds."""

import importlib
import json
import os
import sys
import time

import pytest

from ganforge.components import index as module
from ganforge.components.component import KINDS
from ganforge.components.index import Index, digest
from ganforge.components.offer import described, keep_offer, kept_offer, offer_of
from ganforge.components.plugins import Plugins

DISTRIBUTION = {"METADATA": "Name: other\nVersion: 1\n", "entry_points.txt": "[ganforge]\nother = other\n"}


def index(silent=True):
    return Index(lambda: silent)


def found():
    return index().find("answer")


@pytest.fixture
def files(monkeypatch, tmp_path):
    """An answer that follows from a module, a distribution, a file and a folder that were looked at."""
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "SHELLS_OWN", {*module.SHELLS_OWN, "PYTEST_CURRENT_TEST"})  # other in set-up and test
    place = tmp_path / "site"
    (place / "other-1.dist-info").mkdir(parents=True)
    for name, text in DISTRIBUTION.items():
        (place / "other-1.dist-info" / name).write_text(text)
    (place / "a_watched_module.py").write_text("x = 1\n")
    (tmp_path / "listed").mkdir()
    (tmp_path / "read.txt").write_text("1")
    monkeypatch.syspath_prepend(place)
    monkeypatch.setattr(module, "SLACK", 0)
    time.sleep(0.02)  # what is younger than a command may be another thing than it saw
    kept = index()
    with kept.watching():
        importlib.import_module("a_watched_module")
        (tmp_path / "read.txt").read_text()
        list((tmp_path / "listed").iterdir())
        with pytest.raises(FileNotFoundError):
            (tmp_path / "absent.txt").read_text()
    kept.keep("answer", [1])
    yield tmp_path
    del sys.modules["a_watched_module"]


def test_an_answer_is_found_as_long_as_nothing_changes(files):
    assert found() == [1]
    (files / "site" / "__pycache__").mkdir(exist_ok=True)  # which Python makes by itself
    (files / "elsewhere").mkdir()
    assert found() == [1]
    later = index()
    later.keep("other", 2)
    assert [index().find(name) for name in ("answer", "other", "third")] == [[1], 2, None]


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "site" / "a_watched_module.py").write_text("x = 2\n"),
        lambda root: (root / "site" / "a_watched_module.py").unlink(),
        lambda root: (root / "read.txt").write_text("2"),
        lambda root: (root / "absent.txt").write_text("now it is there"),
        lambda root: (root / "listed" / "new").touch(),
        lambda root: (root / "site" / "other-1.dist-info" / "entry_points.txt").write_text("[ganforge]\n"),
        lambda root: (root / "site" / "other-1.dist-info" / "METADATA").write_text("Name: other\nVersion: 2\n"),
        lambda root: (root / "site" / "other-1.dist-info").rename(root / "site" / "other-2.dist-info"),
        lambda root: (root / "site" / "third-1.dist-info").mkdir(),
        lambda root: (root / "site" / "optional.py").touch(),
        lambda root: (root / "site" / "optional").mkdir(),
        lambda root: (root / "site" / "editable.pth").touch(),
    ],
    ids=[
        *("edited", "removed", "read", "appeared", "listed", "entry points", "version", "upgraded", "installed"),
        *("module", "package", "editable"),
    ],
)
def test_a_changed_file_ends_it(change, files):
    assert found() == [1]
    change(files)
    assert found() is None


def test_an_edit_that_hides_its_time_is_noticed(files):
    file = files / "site" / "a_watched_module.py"
    before = file.stat()
    file.write_text("x = 2\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert found() is None


def test_what_is_edited_while_it_is_imported_is_not_kept(files):
    slow = index()
    (files / "read.txt").write_text("2")
    with slow.watching():
        (files / "read.txt").read_text()
    slow.keep("later", 1)
    assert index().find("later") is None


@pytest.mark.parametrize(
    ("thing", "name", "value"),
    [
        (sys, "executable", "/another/venv/bin/python"),
        (sys, "version", "3.99"),
        (sys, "path", [*sys.path, "/another/folder"]),
    ],
    ids=["executable", "version", "path"],
)
def test_another_python_has_answers_of_its_own(thing, name, value, files, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(thing, name, value)
        assert found() is None
        index().keep("answer", [2])
        assert found() == [2]
    assert found() == [1]


def test_the_environment_counts_and_what_a_shell_changes_by_itself_does_not(files, monkeypatch):
    monkeypatch.setenv("OLDPWD", "elsewhere")
    assert found() == [1]
    monkeypatch.setenv("A_PLUGINS_SWITCH", "on")
    assert found() is None
    monkeypatch.delenv("A_PLUGINS_SWITCH")
    assert found() == [1]


def replaced(text):
    return f"{digest(text)}\n{text}"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-10],
        lambda text: text.replace('"answer": [1]', '"answer": [7]'),
        lambda text: "\0" * len(text),
        lambda text: replaced("[]"),
        lambda text: replaced("7"),
        lambda text: replaced('{"seen": {"/": [1]}, "answers": {}}'),
        lambda text: replaced("no JSON"),
    ],
    ids=["empty", "cut", "changed", "zeros", "list", "number", "other", "text"],
)
def test_a_damaged_or_foreign_file_is_as_good_as_none(damage, files):
    (file,) = (files / "cache" / "index").iterdir()
    file.write_text(damage(file.read_text()))
    assert found() is None
    index().keep("answer", [3])
    assert found() == [3]


def test_nothing_is_kept_where_it_cannot_be_written_or_something_was_said(files, monkeypatch):
    index(silent=False).keep("said", 1)
    assert index().find("said") is None
    Index().keep("inactive", 1)
    assert index().find("inactive") is None
    monkeypatch.setenv("GANFORGE_CACHE", str(files / "read.txt"))  # no folder can be made there
    index().keep("answer", [1])
    assert found() is None
    monkeypatch.setenv("GANFORGE_CACHE", "~nobody-of-this-name/x")
    index().keep("answer", [1])
    assert found() is None


def test_old_files_are_deleted_and_all_may_be(files, monkeypatch):
    for number in range(20):
        monkeypatch.setenv("A_PLUGINS_SWITCH", str(number))
        index().keep("answer", number)
    assert found() == 19
    kept = list((files / "cache" / "index").iterdir())
    assert len(kept) == 16
    for file in kept:
        file.unlink()
    assert found() is None


def test_all_that_is_shown_of_all_components_is_the_same_from_the_index(files):
    (files / "site" / "other-1.dist-info" / "entry_points.txt").unlink()  # there is no such module
    plugins = Plugins(index=index())
    plugins.load_installed()
    keep_offer(plugins)
    live, kept = offer_of(plugins), kept_offer(Plugins(index=index()))
    assert kept is not None
    assert kept.plugins == live.plugins
    for kind in KINDS:
        ours, theirs = ([described(one) for one in offer.registry.of(kind)] for offer in (live, kept))
        assert ours
        assert json.loads(json.dumps([repr(one) for one in ours])) == [repr(one) for one in theirs]


FAILING = """
from ganforge import hookimpl

@hookimpl
def ganforge_register(register):
    import no_such_module
"""


@pytest.mark.parametrize("text", ["import no_such_module\n", FAILING], ids=["import", "register"])
def test_what_plugins_with_errors_offer_is_not_kept(text, files):
    (files / "site" / "other.py").write_text(text)
    time.sleep(0.02)
    plugins = Plugins(index=index())
    plugins.load_installed()
    keep_offer(plugins)
    assert "no_such_module" in plugins.known["other"].error
    sys.modules.pop("other", None)
    assert kept_offer(Plugins(index=index())) is None


def test_plugin_files_are_not_kept(files):
    (files / "site" / "other-1.dist-info" / "entry_points.txt").unlink()
    (files / "mine.py").write_text("")
    plugins = Plugins(index=index())
    plugins.load_installed()
    plugins.load_file(files / "mine.py")
    keep_offer(plugins)
    assert kept_offer(Plugins(index=index())) is None
