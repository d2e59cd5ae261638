"""Components of packages that are not installed."""

import importlib
import json
import tomllib
from pathlib import Path

import pytest

from ganforge.cli import inspection
from ganforge.components import community
from ganforge.components.community import ListedComponent, listed_components
from ganforge.components.component import KINDS
from ganforge.components.offer import About, Offer
from ganforge.components.registry import Register, Registry
from ganforge.errors import InputError

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "tests" / "examples").glob("*/pyproject.toml"))


@pytest.mark.parametrize("project", EXAMPLES, ids=lambda path: path.parent.name)
def test_all_that_the_example_packages_register_is_listed(project, monkeypatch):
    about = tomllib.loads(project.read_text())["project"]
    listed = {(one.kind, one.name) for one in listed_components() if one.package == about["name"]}
    monkeypatch.syspath_prepend(project.parent)
    for name, module in about["entry-points"]["ganforge"].items():
        register = Register(name)
        importlib.import_module(module).ganforge_register(register)
        assert listed == set(register.components)


def test_every_entry_says_how_to_have_it():
    for one in listed_components():
        assert one.kind in KINDS
        assert one.install.startswith("pip install ")
        assert one.url.startswith("https://")
        assert one.summary
        assert not one.tests or (ROOT / one.tests).is_dir()


def test_an_unknown_name_that_a_package_has_is_answered_with_it(monkeypatch):
    told = "unknown loss 'charbonnier'; the package ganforge-charbonnier has one: pip install "
    for name in ("charbonnier", "ganforge_charbonnier/charbonnier"):
        with pytest.raises(InputError) as caught:
            Registry().find("loss", name)
        assert str(caught.value).startswith(
            told.replace("charbonnier'", f"{name.removesuffix('charbonnier')}charbonnier'", 1)
        )
    with pytest.raises(InputError, match="no plugin offers one"):
        Registry().find("generator", "charbonnier")
    two = [ListedComponent("loss", "x", "", package, f"pip install {package}", "") for package in ("a", "b")]
    monkeypatch.setattr("ganforge.components.community.listed_components", lambda: two)
    assert community.hint("loss", "x") == ("the package a has one: pip install a; the package b has one: pip install b")


def test_what_is_installed_is_not_listed_once_more():
    installed = About("ganforge_charbonnier", "1.0.0", "ganforge-charbonnier", [], "", "")
    assert inspection._elsewhere(KINDS, Offer([], Registry()))
    assert inspection._elsewhere(KINDS, Offer([installed], Registry())) == []


def test_list_all_names_what_is_not_installed(ganforge):
    text = ganforge("list", "loss", "--all").out
    assert "(ganforge-charbonnier is not installed)" in text
    rows = json.loads(ganforge("list", "loss", "--all", "--json").out)
    (row,) = [row for row in rows if row["name"] == "charbonnier"]
    assert (row["plugin"], row["version"]) == ("ganforge-charbonnier", "")
    assert row["install"] == "pip install ./tests/examples/ganforge-charbonnier"
    assert {row["install"] for row in rows} == {"", row["install"]}
    assert "charbonnier" not in ganforge("list", "loss").out
    assert "charbonnier" not in ganforge("list", "generator", "--all").out
