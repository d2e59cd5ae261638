"""A recipe to begin with."""

import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from ganforge.errors import InputError
from ganforge_new.recipe import new_recipe, recipe


@pytest.fixture
def new(plugins):
    return lambda *words: new_recipe(SimpleNamespace(obj=plugins), *words)


def test_it_extends_the_other_one_and_names_what_is_likely_changed(new, ganforge, tmp_path):
    path = new("mine", "discogan_toy")
    assert path.read_text() == (
        "# mine: discogan_toy, changed.\n"
        'extends = "discogan_toy"\n'
        "\n"
        "# The settings most likely to be changed; remove the # in front of a table and a key.\n"
        "# [losses.adversarial]\n# weight = 1.0\n"
        "# [losses.reconstruction]\n# weight = 10.0\n"
        "# [optimizer]\n# lr = 0.0005\n"
        "# [train]\n# steps = 20000\n# batch = 64\n# seed = 0\n"
    )
    assert ganforge("validate", path).status == 0


@pytest.mark.parametrize("like", ["discogan_toy", "cyclegan_horse2zebra", "wgan_gp_celeba", "dualgan_facades"])
def test_with_every_comment_taken_away_it_is_what_it_extends(new, understand, ganforge, like):
    path = new("all", like)
    text = re.sub(r"^# (?=\[|\w+ = )", "", path.read_text(), flags=re.MULTILINE)
    assert len(tomllib.loads(text)) > 3
    path.write_text(text)
    mine, theirs = understand(path), understand(like)
    assert (mine.train, mine.dataset.settings) == (theirs.train, theirs.dataset.settings)
    assert [loss.table for loss in mine.losses] == [loss.table for loss in theirs.losses]


def test_a_file_may_be_extended_too_from_another_folder(new, ganforge, tmp_path):
    new("one", "discogan_toy")
    (tmp_path / "deep").mkdir()
    path = new("two", "one.toml", Path("deep"))
    assert tomllib.loads(path.read_text())["extends"] == str(tmp_path / "one.toml")
    assert ganforge("validate", path).status == 0


@pytest.mark.parametrize(
    ("name", "like", "error"),
    [
        ("a/b", "discogan_toy", "'a/b' cannot be the name of a recipe: use letters, digits, - and _"),
        ("", "discogan_toy", "'' cannot be the name of a recipe"),
        ("there", "discogan_toy", "there.toml exists already"),
        ("discogan_toy", "discogan_toy", "would extend itself; choose another name"),
        ("mine", "discogan_tyo", "no recipe 'discogan_tyo'; did you mean 'discogan_toy'?"),
    ],
)
def test_what_cannot_be_is_said_in_a_line_and_nothing_is_written(new, ganforge, tmp_path, name, like, error):
    (tmp_path / "there.toml").write_text("mine")
    with pytest.raises(InputError) as caught:
        new(name, like)
    assert error in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["there.toml"]
    assert (tmp_path / "there.toml").read_text() == "mine"


def test_the_command_says_what_it_wrote_and_how_to_go_on(plugins, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(recipe)
    result = CliRunner().invoke(app, ["mine", "--like", "gan_toy", "--out", "new folder"], obj=plugins)
    assert result.output.splitlines() == [
        "wrote new folder/mine.toml",
        "next:",
        "  ganforge show recipe 'new folder/mine.toml'",
        "  ganforge run 'new folder/mine.toml'",
    ]
    assert (tmp_path / "new folder" / "mine.toml").is_file()
    with pytest.raises(InputError, match="cannot write to"):
        new_recipe(SimpleNamespace(obj=plugins), "other", "gan_toy", tmp_path / "new folder" / "mine.toml")
