"""The number of the plugin API: what a plugin was made for, and names that changed."""

import importlib.metadata
import re
import sys
import warnings
from pathlib import Path

import pytest

import ganforge
from ganforge.components import api, hookspecs, plugins as plugins_module
from ganforge.components.api import API, CHANGES, RENAMED, Change, Renamed
from ganforge.components.plugins import Plugins
from ganforge.errors import PluginError

DOCUMENT = (Path(__file__).parents[2] / "docs" / "api-changes.md").read_text()
PLUGIN = "from ganforge import hookimpl\n@hookimpl\ndef ganforge_recipes():\n    return []\n"


def load(path, text):
    path.write_text(text)
    said = []
    plugins = Plugins(said.append)
    plugins.load_file(path)
    return plugins, [line for line in said if line.startswith("warning")]


def test_the_number_is_that_of_the_newest_change_and_the_document_tells_of_each():
    assert ganforge.API == API == max(CHANGES)
    told = dict(re.findall(r"^\| (\d+) \| (\S+) \|", DOCUMENT, re.MULTILINE))
    assert told == {str(number): change.version for number, change in CHANGES.items()}
    for one in RENAMED:
        assert f"`{one.old}`" in DOCUMENT
        assert f"`{one.new}`" in DOCUMENT


def test_a_plugin_for_this_api_and_one_that_states_none_load_in_silence(tmp_path):
    for name, text in {"silent": PLUGIN, "stated": f"GANFORGE_API = {API}\n{PLUGIN}"}.items():
        assert load(tmp_path / f"{name}.py", text)[1] == []


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ("7", "it was made for plugin API 7, this is 0: pip install --upgrade ganforge"),
        ("'0'", "its GANFORGE_API is '0', expected a whole number such as 0"),
        ("True", "its GANFORGE_API is True, expected a whole number such as 0"),
        ("-1", "its GANFORGE_API is -1, expected a whole number such as 0"),
    ],
)
def test_a_plugin_for_a_later_api_or_for_none_is_refused_in_one_line(tmp_path, stated, reason):
    with pytest.raises(PluginError) as caught:
        load(tmp_path / "later.py", f"GANFORGE_API = {stated}\n{PLUGIN}")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plugin_for_an_earlier_api_loads_with_a_line_that_says_what_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(api, "API", 2)
    changes = {1: Change("0.2.0", "losses return scalars"), 2: Change("0.3.0", "scores are lists")}
    monkeypatch.setattr(api, "CHANGES", {**CHANGES, **changes})
    plugins, warned = load(tmp_path / "earlier.py", f"GANFORGE_API = 1\n{PLUGIN}")
    assert warned == ["warning: plugin 'earlier': it was made for plugin API 1, this is 2 (API 2: scores are lists)"]
    assert plugins.known["earlier"].error == ""


class Distributed(importlib.metadata.Distribution):
    """An installed distribution that requires something."""

    def __init__(self, requires):
        self.wanted = requires

    def read_text(self, filename):
        if filename == "METADATA":
            return f"Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\nRequires-Dist: {self.wanted}\n"
        return None

    def locate_file(self, path):
        return Path(path)


@pytest.mark.parametrize(
    ("requires", "error"),
    [
        ("ganforge", ""),
        ("ganforge>=0.1", ""),
        ("ganforge-other>=99", ""),
        ("ganforge>=99; extra == 'later'", ""),
        ("ganforge>=99", "it requires ganforge>=99, this is 0.1.0 (API 0: "),
        ("ganforge<0.1", "it requires ganforge<0.1, this is 0.1.0 (API 0: "),
        ("ganforge>=>=1", "it requires 'ganforge>=>=1', which pip cannot read"),
    ],
)
def test_what_a_distribution_requires_is_looked_at(tmp_path, monkeypatch, requires, error):
    (tmp_path / "theirs.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    entry = importlib.metadata.EntryPoint("theirs", "theirs", "ganforge")._for(Distributed(requires))
    monkeypatch.setattr(plugins_module, "entry_points", lambda group: [entry])
    plugins = Plugins()
    plugins.load_installed()
    sys.modules.pop("theirs", None)
    assert plugins.known["theirs"].error.startswith(error)
    assert bool(plugins.known["theirs"].error) == bool(error)


@pytest.fixture
def planted(monkeypatch):
    """Three names that were others before."""
    renames = (
        Renamed("ganforge", "Samples3", "Samples", "0.9"),
        Renamed("hook", "ganforge_archived", "ganforge_recipes", "0.9"),
        Renamed("register", "criterion", "loss", "0.9"),
    )
    monkeypatch.setattr(api, "RENAMED", renames)
    monkeypatch.setattr(api, "_told", {})


def test_renamed_things_work_and_each_use_is_told_once_with_file_and_line(tmp_path, planted):
    path = tmp_path / "older.py"
    text = (
        "from ganforge import hookimpl, Samples3\n"
        "def far(fake): return fake.mean()\n"
        "@hookimpl\n"
        "def ganforge_archived(): return []\n"
        "@hookimpl\n"
        "def ganforge_register(register): register.criterion('far', far)\n"
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        plugins, _ = load(path, text)
        assert plugins.registry.find("loss", "far").place == f"{path}:6"
        assert plugins.recipes() == {}
    told = [(Path(one.filename).name, one.lineno, str(one.message)) for one in caught]
    assert told == [
        ("older.py", 1, "'Samples3' was renamed to 'Samples'; ganforge 0.9 removes the old name"),
        ("older.py", 3, "'ganforge_archived' was renamed to 'ganforge_recipes'; ganforge 0.9 removes the old name"),
        ("older.py", 6, "'criterion' was renamed to 'loss'; ganforge 0.9 removes the old name"),
    ]
    assert all(one.category is FutureWarning for one in caught)
    assert plugins.known["older"].hooks == ("recipes", "register")


def test_what_was_never_there_is_an_error_as_ever(tmp_path, planted):
    with pytest.raises(AttributeError, match="has no attribute 'Sample4'"):
        _ = ganforge.Sample4
    with pytest.raises(PluginError, match=r"'Register' object has no attribute 'los' .*; did you mean 'loss'"):
        load(tmp_path / "wrong.py", PLUGIN + "@hookimpl\ndef ganforge_register(register): register.los('x', 1)\n")
    assert "ganforge_archived" not in vars(hookspecs)
