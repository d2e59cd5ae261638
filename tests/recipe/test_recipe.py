"""Recipes: layers, overrides, and where each key stands."""

import os

import pytest

from ganforge.errors import InputError, Problem, RecipeError
from ganforge.recipe import layers as recipe

BASE = """\
# What it shows.
# In two lines.

[losses.reconstruction]
use = "huber"
delta = 0.5

[train]
steps = 10
batch = 4
"""


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.toml"
    path.write_text(BASE)
    return path


def child(base, text):
    path = base.with_name("child.toml")
    path.write_text('extends = "base.toml"\n' + text)
    return recipe.load(path)


def test_the_first_comment_is_the_summary(base):
    assert recipe.load(base).summary == "What it shows. In two lines."


def test_a_child_changes_single_keys(base):
    assert child(base, "[train]\nsteps = 99").table["train"] == {"steps": 99, "batch": 4}


def test_a_table_whose_use_changes_is_replaced_whole(base):
    assert child(base, '[losses.reconstruction]\nuse = "l1"').table["losses"]["reconstruction"] == {"use": "l1"}


def test_a_role_is_removed_with_false(base):
    assert child(base, "[losses]\nreconstruction = false").table["losses"]["reconstruction"] is False


def test_set_parses_toml_else_takes_text_and_splits_at_the_first_equals_sign(base):
    sets = ["train.steps=1_000", "dataset.root=a=b.png", "dataset.list=[1, 2]", "train.on={x=1}"]
    table = recipe.load(base, sets).table
    assert table["train"] == {"steps": 1000, "batch": 4, "on": {"x": 1}}
    assert table["dataset"] == {"root": "a=b.png", "list": [1, 2]}


@pytest.mark.parametrize(
    "text", ["train.steps", "=1", "train.steps.=1", "plugins=x", "steps=1", "a\nb=1", "train.steps=1\nx=2"]
)
def test_a_set_without_key_or_value_is_refused_or_taken_as_text(base, text):
    if text == "train.steps=1\nx=2":
        assert recipe.load(base, [text]).table["train"]["steps"] == "1\nx=2"
        return
    with pytest.raises(InputError, match="expected"):
        recipe.load(base, [text])


def test_a_set_of_a_whole_table_is_answered_by_an_example(base):
    with pytest.raises(InputError, match=r"expected a key inside a table of recipes, such as train\.steps=1000$"):
        recipe.load(base, ["train=3"])


def test_where_names_the_file_and_line_of_the_strongest_layer(base):
    loaded = child(base, "[train]\n\nsteps = 99")
    assert loaded.where(("train", "steps")) == f"{base.with_name('child.toml')}:4"
    assert loaded.where(("train", "batch")) == f"{base}:10"
    assert loaded.where(("losses", "reconstruction", "delta")) == f"{base}:6"
    assert loaded.where(("losses", "reconstruction", "absent")) == f"{base}:4"
    assert recipe.load(base, ["train.steps=3"]).where(("train", "steps")) == "--set train.steps=3"


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a.b.c = 1", "a.b.c", 1),
        ("x = 1\n[a]\n  # b = 2\nb = [\n  1,\n  2,\n]\n", "a.b", 4),
        ('x = """\nb = 1\n"""\n\nb = 2', "b", 5),
        ("[a]\nb = { c = 1, d = 2 }", "a.b.d", 2),
        ('["a".b]\nc = 1', "a.b.c", 2),
        ("[[a]]\nb = 1\n[[a]]\nb = 2", "a.1.b", 4),
    ],
)
def test_lines_are_found_in_every_form_that_toml_knows(text, path, line):
    assert recipe.parse(text, "x.toml", None).layers[0].line(tuple(path.split("."))) == line


def test_broken_toml_is_located(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("[train]\nsteps = = 1\n")
    with pytest.raises(RecipeError, match=r"broken.toml:2: not valid TOML"):
        recipe.load(path)


def test_a_chain_that_closes_on_itself_is_refused(base):
    base.write_text('extends = "base.toml"\n' + BASE)
    with pytest.raises(RecipeError, match="extends itself"):
        recipe.load(base)


def test_a_missing_recipe_suggests_its_neighbour(base):
    with pytest.raises(RecipeError, match=r"no recipe '.*bse.toml'; did you mean 'base.toml'"):
        recipe.load(base.with_name("bse.toml"))


def test_plugins_of_every_layer_are_relative_to_their_own_file(base, tmp_path):
    (tmp_path / "inner").mkdir()
    base.write_text('plugins = ["mine.py"]\n' + BASE)
    inner = tmp_path / "inner" / "child.toml"
    inner.write_text('extends = "../base.toml"\nplugins = ["yours.py"]')
    files = [path.resolve() for path, _, _ in recipe.load(inner).plugin_files()]
    assert files == [(tmp_path / "mine.py").resolve(), (tmp_path / "inner" / "yours.py").resolve()]


SHIPPED = b'extends = "base.toml"\n'
ODD = {
    "a byte-order mark": (b"\xef\xbb\xbf" + SHIPPED + b"[train]\nx = 1", None),
    "line ends of Windows": (SHIPPED + b"[train]\r\nx = 1\r\n", None),
    "a line separator in a comment": (SHIPPED + "[train] # a\u2028b\x85c\nx = 1".encode(), None),
    "UTF-16": (SHIPPED.decode().encode("utf-16"), "UTF-16"),
    "a binary file": (bytes(range(256)), "NUL"),
    "another encoding": (b"x = 1\n# caf\xe9", "line 2 holds the byte 0xe9"),
    "a form feed": (SHIPPED + b"# \x0c\nx = 1", r":2: not valid TOML: Found invalid character"),
    "brackets without end": (b"x = " + b"[" * 5000, "nested more than 32 deep"),
    "lists in lists": (b"x = 1\ny = " + b"[" * 50 + b"]" * 50, r":2: y.*nested more than 32 deep"),
    "tables in tables": (b"[train]\nsteps" + b".a" * 500 + b" = 1", r":2: train.steps.*nested more than 32 deep"),
    "a number of thousands of digits": (b"x = " + b"9" * 5000, "thousands of digits"),
    "a long hexadecimal number": (
        b"[train]\nsteps = 0x" + b"f" * 5000,
        r":2: train: an integer must fit into 64 bits",
    ),
    "megabytes": (b"# x\n" * 2_500_000, "too large for a recipe"),
    "a name too long for a file": (b"extends = '" + b"a" * 5000 + b"'", "no recipe 'aaa"),
    "a NUL in a name": (b'extends = "a\\u0000b"', "no recipe"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_texts_are_read_or_answered_in_a_line(case, base):
    text, message = ODD[case]
    path = base.with_name("odd.toml")
    path.write_bytes(text)
    if message is None:
        assert recipe.load(path).where(("train", "x")) == f"{path}:3"
        return
    with pytest.raises(RecipeError, match=message) as caught:
        recipe.load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_a_pipe_is_no_recipe_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(RecipeError, match=r"expected a recipe, but '.*pipe.toml' is not a regular file"):
        recipe.load(tmp_path / "pipe.toml")


@pytest.mark.parametrize("value", ["[" * 5000, "[" * 50 + "]" * 50, "9" * 5000, "0x" + "f" * 5000])
def test_a_value_of_set_that_no_recipe_holds_is_text(value, base):
    assert recipe.load(base, [f"train.steps={value}"]).table["train"]["steps"] == value
    with pytest.raises(InputError, match="expected KEY=VALUE"):
        recipe.load(base, ["train" + ".a" * 500 + "=1"])


def test_a_problem_is_one_line_that_can_be_read():
    problem = Problem("a\nb.toml:1", "train.x", "unknown setting '" + 10**6 * "\x1b[31m" + "'")
    assert str(problem).startswith("a\\nb.toml:1: train.x: unknown setting '\\x1b[31m")
    assert len(str(problem)) < 1500
