"""The commands that only look."""

import json

import pytest

from ganforge.components.component import KINDS
from ganforge.components.plugins import Plugins

COMMANDS = ["run", "resume", "translate", "evaluate", "list", "show", "recipes", "plugins", "validate"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, ganforge):
    result = ganforge(command, "--help")
    assert result.status == 0
    assert "Usage: ganforge" in result.out


def test_list_has_a_line_for_each_component_with_plugin_version_and_summary(ganforge):
    rows = json.loads(ganforge("list", "--json").out)
    assert {row["kind"] for row in rows} == set(KINDS)
    assert all(row["plugin"] and row["version"] and row["summary"] for row in rows)
    table = ganforge("list", "loss").out
    assert "l1" in table
    assert "Mean of |reconstructed - source|." in table
    assert "mlp" not in table


def test_list_groups_by_plugin_under_the_paper_that_it_names(ganforge, tmp_path):
    (tmp_path / "mine.py").write_text(
        '"""My method (I 2026).\n\nMore."""\nfrom ganforge import hookimpl\n'
        "def mine(fake_score):\n    'A loss of mine.'\n    return fake_score.mean()\n"
        "@hookimpl\ndef ganforge_register(register): register.loss('mine', mine)"
    )
    rows = json.loads(ganforge("list", "--json", "--plugin", tmp_path / "mine.py").out)
    headings = {row["plugin"]: row["heading"] for row in rows}
    assert headings["mine"] == "My method (I 2026)."
    assert headings["ganforge_translation"].startswith("DiscoGAN")
    assert all(headings.values())
    lines = ganforge("list", "--plugin", tmp_path / "mine.py").out.splitlines()
    place = lines.index("My method (I 2026).  (mine local)")
    assert lines[place + 1].split() == ["loss", "mine", "A", "loss", "of", "mine."]
    plugins = [line.rpartition("(")[2].split()[0] for line in lines if line.endswith(")")]
    assert {"ganforge_networks", "ganforge_translation", "mine"} <= set(plugins)


def test_a_default_that_json_does_not_know_is_shown_as_null(ganforge, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import Tensor\nfrom ganforge import hookimpl\n"
        "def capped(fake_score: Tensor, *, cap: float = float('inf')) -> Tensor: return fake_score\n"
        "@hookimpl\ndef ganforge_register(register): register.loss('capped', capped)"
    )
    shown = ganforge("show", "loss", "capped", "--plugin", tmp_path / "mine.py", "--json").out
    assert [setting["default"] for setting in json.loads(shown)["settings"]] == [None]


def test_show_tells_settings_with_types_defaults_ranges_and_the_tensors_asked_for(ganforge):
    shown = json.loads(ganforge("show", "loss", "gan", "--json").out)
    assert shown["asks"] == {"discriminator": ["real_score", "fake_score"], "generator": ["fake_score"]}
    docs = [row.pop("doc") for row in shown["settings"]]
    assert docs[0].startswith("the target of real samples is 1 - smoothing")
    assert shown["settings"] == [
        {"setting": "smoothing", "type": "number", "default": 0.0, "required": False, "range": "x >= 0, x < 0.5"},
        {"setting": "halved", "type": "true or false", "default": False, "required": False, "range": ""},
    ]
    assert "Goodfellow" in shown["doc"]
    table = ganforge("show", "generator", "conv").out
    assert '"torch" or "dcgan" or "xavier" or "kaiming"' in table
    assert "(required)" in ganforge("show", "dataset", "edges2photo").out


def test_show_tells_of_the_engines_own_tables(ganforge):
    shown = json.loads(ganforge("show", "train", "--json").out)
    rows = {row["setting"]: row for row in shown["settings"]}
    assert (shown["kind"], shown["name"]) == ("table", "train")
    said = {"setting": "steps", "type": "whole number", "default": None, "required": True, "range": "x >= 1"}
    assert rows["steps"] == {**said, "doc": "number of training steps."}
    assert rows["norm"]["default"] == "recalibrated"
    for table in ("train", "compute", "record", "losses", "values"):
        settings = json.loads(ganforge("show", table, "--json").out)["settings"]
        assert settings
        assert all(row["doc"] and row["type"] for row in settings)
        out = ganforge("show", table).out
        assert all(row["setting"] in out for row in settings)


def test_recipes_come_with_their_first_comment(ganforge):
    rows = {row["name"]: row["summary"] for row in json.loads(ganforge("recipes", "--json").out)}
    assert {"discogan_edges2shoes", "cut_horse2zebra"} <= set(rows)
    assert not any(name.startswith("base_") for name in rows)
    assert all(len(summary) > 40 for summary in rows.values())


def test_plugins_show_versions_hooks_and_errors(ganforge, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from ganforge import hookimpl\n@hookimpl\ndef ganforge_register(register): 1 / 0"
    )
    rows = {row["name"]: row for row in json.loads(ganforge("plugins", "--plugin", "mine.py", "--json").out)}
    assert "observers" in rows["ganforge_observers"]["hooks"]
    assert "ZeroDivisionError" in rows["mine"]["error"]
    assert rows["ganforge_losses"]["error"] == ""


def test_validate_answers_in_json_too(toy, ganforge):
    assert json.loads(ganforge("validate", toy, "--json").out) == []
    toy.write_text(toy.read_text().replace("steps = 8", "steps = 0"))
    result = ganforge("validate", toy, "--json")
    assert result.status == 2
    assert json.loads(result.out) == [
        {"where": f"{toy}:19", "key": "train.steps", "message": "expected x >= 1, got 0", "hint": ""}
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "losses"], "unknown kind 'losses'; did you mean 'loss'?"),
        (["show", "trian"], "'trian' is neither a kind of component nor a table of the engine; did you mean 'train'?"),
        (["show", "xyz"], "there are: cache, compute, coupling, dataset, "),
        (["show", "loss"], "which loss? Choose from: "),
        (["show", "losses", "gan"], "'losses' is a table of the engine, which takes no name; did you mean 'loss'?"),
        (["show", "train", "steps"], "'train' is a table of the engine, which takes no name; there are: cache, "),
        (
            ["show", "generator", "unet", "--set", "widht=3"],
            "--set widht: unknown setting 'widht'; did you mean 'width'?",
        ),
        (["show", "generator", "unet", "--set", "levels=1"], "--set levels: expected x >= 2, x <= 12, got 1"),
        (["show", "generator", "unet", "--set", "levels=9"], "64x64 can be halved 6 times; set levels to 6 or less"),
        (["show", "generator", "unet", "--set", "levels"], "--set levels: expected KEY=VALUE, such as width=32"),
        (["show", "loss", "l1", "--set", "a=1"], "--set is only for generator, discriminator, network"),
        (["show", "train", "--set", "a=1"], "--set is only for generator, discriminator, network"),
        (["show", "loss", "l3"], "unknown loss 'l3'; did you mean"),
        (["run", "discogan_tyo"], "no recipe 'discogan_tyo'; did you mean 'discogan_toy'?"),
        (["run", "nothing"], "no recipe 'nothing'; 'ganforge recipes' lists those of plugins"),
        (["run", "."], "expected a recipe, but '.' is a folder"),
        (["list", "--plugin", "absent.py"], "no plugin file 'absent.py'"),
        (["evaluate", "absent"], "no run at 'absent'"),
    ],
)
def test_wrong_words_are_answered_in_a_line(words, message, ganforge):
    result = ganforge(*words)
    assert result.status == 2
    assert message in result.err


def test_a_plugin_adds_a_command(ganforge, tmp_path, monkeypatch):
    from ganforge.cli import main as cli

    (tmp_path / "hello.py").write_text(
        "from ganforge import hookimpl\n"
        "@hookimpl\n"
        "def ganforge_commands(app):\n"
        "    @app.command()\n"
        "    def hello():\n"
        "        'Greet.'\n"
        "        print('hello')\n"
    )
    original = cli._plugins

    def with_hello():
        plugins = original()
        plugins.load_file(tmp_path / "hello.py")
        return plugins

    monkeypatch.setattr(cli, "_plugins", with_hello)
    assert ganforge("hello").out == "hello\n"


def test_names_with_control_characters_do_not_reach_the_terminal(ganforge):
    result = ganforge("run", "a\x1b[31mb")
    assert "\x1b[31mb" not in result.err
    assert "a\\x1b[31mb" in result.err


def test_the_number_of_a_line_is_no_emoji(ganforge, toy):
    toy.write_text("\n" * 99 + "[trains]\nsteps = 3\n" + toy.read_text())
    assert "toy.toml:100: " in ganforge("validate", toy).err


@pytest.mark.parametrize("words", [("resume",), ("evaluate",), ("run",), ("validate", "toy.toml", "--plugin")])
@pytest.mark.parametrize("name", ["a" * 300, "a" * 300 + "/b.py", "b/" * 3000 + "x.py"], ids=["file", "folder", "way"])
def test_a_name_that_is_too_long_is_wrong_input(words, name, toy, ganforge):
    answer = ganforge(*words, name)
    assert answer.status == 2
    assert len(answer.err.splitlines()) == 1


def test_a_shipped_recipe_that_is_no_text_is_told_in_its_row(ganforge, tmp_path, monkeypatch):
    (tmp_path / "odd.toml").write_bytes(b"# caf\xe9\n")
    monkeypatch.setattr(Plugins, "recipes", lambda _: {"odd": tmp_path / "odd.toml"})
    result = ganforge("recipes", "--json")
    assert result.status == 0
    assert "odd.toml' is not UTF-8: line 1 holds the byte 0xe9" in json.loads(result.out)[0]["summary"]
