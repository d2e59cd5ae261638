"""Installed plugins that do what no plugin should: a red row with the reason, and everything else works."""

import json
import os
import signal
import sys
import warnings
from contextlib import suppress

import pytest

from ganforge import hookimpl
from ganforge.cli.main import command_line, main
from ganforge.components.guard import aside, brief, contained, unchanged
from ganforge.components.plugins import Plugins
from ganforge.errors import PluginError

HOOK = "from ganforge import hookimpl\n@hookimpl\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Write distributions as an installer would, each with a module of its name and an entry point."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def call(name, code="", *, version="1.0", metadata=None, points=None):
        (tmp_path / f"{name}.py").write_text(code)
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        if metadata is None:
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        if metadata:
            (folder / "METADATA").write_text(metadata)
        points = f"[ganforge]\n{name} = {name}\n" if points is None else points
        (folder / "entry_points.txt").write_bytes(points if isinstance(points, bytes) else points.encode())
        names.append(name)
        return folder

    yield call
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys\nsys.exit(2)", "SystemExit: 2 ("),
        ("exit('bye')", "SystemExit: bye ("),
        ("import argparse\nargparse.ArgumentParser().parse_args(['--no-such'])", "SystemExit: 2 ("),
        ("raise KeyboardInterrupt", "KeyboardInterrupt ("),
        ("raise GeneratorExit", "GeneratorExit ("),
        ("raise StopIteration", "StopIteration ("),
        ("class Odd(BaseException): pass\nraise Odd('out of line')", "Odd: out of line ("),
        ("class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute", "Mute ("),
        ("import warnings\nwarnings.simplefilter('error')\nwarnings.warn('old')", "UserWarning: old ("),
        ("import os\nos.environ.clear()\nos.chdir('/')\n1 / 0", "ZeroDivisionError: division by zero ("),
        ("import sys\nsys.path.clear()\nimport ganforge_is_not_there", "No module named 'ganforge_is_not_there'"),
        (HOOK + "def ganforge_register(register): exit(3)", "SystemExit: 3 ("),
        (HOOK + "def ganforge_commands(app): raise KeyboardInterrupt", "KeyboardInterrupt ("),
        (HOOK + "def ganforge_commands(app):\n    @app.command()\n    def odd(x: list[list[int]]): pass", "AssertionError: List types"),
        (HOOK + "def ganforge_commands(app):\n    @app.command()\n    def run(): pass", "it adds a command that already exists"),
        (HOOK + "def ganforge_recipes(): return [1]", "'ganforge_recipes' returned a list with 1, expected str or PathLike"),
        (HOOK + "def ganforge_recipes(): yield 1 / 0", "ZeroDivisionError"),
        (HOOK + "def ganforge_register(register): register.loss(5, lambda fake: fake)", "takes a name and a function or class, got int and function"),
        ("from ganforge import hookimpl\ndef ganforge_register(register): pass", "'ganforge_register' ("),
    ],
)  # fmt: skip
def test_whatever_a_plugin_does_it_is_a_red_row_and_the_others_work(install, code, reason):
    install("acme", code)
    plugins = Plugins()
    plugins.load_installed()
    commands = command_line(plugins).commands
    assert {"run", "translate"} <= commands.keys()
    assert plugins.registry.find("loss", "l1")
    assert "discogan_toy" in plugins.recipes()
    (failed,) = plugins.failures()
    assert (failed.name, failed.hooks) == ("acme", ())
    assert reason in failed.error
    assert len(failed.error.splitlines()) == 1


def test_a_plugin_that_ends_the_process_ends_no_command(install, ganforge):
    install("acme", "import sys\nprint('usage: acme FILE')\nsys.exit(2)")
    result = ganforge("plugins", "--json")
    assert result.status == 0
    (row,) = [row for row in json.loads(result.out) if row["error"]]
    assert row["error"].startswith("SystemExit: 2 (")
    assert row["error"].endswith("acme.py:3)")
    assert ganforge("list").status == 0


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"metadata": ""}, "its metadata lack a name or a version"),
        ({"metadata": "Metadata-Version: 2.1\nName: acme\n"}, "its metadata lack a name or a version"),
        ({"metadata": "Metadata-Version: 2.1\nVersion: 1\n"}, "its metadata lack a name or a version"),
        ({"points": "[ganforge]\nacme\n"}, "its entry_points.txt cannot be read"),
        ({"points": b"[ganforge]\n\xff\xfe = acme\n"}, "its entry_points.txt cannot be read"),
        ({"points": "[ganforge]\nacme = not_there\n"}, "No module named 'not_there'"),
        ({"points": "[ganforge]\nacme = acme:not_there\n"}, "has no attribute 'not_there'"),
        ({"points": "[ganforge]\nacme = not a module!\n"}, "'not a module!' names no module"),
    ],
)
def test_broken_metadata_are_a_red_row(install, ganforge, given, reason):
    install("acme", **given)
    result = ganforge("plugins", "--json")
    assert result.status == 0
    (row,) = [row for row in json.loads(result.out) if row["error"]]
    assert row["name"].startswith("acme")
    assert reason in row["error"]
    assert ganforge("list").status == 0


def test_a_distribution_in_two_folders_counts_once_and_two_in_one_do_not(install, ganforge, tmp_path, monkeypatch):
    install("acme", HOOK + "def ganforge_register(register): pass")
    install("acme", version="2.0")
    other = tmp_path / "other"
    (other / "acme-3.0.dist-info").mkdir(parents=True)
    (other / "acme-3.0.dist-info" / "METADATA").write_text("Name: acme\nVersion: 3.0\n")
    (other / "acme-3.0.dist-info" / "entry_points.txt").write_text("[ganforge]\nacme = acme\n")
    monkeypatch.setattr("sys.path", [*sys.path, str(other)])
    rows = [row for row in json.loads(ganforge("plugins", "--json").out) if row["name"].startswith("acme")]
    assert {row["version"] for row in rows} == {"1.0", "2.0"}
    assert [row["error"] for row in rows if row["error"]] == ["'acme' is taken: acme claims the same entry point"]


def test_a_name_with_escape_sequences_cannot_drive_the_terminal(install, ganforge):
    install("acme", points="[ganforge]\n\x1b[31macme = acme\n")
    result = ganforge("plugins")
    assert "\x1b[31m" not in result.out
    assert "\\x1b[31macme" in result.out


def test_json_is_all_that_stands_on_standard_output(install, monkeypatch, capfd):
    install(
        "acme",
        "import os, subprocess, sys\nprint('imported')\nos.write(1, b'written')\nsys.__stdout__.write('beneath')\n"
        "os.system('echo started')\n"
        + HOOK
        + "def ganforge_register(register):\n    print('registered')\n"
        + HOOK
        + "def ganforge_commands(app):\n    print('commands')\n"
        + HOOK
        + "def ganforge_recipes():\n    print('recipes')\n    return []\n",
    )
    for words in (["list"], ["plugins"], ["recipes"], ["show", "loss", "l1"]):
        monkeypatch.setattr("sys.argv", ["ganforge", *words, "--json"])
        sys.modules.pop("acme", None)
        with pytest.raises(SystemExit, match="0"):
            main()
        captured = capfd.readouterr()
        json.loads(captured.out)
        for word in ("imported", "written", "beneath", "started", "commands"):
            assert word in captured.err


def test_what_a_plugin_takes_away_comes_back_and_what_it_adds_comes_last(monkeypatch, tmp_path):
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.delenv("ADDED", raising=False)
    folder, path = os.getcwd(), list(sys.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with unchanged():
            os.environ.clear()
            os.environ["ADDED"] = "2"
            sys.path[:] = ["/somewhere"]
            os.chdir(tmp_path)
            warnings.simplefilter("error")
        warnings.warn("no error", stacklevel=1)
    assert (os.environ["KEPT"], os.environ.pop("ADDED")) == ("1", "2")
    assert sys.path == [*path, "/somewhere"]
    assert os.getcwd() == folder
    sys.path.remove("/somewhere")


def test_ctrl_c_ends_ganforge_also_where_a_plugin_catches_it():
    with pytest.raises(KeyboardInterrupt), contained():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), contained(), suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(PluginError, match=r"^KeyboardInterrupt \(.*test_misbehaving.py:\d+\)$"), contained():
        raise KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_is_printed_aside_does_not_reach_standard_output(capfd):
    with aside():
        print("aside")  # noqa: T201
        os.write(1, b"written")
    print("shown")  # noqa: T201
    captured = capfd.readouterr()
    assert captured.out == "shown\n"
    assert "aside" in captured.err
    assert "written" in captured.err


def test_an_exception_is_told_in_a_line():
    assert brief(PluginError("one\ntwo")) == "one two"


@pytest.mark.parametrize("what", ["exit(1)", "raise KeyboardInterrupt", "raise GeneratorExit"])
def test_a_hook_that_would_end_the_training_disables_its_plugin(what, tmp_path):
    warned = []
    plugins = Plugins(warned.append)
    (tmp_path / "leaving.py").write_text(HOOK + f"def ganforge_ticked(run): {what}\n")
    plugins.load_file(tmp_path / "leaving.py")
    for _ in range(2):
        assert not list(plugins.each("ganforge_ticked", run=None))
    assert [line for line in warned if "plugin 'leaving' is disabled: " in line] == warned[1:]
    plugins.attach("odd", lambda: exit(4))
    assert "observer 'odd' is disabled: SystemExit: 4" in warned[-1]


def test_an_observer_that_answers_wrongly_is_left_out_and_said_so(tmp_path):
    class Unmarked:
        def ganforge_logged(self, run, record):
            raise AssertionError

    class Marked:
        @hookimpl
        def ganforge_logged(self, record):
            return record

    warned = []
    plugins, marked = Plugins(warned.append), Marked()
    for name, observer in (("a", Unmarked()), ("b", marked), ("c", marked), ("b", Marked())):
        plugins.admit(name, observer)
    assert list(plugins.each("ganforge_logged", run=None, record=7)) == [("b", 7)]
    assert ["lacks @hookimpl" in warned[0], "is already registered" in warned[1], len(warned)] == [True, True, 3]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def ganforge_register(register): 1 / 0", "ZeroDivisionError: division by zero ({file}:3)"),
        ("def ganforge_registre(register): pass", "unknown hook 'ganforge_registre' ({file}:2); did you mean 'ganforge_register'?"),
        ("def ganforge_logged(run, recrod): pass", "'ganforge_logged' ({file}:2) takes run, record, not 'recrod'; did you mean 'record'?"),
        ("def helper(): pass", "unknown hook 'helper' ({file}:2); there are: "),
    ],
)  # fmt: skip
def test_a_local_file_that_fails_is_answered_by_its_failure(code, message, ganforge, toy, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(HOOK + code)
    toy.write_text('plugins = ["mine.py"]\n' + toy.read_text().replace('"l2"', '"mine/loss"'))
    result = ganforge("validate", toy)
    assert result.status == 3
    assert f"error: plugin file {file} failed: {message.format(file=file)}" in result.err


def test_a_traceback_begins_in_the_plugins_own_code(ganforge, tmp_path):
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "wrong.py").write_text("1 / 0\n")
    result = ganforge("list", "--plugin", tmp_path / "broken.py")
    assert (result.status, "Traceback" in result.err) == (3, False)
    assert "SyntaxError: invalid syntax" in result.err
    err = ganforge("list", "--plugin", tmp_path / "wrong.py").err
    assert f'Traceback (most recent call last):\n  File "{tmp_path / "wrong.py"}", line 1' in err


def test_a_forgotten_mark_is_told(ganforge, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def ganforge_register(register): pass\n")
    result = ganforge("list", "--plugin", file)
    assert result.status == 3
    assert f"'ganforge_register' ({file}:1) lacks @hookimpl" in result.err
    assert "Traceback" not in result.err
    file.write_text("def ganforge_registre(register): pass\n")
    assert "did you mean 'ganforge_register'?" in ganforge("list", "--plugin", file).err


def test_a_parameter_with_a_default_may_be_meant_as_a_setting(ganforge, toy, tmp_path):
    (tmp_path / "mine.py").write_text(
        "def half(fake, real, weight_x=0.5):\n    '''Half.'''\n    return weight_x * (fake - real).mean()\n"
        + HOOK
        + "def ganforge_register(register):\n    register.loss('half', half)\n"
    )
    result = ganforge("run", toy, "--plugin", tmp_path / "mine.py", "--set", "losses.half={use='half'}")
    assert result.status == 2
    assert f"'half' ({tmp_path / 'mine.py'}:1) asks for 'weight_x'" in result.err
    assert "make it keyword-only if it is a setting" in result.err
