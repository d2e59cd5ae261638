"""`ganforge show recipe`, `ganforge show run` and `ganforge diff`."""

import json

import pytest

RECIPE = """\
# A small one.
# Of two lines.
extends = "discogan_toy"

[generator]
hidden = 8

[losses.reconstruction]
weight = 2.0
"""


def rows(result):
    assert result.status == 0, result.err
    return json.loads(result.out)


def test_a_recipe_says_what_it_extends_what_is_set_where_and_what_a_step_takes(ganforge, tmp_path):
    (tmp_path / "mine.toml").write_text(RECIPE)
    shown = rows(ganforge("show", "recipe", "mine.toml", "--set", "train.batch=10", "--json"))
    assert (shown["name"], shown["file"], shown["summary"]) == ("mine", "mine.toml", "A small one. Of two lines.")
    assert [path.rpartition("/")[2] for path in shown["extends"]] == ["discogan_toy.toml"]
    keys = {row["key"]: (row["value"], row["where"]) for row in shown["keys"]}
    assert keys["generator.hidden"] == (8, "mine.toml:6")
    assert keys["losses.reconstruction.weight"] == (2.0, "mine.toml:9")
    assert keys["train.batch"] == (10, "--set train.batch=10")
    assert keys["dataset.use"][1].endswith("discogan_toy.toml:5")
    components = {row["table"]: (row["use"], row["settings"]) for row in shown["components"]}
    assert components["generator"][0] == "ganforge_networks/mlp"
    assert components["generator"][1]["hidden"] == 8
    assert components["losses.reconstruction"] == ("ganforge_losses/l2", {"scale": 1.0, "weight": 2.0})
    cost = shown["cost"]
    assert (cost["batch"], cost["parameters"].keys()) == (10, {"G_AB", "G_BA", "D_A", "D_B"})
    text = ganforge("show", "recipe", "mine.toml").out
    assert "G_AB: " in text
    assert "mine.toml:6" in text


def test_the_arithmetic_of_a_step_is_that_of_its_products(ganforge):
    settings = ("generator.hidden=1", "discriminator.hidden=1", "generator.layers=2", "discriminator.layers=2")
    words = [word for setting in (*settings, "train.batch=1") for word in ("--set", setting)]
    shown = rows(ganforge("show", "recipe", "gan_toy", *words, "--json"))
    # By hand. G: 2 -> 1 -> 2 and D: 2 -> 1 -> 1, two operations for each multiply-add. The discriminator's turn: G forward, D on
    # real and fake, its gradients by its weights, and by the hidden layer; the generator's: D on the fake once more, its
    # gradients by D's hidden layer and input, and by G's weights and hidden layer.
    forward_g, forward_d = 2 * (2 * 1 + 1 * 2), 2 * (2 * 1 + 1 * 1)
    d_turn = forward_g + 2 * forward_d + 2 * (forward_d + 2 * 1 * 1)
    g_turn = forward_d + (2 * 2 * 1 + 2 * 1 * 1) + (forward_g + 2 * 1 * 2)
    assert shown["cost"]["gflop"] * 1e9 == pytest.approx(d_turn + g_turn)


def test_a_recipe_to_be_extended_shows_its_keys_and_then_what_it_lacks(ganforge):
    result = ganforge("show", "recipe", "base_64")
    assert result.status == 2
    assert "losses.adversarial.use" in result.out
    assert "the table [dataset] is missing" in result.err
    assert ganforge("show", "recipe", "base_64", "--json").status == 0


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("recipe", "discogan_tyo"), "no recipe 'discogan_tyo'; did you mean 'discogan_toy'?"),
        (("recipe",), "which recipe? Write ganforge show recipe NAME"),
        (("run",), "which run? Write ganforge show run FOLDER"),
        (("run", "nothing"), "'nothing' is not a run: it holds no recipe.lock.toml"),
        (("reciep", "x"), "unknown kind 'reciep'; did you mean 'recipe'?"),
        (("loss", "l1", "--set", "scale=2"), "--set is only for generator, discriminator, network and recipe"),
        (("recipe", "discogan_toy", "--set", "generator.hiden=3"), "unknown setting 'hiden'; did you mean 'hidden'?"),
    ],
)
def test_what_is_not_there_is_answered_in_a_line(ganforge, words, error):
    result = ganforge("show", *words)
    assert result.status == 2
    assert error in result.err
    assert result.err.count("\n") == 1


@pytest.fixture
def runs(ganforge, toy):
    """Two runs of eight steps; the second one with another weight, and an evaluation."""
    text = toy.read_text() + '[evaluations.modes]\nuse = "mode-coverage"\n'
    toy.write_text(text)
    for weight in ("1.0", "2.0"):
        result = ganforge("run", "toy.toml", "--set", f"losses.reconstruction.weight={weight}")
        assert result.status == 0, result.err
    return "runs/toy/0001", "runs/toy/0002"


def test_a_run_says_where_it_stands_and_two_of_them_are_compared(ganforge, runs, tmp_path):
    shown = rows(ganforge("show", "run", runs[0], "--json"))
    assert (shown["recipe"], shown["step"], shown["steps"], shown["finished"]) == ("toy", 8, 8, True)
    assert shown["checkpoints"] == ["step-00000004", "step-00000008"]
    assert shown["made_with"]["device"] == "cpu"
    assert "coverage" in shown["metrics"]["last"]["metrics"]["modes"]
    assert shown["losses"].keys() >= {"generator", "discriminator"}
    text = ganforge("show", "run", runs[0]).out
    assert "step 8 of 8, finished; checkpoints: step-00000004, step-00000008" in text
    assert "modes.coverage" in text

    (tmp_path / "runs" / "toy" / "0003").mkdir()
    refused = ganforge("show", "run", "runs/toy/0003")
    assert refused.status == 2
    assert "it holds no recipe.lock.toml; did you mean '0002'?" in refused.err

    found = rows(ganforge("diff", *runs, "--json"))
    assert found["settings"] == [{"key": "losses.reconstruction.weight", "a": 1.0, "b": 2.0}]
    metrics = {row["metric"]: (row["a"], row["b"]) for row in found["metrics"]}
    assert metrics["step"] == (8, 8)
    assert "modes.coverage" in metrics
    text = ganforge("diff", *runs).out
    assert "losses.reconstruction.weight  1.0" in text

    (tmp_path / runs[0] / "recipe.lock.toml").write_text("[train\n")
    (tmp_path / runs[1] / "metrics.json").write_text("{")
    for words in (("show", "run", runs[0]), ("show", "run", runs[1]), ("diff", *runs)):
        result = ganforge(*words)
        assert (result.status, result.err.count("\n")) == (2, 1)
    result = ganforge("show", "run", "runs/toy")
    assert "did you mean 'runs/toy/0002'?" in result.err


def test_recipes_differ_in_resolved_values_defaults_included(ganforge, tmp_path):
    (tmp_path / "mine.toml").write_text(RECIPE)
    found = rows(ganforge("diff", "discogan_toy", "mine.toml", "--json"))
    assert found["metrics"] == []
    settings = {row["key"]: (row.get("a"), row.get("b")) for row in found["settings"]}
    assert settings == {"generator.hidden": (64, 8), "losses.reconstruction.weight": (10.0, 2.0)}
    assert ganforge("diff", "mine.toml", "mine.toml").out == "no setting differs\n"
    (tmp_path / "plain.toml").write_text('extends = "mine.toml"\n[losses.reconstruction]\nuse = "l1"\n')
    text = ganforge("diff", "mine.toml", "plain.toml").out
    assert '"ganforge_losses/l2"' in text
    assert '"ganforge_losses/l1"' in text
    assert "losses.reconstruction.scale" not in text  # the same in both
