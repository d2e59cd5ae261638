"""`ganforge plugins --save` and `--restore`."""

import hashlib
import subprocess
import sys
import tomllib

import pytest

from ganforge.cli import plugin_list
from ganforge.components import plugins as plugins_module

PLUGIN = "from ganforge import hookimpl\n@hookimpl\ndef ganforge_recipes():\n    return []\n"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Lay distributions into a folder of modules: from an index, from a folder, and from a repository."""
    site = tmp_path / "site"
    site.mkdir()
    origins = {
        "indexed": "",
        "local": '{"url": "file:///src/my%20plugins", "dir_info": {"editable": true}}',
        "cloned": '{"url": "https://host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}',
        "odd": '{"url": ',
    }
    for name, text in origins.items():
        (site / f"{name}.py").write_text(PLUGIN)
        about = site / f"{name}-1.5.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        (about / "entry_points.txt").write_text(f"[ganforge]\n{name} = {name}\n")
        if text:
            (about / "direct_url.json").write_text(text)
    monkeypatch.syspath_prepend(site)
    yield site
    for name in origins:
        sys.modules.pop(name, None)


def test_packages_and_local_files_are_saved_and_what_is_gone_is_restored_by_lines(ganforge, installed, tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN + "import beside\n")
    (tmp_path / "beside.py").write_text("x = 1\n")
    result = ganforge("plugins", "--save", "list.toml", "--plugin", "mine.py")
    assert (result.status, result.out) == (0, "wrote list.toml: 4 packages, 2 local files\n")
    table = tomllib.loads((tmp_path / "list.toml").read_text())
    assert table["ganforge"] == "0.1.0"
    assert table["package"] == [
        {"name": "cloned", "version": "1.5", "origin": "git+https://host/x.git@abc123", "editable": False},
        {"name": "indexed", "version": "1.5", "origin": "", "editable": False},
        {"name": "local", "version": "1.5", "origin": "file:///src/my%20plugins", "editable": True},
        {"name": "odd", "version": "1.5", "origin": "", "editable": False},
    ]
    digests = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("beside.py", "mine.py")}
    assert table["file"] == [{"path": str(tmp_path / name), "sha256": digest} for name, digest in digests.items()]
    result = ganforge("plugins", "--restore", "list.toml")
    assert (result.status, result.out, result.err) == (0, "", "all packages are installed as saved\n")

    for name in ("cloned", "indexed", "local"):
        (installed / f"{name}-1.5.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 1.6\n")
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "beside.py").unlink()
    result = ganforge("plugins", "--restore", "list.toml")
    assert result.out.splitlines() == [
        "pip install 'cloned @ git+https://host/x.git@abc123'",
        "pip install indexed==1.5",
        "pip install --editable '/src/my plugins'",
    ]
    assert result.status == 2
    assert f"error: the local file {tmp_path / 'beside.py'} does not exist\n" in result.err
    assert f"error: the local file {tmp_path / 'mine.py'} has changed since it was saved" in result.err


def test_run_calls_pip_and_says_if_it_fails(ganforge, tmp_path, monkeypatch):
    (tmp_path / "list.toml").write_text('ganforge = "0.0.1"\n[[package]]\nname = "gone"\nversion = "2.0"\n')
    asked = []

    def pip(words, **_):
        asked.append(words)
        return subprocess.CompletedProcess(words, len(asked) - 1)

    monkeypatch.setattr(plugin_list.subprocess, "run", pip)
    result = ganforge("plugins", "--restore", "list.toml", "--run")
    assert (result.status, result.out) == (0, "")
    assert "warning: saved with ganforge 0.0.1, this is 0.1.0\n" in result.err
    assert asked == [[sys.executable, "-m", "pip", "install", "gone==2.0"]]
    result = ganforge("plugins", "--restore", "list.toml", "--run")
    assert (result.status, "error: pip failed: pip install gone==2.0" in result.err) == (1, True)


@pytest.mark.parametrize(
    "text",
    [
        "x = ",
        "",
        "ganforge = '0.1.0'\npackage = 3\n",
        "ganforge = '0.1.0'\n[[package]]\nname = 'a'\n",
        "ganforge = '0.1.0'\n[[package]]\nname = '-r'\nversion = '1'\n",
        "ganforge = '0.1.0'\n[[package]]\nname = 'a'\nversion = '1; echo'\n",
        "ganforge = '0.1.0'\n[[package]]\nname = '--x'\nversion = '1'\norigin = 'file:///x'\n",
        "ganforge = '0.1.0'\n[[file]]\npath = 3\nsha256 = 'x'\n",
    ],
)
def test_what_is_no_such_list_is_refused_in_one_line(ganforge, tmp_path, text):
    (tmp_path / "list.toml").write_text(text)
    result = ganforge("plugins", "--restore", "list.toml", "--run")
    assert result.status == 2
    assert result.err.startswith("error: 'list.toml' is not a list of plugins that `ganforge plugins --save` wrote: ")
    assert result.err.count("\n") == 1


def test_options_that_do_not_go_together_and_folders_that_are_not_there(ganforge, tmp_path):
    for words in (("--save", "a", "--restore", "b"), ("--run",)):
        assert ganforge("plugins", *words).status == 2
    assert ganforge("plugins", "--restore", "nothing.toml").status == 2
    result = ganforge("plugins", "--save", tmp_path / "no" / "such" / "list.toml")
    assert (result.status, "cannot write" in result.err) == (2, True)


def test_a_plugin_that_fails_is_told_of_and_the_others_are_saved(ganforge, installed, tmp_path):
    (installed / "local.py").write_text("import no_such_module\n")
    result = ganforge("plugins", "--save", "list.toml")
    assert result.status == 0
    assert "warning: plugin 'local' is not loaded: ModuleNotFoundError" in result.err
    assert plugins_module.LOCAL == "local"  # stands for a file's version
    names = [one["name"] for one in tomllib.loads((tmp_path / "list.toml").read_text())["package"]]
    assert names == ["cloned", "indexed", "local", "odd"]
