"""Plugins of several files: each folder has its own modules, and a run keeps what it began with."""

import py_compile
import shutil
import sys

import pytest

from ganforge.components import plugin_folders
from ganforge.components.plugins import Plugins

PLUGIN = """
from ganforge import hookimpl
{imports}
def charb(reconstructed, source):
    '''Scaled L1.'''
    {lazily}
    return scaled((reconstructed - source).abs().mean())
@hookimpl
def ganforge_register(register):
    register.loss("charb", charb)
"""
SCALED = "def scaled(x):\n    return {factor} * x\n"


def write(folder, **texts):
    """Write modules; `package_deep` is the module `deep` of `package`."""
    for name, text in texts.items():
        path = folder / f"{name.replace('package_', 'package/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def load(*files):
    plugins = Plugins()
    for file in files:
        plugins.load_file(file)
    return [plugins.known[file.stem].module for file in files]


@pytest.mark.parametrize(
    ("imports", "lazily"),
    [
        ("from helpers import scaled", ""),
        ("import helpers; scaled = helpers.scaled", ""),
        ("import helpers as h; scaled = h.scaled", ""),
        ("from helpers import *", ""),
        ("from .helpers import scaled", ""),
        ("from . import helpers; scaled = helpers.scaled", ""),
        ("from package.deep import scaled", ""),
        ("import package.deep; scaled = package.deep.scaled", ""),
        ("import package.deep as deep; scaled = deep.scaled", ""),
        ("from package import deep; scaled = deep.scaled", ""),
        ("", "from helpers import scaled"),
        ("", "from package.deep import scaled"),
        ("", "from importlib import import_module; scaled = import_module('.helpers', __package__).scaled"),
    ],
)
def test_a_plugin_imports_what_lies_beside_it(imports, lazily, tmp_path):
    write(
        tmp_path,
        mine=PLUGIN.format(imports=imports, lazily=lazily),
        helpers="from other import scaled",
        other=SCALED.format(factor=2),
        package___init__="",
        package_deep="import other\nfrom package.deeper import scaled\nassert other.scaled(1) == 2",
        package_deeper="from ..helpers import scaled",
    )
    (module,) = load(tmp_path / "mine.py")
    torch = pytest.importorskip("torch")
    assert module.charb(torch.tensor([3.0]), torch.tensor([1.0])) == 4
    assert {"helpers", "other", "package"}.isdisjoint(sys.modules)


def test_two_folders_each_have_their_own_modules_and_one_folder_shares_them(tmp_path):
    one = write(tmp_path / "one", a="import helpers", b="import helpers, a", helpers="NAME = 'one'")
    two = write(tmp_path / "two", c="import helpers\ndef late():\n    import later\n    return later.NAME")
    write(two, helpers="NAME = 'two'", later="from helpers import NAME")
    a, b, c = load(one / "a.py", one / "b.py", two / "c.py")
    assert (a.helpers.NAME, c.helpers.NAME, c.late()) == ("one", "two", "two")
    assert a.helpers is b.helpers
    assert b.a is a


def test_nothing_that_lies_beside_a_plugin_shadows_what_is_installed(tmp_path):
    shadows = dict.fromkeys(("types", "random", "torch", "attrs", "ganforge", "helpers"), "SHADOW = True")
    code = "import types, random, torch, attrs, ganforge, helpers, ganforge.errors\nfrom torch import nn\n"
    (module,) = load(write(tmp_path, mine=code, **shadows) / "mine.py")
    for name in shadows:
        assert hasattr(getattr(module, name), "SHADOW") is (name == "helpers")
    assert module.torch is sys.modules["torch"]
    assert not hasattr(sys.modules["ganforge"], "SHADOW")


def test_a_plugin_that_replaces_its_own_module_is_what_it_put_there(tmp_path):
    code = "import sys, types\nsys.modules[__name__] = types.SimpleNamespace(NAME='other')\n"
    (module,) = load(write(tmp_path, mine=code) / "mine.py")
    assert module.NAME == "other"


def test_copies_hold_what_import_statements_name_and_what_was_imported(tmp_path):
    one = write(tmp_path / "one", mine="import helpers, torch\ndef f():\n    import package.deep\n", helpers="")
    write(one, package___init__="", package_deep="from ..late import x", late="x = 1", unused="", torch="")
    write(one, mine="import helpers, torch\nfrom importlib import import_module\nimport_module('.found', __package__)\n"
        "def f():\n    import package.deep\n", found="")  # fmt: skip
    two = write(tmp_path / "two", other="import helpers", helpers="different = 1")
    load(one / "mine.py", two / "other.py")
    copies = plugin_folders.copy_plugins([one / "mine.py", two / "other.py"], tmp_path / "plugins")
    assert copies == [tmp_path / "plugins" / "mine.py", tmp_path / "plugins" / "2" / "other.py"]
    assert [plugin_folders.copied_as(copy) for copy in copies] == ["plugins/mine.py", "plugins/2/other.py"]
    names = sorted(str(path.relative_to(tmp_path / "plugins")) for path in (tmp_path / "plugins").rglob("*.py"))
    found = ["2/helpers.py", "2/other.py", "found.py", "helpers.py", "late.py", "mine.py"]
    assert names == [*found, "package/__init__.py", "package/deep.py"]


def test_a_run_goes_on_with_its_copies_whatever_becomes_of_the_originals(ganforge, toy, tmp_path, monkeypatch):
    write(tmp_path / "one", mine=PLUGIN.format(imports="from helpers import scaled", lazily=""))
    write(tmp_path / "one", helpers=SCALED.format(factor=2))
    write(
        tmp_path / "two", yours=PLUGIN.format(imports="", lazily="from helpers import scaled").replace("charb", "far")
    )
    write(tmp_path / "two", helpers=SCALED.format(factor=3))
    text = toy.read_text().replace('[losses.reconstruction]\nuse = "l2"', '[losses.reconstruction]\nuse = "charb"')
    toy.write_text(f'plugins = ["one/mine.py", "two/yours.py"]\n{text}[losses.far]\nuse = "far"\n')
    begun = ganforge("run", toy, "--set", "train.steps=4")
    assert begun.status == 0, begun.err
    assert (
        'plugins = [\n    "plugins/mine.py",\n    "plugins/2/yours.py",\n]'
        in (tmp_path / "runs" / "toy" / "0001" / "recipe.lock.toml").read_text()
    )
    write(tmp_path / "one", helpers="1 / 0")
    monkeypatch.syspath_prepend(tmp_path / "one")
    shutil.rmtree(tmp_path / "two")
    resumed = ganforge("resume", "runs/toy/0001", "--set", "train.steps=8")
    assert resumed.status == 0, resumed.err


def test_the_copies_plugins_lie_in_the_run_and_nowhere_else(ganforge, toy, tmp_path):
    write(tmp_path, mine="")
    toy.write_text('plugins = ["mine.py"]\n' + toy.read_text())
    assert ganforge("run", toy).status == 0
    lock = tmp_path / "runs" / "toy" / "0001" / "recipe.lock.toml"
    for name in ("../../../mine.py", "plugins/../plugins/mine.py", "plugins/x/mine.py", "mine.py"):
        lock.write_text(lock.read_text().replace('"plugins/mine.py"', f'"{name}"'))
        result = ganforge("resume", lock.parent, "--set", "train.steps=9")
        assert (result.status, "a locked recipe's plugins are in the run's own folder" in result.err) == (2, True)
        lock.write_text(lock.read_text().replace(f'"{name}"', '"plugins/mine.py"'))


def test_what_was_compiled_beside_a_plugin_is_neither_read_nor_written(tmp_path):
    for name in ("mine", "helpers"):
        file = write(tmp_path, **{name: "NAME = 'other'"}) / f"{name}.py"
        py_compile.compile(str(file), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    write(tmp_path, mine="import helpers, third\nNAME = 'mine'", helpers="NAME = 'helpers'", third="")
    (module,) = load(tmp_path / "mine.py")
    assert (module.NAME, module.helpers.NAME) == ("mine", "helpers")
    assert len(list((tmp_path / "__pycache__").iterdir())) == 2
