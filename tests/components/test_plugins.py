"""Plugins from entry points and files; a broken one harms nobody."""

import importlib.metadata
import sys

import pytest

from ganforge.components import plugins as plugins_module
from ganforge.components.plugins import Plugins
from ganforge.errors import InputError, PluginError, RecipeError
from ganforge.recipe import layers as recipe

CHARBONNIER = '''\
"""Charbonnier: a smooth L1, as a reconstruction loss."""
from torch import Tensor
from ganforge import Register, hookimpl

def charbonnier(reconstructed: Tensor, source: Tensor, *, eps: float = 1e-3) -> Tensor:
    """Mean of sqrt((reconstructed - source)^2 + eps^2)."""
    return ((reconstructed - source).square() + eps**2).sqrt().mean()

@hookimpl
def ganforge_register(register: Register) -> None:
    register.loss("charbonnier", charbonnier)
'''


@pytest.fixture
def entry_points(tmp_path, monkeypatch):
    """Pretend that modules written here are installed distributions."""
    monkeypatch.syspath_prepend(tmp_path)
    entries = []

    def add(name, text, module=None):
        module = module or name
        (tmp_path / f"{module}.py").write_text(text)
        entries.append(importlib.metadata.EntryPoint(name, module, "ganforge"))

    monkeypatch.setattr(plugins_module, "entry_points", lambda group: entries)
    yield add
    for entry in entries:
        sys.modules.pop(entry.value, None)


def loaded():
    plugins = Plugins()
    plugins.load_installed()
    return plugins


def test_an_installed_plugin_registers(entry_points):
    entry_points("good_plugin", CHARBONNIER)
    assert loaded().registry.find("loss", "charbonnier").qualified == "good_plugin/charbonnier"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f(:", "SyntaxError"),
        ("raise SystemError('at import')", "SystemError: at import"),
        ("from ganforge import hookimpl\n@hookimpl\ndef ganforge_registre(register): pass", "unknown hook 'ganforge_registre'"),
        ("from ganforge import hookimpl\n@hookimpl\ndef ganforge_register(registry): pass", "registry"),
        ("from ganforge import hookimpl\n@hookimpl\ndef ganforge_register(register): 1 / 0", "ZeroDivisionError"),
        ("from ganforge import hookimpl\n@hookimpl(wrapper=True)\ndef ganforge_register(register): return (yield)", "hook wrappers are not supported"),
        ("from ganforge import hookimpl\n@hookimpl\ndef ganforge_register(register): register.loss('l', lambda x, *, e=1: x)", "no type annotation"),
    ],
)  # fmt: skip
def test_a_broken_plugin_is_a_row_and_the_others_work(entry_points, text, reason):
    entry_points("a_broken_one", text)
    entry_points("good_plugin", CHARBONNIER)
    plugins = loaded()
    assert plugins.registry.find("loss", "charbonnier")
    (failed,) = plugins.failures()
    assert failed.name == "a_broken_one"
    assert reason in failed.error


def test_components_registered_before_a_plugin_fails_are_taken_back(entry_points):
    entry_points("half", CHARBONNIER + "    register.loss('charbonnier', charbonnier)\n")
    plugins = loaded()
    assert list(plugins.registry.of("loss")) == []
    assert "registered twice" in plugins.known["half"].error


def test_a_second_claim_to_an_entry_point_is_said(entry_points):
    entry_points("twin", CHARBONNIER)
    entry_points("twin", CHARBONNIER, module="other_module")
    plugins = loaded()
    assert [plugin.error.partition(":")[0] for plugin in plugins.failures()] == ["'twin' is taken"]


def test_a_file_is_a_plugin_too(tmp_path):
    path = tmp_path / "my_loss.py"
    path.write_text(CHARBONNIER)
    plugins = loaded()
    plugins.load_file(path)
    plugins.load_file(path)  # naming it twice is no conflict
    assert plugins.registry.find("loss", "my_loss/charbonnier")
    assert plugins.registry.find("loss", "l1")


def test_a_missing_or_clashing_or_raising_file_is_refused(tmp_path):
    plugins = loaded()
    with pytest.raises(InputError, match="no plugin file"):
        plugins.load_file(tmp_path / "absent.py")
    (tmp_path / "ganforge_losses.py").write_text("")
    with pytest.raises(InputError, match=r"'ganforge_losses' of .* is already loaded"):
        plugins.load_file(tmp_path / "ganforge_losses.py")
    (tmp_path / "raising.py").write_text("x = 1\nraise ValueError('why')")
    with pytest.raises(PluginError, match=r"ValueError: why \(.*raising.py:2\)"):
        plugins.load_file(tmp_path / "raising.py")


def test_an_observer_that_raises_is_disabled_and_named_once(tmp_path):
    warnings = []
    plugins = Plugins(warnings.append)
    (tmp_path / "nosy.py").write_text(
        "from ganforge import hookimpl\n@hookimpl\ndef ganforge_ticked(run): run.no_such_thing"
    )
    plugins.load_file(tmp_path / "nosy.py")
    for _ in range(3):
        list(plugins.each("ganforge_ticked", run=None))
    assert len(warnings) == 2
    assert warnings[0].startswith("loading code: ")
    assert "plugin 'nosy' is disabled: AttributeError" in warnings[1]


FIRST_PARTY = [
    "ganforge_translation",
    "ganforge_networks",
    "ganforge_optimizers",
    "ganforge_losses",
    "ganforge_data",
    "ganforge_evaluations",
    "ganforge_observers",
    "ganforge_recipes",
]


@pytest.mark.parametrize("gone", FIRST_PARTY)
def test_without_one_of_the_first_party_plugins_the_others_work(gone, monkeypatch, ganforge, toy):
    """Every plugin folder can be removed, with its entry point: what remains says what is missing, or just runs."""
    installed = list(importlib.metadata.entry_points(group="ganforge"))
    monkeypatch.setattr(plugins_module, "entry_points", lambda group: [one for one in installed if one.name != gone])
    listed = ganforge("list")
    assert listed.status == 0
    assert gone not in listed.out
    result = ganforge("run", toy)
    if gone in ("ganforge_evaluations", "ganforge_observers", "ganforge_recipes"):
        assert result.status == 0
        assert (toy.parent / "runs" / "toy" / "0001" / "checkpoints" / "latest").exists()
    else:
        assert result.status == 2
        assert f"{toy}:" in result.err
        assert "unknown " in result.err


def test_recipes_of_one_name_are_told_apart_by_their_plugins(tmp_path):
    plugins = loaded()
    shipped = len(plugins.recipes())
    (tmp_path / "mine.toml").write_text("")
    (tmp_path / "discogan_toy.toml").write_text("")
    (tmp_path / "more_recipes.py").write_text(
        "from pathlib import Path\nfrom ganforge import hookimpl\n@hookimpl\ndef ganforge_recipes():\n"
        "    return [*Path(__file__).parent.glob('*.toml'), Path('absent.toml')]"
    )
    plugins.load_file(tmp_path / "more_recipes.py")
    found = plugins.recipes()
    assert found["mine"] == tmp_path / "mine.toml"
    assert "discogan_toy" not in found
    assert found["more_recipes/discogan_toy"] == tmp_path / "discogan_toy.toml"
    assert len(found) == shipped + 2
    with pytest.raises(RecipeError, match="several plugins ship a recipe 'discogan_toy'; there are: ganforge_recipes/"):
        recipe.load("discogan_toy", (), found)
    assert recipe.load("gan_toy", (), found).table["coupling"] == {"use": "gan"}
