"""What code is loaded: only what the user, or who looks after the machine, allows."""

import os

import pytest

from ganforge.components import plugins as module

LOSS = """
from ganforge import hookimpl

def half(fake):
    \"\"\"Half of the mean.\"\"\"
    return fake.mean() / 2

@hookimpl
def ganforge_register(register):
    register.loss("half", half)
"""
HALF = ["--set", "losses.half={use='half'}"]


class Entry:
    """An entry point of a stranger's distribution."""

    name, value = "stranger", "stranger"

    class dist:  # noqa: N801
        name, version = "ganforge-stranger", "1.2"

    def __init__(self):
        self.loaded = False

    def load(self):
        self.loaded = True
        return type("Stranger", (), {})()


@pytest.fixture
def stranger(monkeypatch):
    entry, installed = Entry(), module.entry_points
    monkeypatch.setattr(module, "entry_points", lambda group: [*installed(group=group), entry])
    return entry


@pytest.mark.parametrize(
    ("words", "allowed", "loaded"),
    [
        ([], None, True),
        pytest.param(["--no-plugins"], None, False, marks=pytest.mark.slow),
        (["--no-plugins"], "stranger", False),
        pytest.param([], "", False, marks=pytest.mark.slow),
        ([], "other", False),
        ([], f"other{os.pathsep}stranger", True),
    ],
)
def test_installed_plugins_are_loaded_as_allowed(words, allowed, loaded, stranger, toy, ganforge, monkeypatch):
    monkeypatch.setenv(module.ALLOWED, "")  # so that it is restored, whatever the command does to it
    monkeypatch.delenv(module.ALLOWED)
    if allowed is not None:
        monkeypatch.setenv(module.ALLOWED, allowed)
    result = ganforge("run", toy, *words)
    assert result.status == 0, result.err
    assert stranger.loaded is loaded
    assert ("plugins: stranger 1.2 (ganforge-stranger)" in result.out) is loaded
    if not loaded:
        assert "does not allow it" in ganforge("plugins", *words, "--json").out


def test_a_plugin_file_is_run_only_where_it_is_allowed(toy, ganforge, tmp_path, monkeypatch):
    monkeypatch.setenv(module.ALLOWED, "")
    monkeypatch.delenv(module.ALLOWED)
    file = tmp_path / "half.py"
    file.write_text(LOSS + f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    words = ["run", toy, "--plugin", file, *HALF]
    refused = ganforge(*words, "--no-plugins")
    assert refused.status == 2
    assert "half.py is not loaded: --no-plugins or GANFORGE_PLUGINS does not allow it" in refused.err
    assert not (tmp_path / "ran").exists()
    monkeypatch.setenv(module.ALLOWED, str(file))
    accepted = ganforge(*words)
    assert accepted.status == 0, accepted.err
    assert f"loading code: {file}" in accepted.err
    assert "plugins: half local" in accepted.out
