"""Commands that only look answer without torch once the index knows what there is, and answer the same."""

import os
import subprocess
import sys

import pytest

CODE = """
import sys
from ganforge.cli.main import main
try:
    main()
finally:
    open("imported", "w").write(" ".join(sys.modules))
"""
PLUGIN = '''
"""Plugin {number}: says so."""
import torch
from ganforge import hookimpl

def loss_{number}(fake, *, eps: float = {number}.0):
    """Loss {number}."""
    return fake.mean() * eps

@hookimpl
def ganforge_register(register):
    register.loss("loss-{number}", loss_{number})
'''


class Machine:
    """A folder of a hundred installed plugins that import torch, and a cache of its own."""

    def __init__(self, root):
        self.root, self.site, self.work = root, root / "site", root / "work"
        self.work.mkdir(parents=True)
        self.site.mkdir()
        self.environment = {**os.environ, "PYTHONPATH": str(self.site), "GANFORGE_CACHE": str(root / "cache")}
        for name in ("PYTEST_CURRENT_TEST", "PYTHONDONTWRITEBYTECODE"):
            self.environment.pop(name, None)

    def install(self, number):
        (self.site / f"plugin_{number}.py").write_text(PLUGIN.format(number=number))
        about = self.site / f"plugin_{number}-1.{number}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin-{number}\nVersion: 1.{number}\n")
        (about / "entry_points.txt").write_text(f"[ganforge]\nplugin_{number} = plugin_{number}\n")

    def __call__(self, *words, **variables):
        """Run a command; return (its exit status, standard output, standard error), and whether it imported torch."""
        command = [sys.executable, "-c", CODE, *map(str, words)]
        environment = {**self.environment, **variables}
        done = subprocess.run(command, cwd=self.work, env=environment, capture_output=True, text=True, check=False)
        return (done.returncode, done.stdout, done.stderr), "torch" in (self.work / "imported").read_text().split()


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    made = Machine(tmp_path_factory.mktemp("machine"))
    for number in range(100):
        made.install(number)
    (made.work / "imported").touch()
    (made.work / "toy.toml").write_text('extends = "discogan_toy"\n[generator]\nhidden = 8\n')
    return made


@pytest.fixture(scope="module")
def listed(machine):
    """What `list` says when it asks the plugins themselves."""
    answer, torch = machine("list")
    assert answer[0] == 0
    assert torch
    return answer


def test_with_a_hundred_plugins_list_imports_none_of_them(machine, listed):
    assert all(f"loss-{number} " in listed[1] for number in range(100))
    assert machine("list") == (listed, False)
    assert "plugin_7" not in (machine.work / "imported").read_text().split()
    read_only = {"PYTHONDONTWRITEBYTECODE": "1"}  # another environment, so that the first time is as ever
    assert machine("list", **read_only) == (listed, True)
    assert machine("list", **read_only) == (listed, False)


@pytest.mark.slow
def test_show_and_plugins_need_no_plugin_either_once_they_were_asked(machine, listed):
    assert machine("show", "loss", "loss-7")[1]  # the first one works out what is known of every component
    (status, out, err), torch = machine("show", "loss", "loss-42")
    assert (status, err, torch) == (0, "", False)
    assert "Loss 42." in out
    assert "42.0" in out
    (status, out, err), torch = machine("plugins")
    assert (status, err, torch) == (0, "", False)
    assert "plugin_42             1.42     plugin-42  register" in out
    assert machine("show", "train")[1] is False
    assert machine("recipes")[1] is False
    (status, out, err), torch = machine("show", "loss", "loss-4x")
    assert (status, torch) == (2, False)
    assert err == "error: unknown loss 'loss-4x'; did you mean 'loss-4'?\n"


def test_help_asks_only_those_who_have_commands(machine, listed):
    for words in (["--help"], ["--help", "list"], []):
        (_, out, err), torch = machine(*words)
        assert "translate" in out + err
        assert not torch
    (_, out, _), torch = machine(COMP_WORDS="ganforge trans", COMP_CWORD="1", _GANFORGE_COMPLETE="complete_bash")
    assert (out, torch) == ("translate\n", False)


@pytest.mark.slow
def test_an_edited_a_broken_and_a_removed_plugin_are_noticed(machine, listed):
    file, text = machine.site / "plugin_3.py", (machine.site / "plugin_3.py").read_text()
    file.write_text(text.replace("Loss 3.", "Loss three."))
    assert "Loss three." in machine("list")[0][1]
    file.write_text("import no_such_module\n")
    for _ in range(2):
        assert "No module named 'no_such_module'" in machine("plugins")[0][1]
    file.write_text('print("hello")\n' + text)
    for _ in range(2):
        answer, torch = machine("plugins")
        assert (answer[2], torch) == ("hello\n", True)
    file.write_text(text)
    assert machine("list")[0] == listed
    (machine.site / "plugin_3-1.3.dist-info" / "entry_points.txt").unlink()
    assert "loss-3 " not in machine("list")[0][1]


@pytest.mark.slow
def test_a_sound_recipe_is_known_and_its_data_are_looked_at_anew(machine, pairs):
    recipe, data = machine.work / "toy.toml", ["--set", f"dataset.root={pairs}"]
    sound = ((0, f"{recipe}: no problems\n", ""), False)
    assert machine("validate", recipe) == (sound[0], True)
    assert machine("validate", recipe) == sound
    assert machine("validate", recipe, "--json") == ((0, "[]\n", ""), False)
    recipe.write_text(recipe.read_text().replace("8", '"eight"'))
    for _ in range(2):
        (status, _, err), torch = machine("validate", recipe)
        assert (status, torch) == (2, True)
        assert "toy.toml:3: generator.hidden: expected whole number" in err
    words = ("validate", "discogan_edges2shoes", *data, "--set", "train.batch=4")
    sound = ((0, "discogan_edges2shoes: no problems\n", ""), False)
    assert machine(*words) == (sound[0], True)
    assert machine(*words) == sound
    for picture in (pairs / "train").iterdir():
        picture.unlink()
    (status, _, err), torch = machine(*words)
    assert (status, torch) == (2, True)
    assert "dataset.root" in err


@pytest.mark.slow
def test_recipes_are_resolved_and_the_schema_is_made_once(machine, listed):
    for words in (("show", "recipe", "toy.toml"), ("diff", "toy.toml", "gan_toy"), ("schema",)):
        first, _ = machine(*words)
        assert first[0] == 0
        assert machine(*words) == (first, False)
    (machine.work / "toy.toml").write_text('extends = "discogan_toy"\n[generator]\nhidden = 9\n')
    (_, out, _), torch = machine("show", "recipe", "toy.toml")
    assert "hidden = 9" in out
    assert torch
    (machine.work / "toy.toml").write_text('extends = "discogan_toy"\n[generator]\nhidden = 8\n')


@pytest.mark.slow
def test_how_large_a_network_is_is_counted_once(machine, listed):
    first, torch = machine("show", "generator", "unet")
    assert torch
    assert "GFLOP" in first[1].upper()
    assert machine("show", "generator", "unet") == (first, False)
    assert machine("show", "generator", "unet", "--set", "width=16")[1] is True
