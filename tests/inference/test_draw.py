"""From weights to new samples, for models that make them of noise alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganforge.components.plugins import Plugins
from ganforge.runs.load import load_trained
from tests.proof.test_from_noise import RECIPE

PICTURES = ("dataset.use=edges2photo", "dataset.size=8", "train.batch=4")


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture)


@pytest.fixture
def trained(ganforge, tmp_path):
    """Train a step from noise, with overrides, and return the run's folder."""
    recipe = tmp_path / "noise.toml"
    recipe.write_text(RECIPE)

    def call(*sets: str) -> Path:
        words = [word for text in ("train.steps=1", *sets) for word in ("--set", text)]
        result = ganforge("run", recipe, *words)
        assert result.status == 0, result.err
        return tmp_path / "runs" / "noise" / "0001"

    return call


def test_pictures_are_drawn_one_by_one_and_side_by_side(trained, pairs, ganforge, tmp_path):
    run = trained(*PICTURES, f"dataset.root={pairs}")
    result = ganforge("draw", run, "--count", 5, "--seed", 3, "--out", "out")
    assert result.status == 0, result.err
    assert "5 samples drawn into out" in result.out
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["0000.png", "0001.png", "0002.png", "0003.png", "0004.png", "grid.png"]
    plugins = Plugins()
    plugins.load_installed()
    loaded = load_trained(run, plugins, torch.device("cpu"))
    with loaded.evaluating():
        expected = loaded.draw("B", 5, seed=3).clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1)
    for number in range(5):
        assert (pixels(tmp_path / "out" / f"{number:04d}.png") == expected[number].numpy()).all()
    assert pixels(tmp_path / "out" / "grid.png").shape == (2 * 10 + 2, 3 * 10 + 2, 3)


def test_the_same_seed_gives_the_same_samples_and_a_larger_count_more_of_them(trained, ganforge, tmp_path):
    run = trained()
    for out, count, seed in (("one", 3, 1), ("again", 3, 1), ("more", 70, 1), ("other", 3, 2)):
        assert ganforge("draw", run, "--count", count, "--seed", seed, "--out", out).status == 0

    def drawn(out):
        return np.stack([np.load(path) for path in sorted((tmp_path / out).glob("*.npy"))])

    assert drawn("one").shape == (3, 2)
    assert drawn("one").dtype == np.float32
    assert (drawn("one") == drawn("again")).all()
    np.testing.assert_allclose(drawn("one"), drawn("more")[:3], rtol=1e-6)
    assert (drawn("one") != drawn("other")).any()
    assert len(np.unique(drawn("more"), axis=0)) == 70
    assert not list(tmp_path.glob("*/grid.png"))  # points are no pictures


def test_sixty_four_by_default_and_the_direction_by_its_name(trained, ganforge, tmp_path):
    assert ganforge("draw", trained(), "--direction", "B", "--out", "out").status == 0
    assert len(list((tmp_path / "out").glob("*.npy"))) == 64


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--count", 0, "--out", "out"], "--count: expected 1 or more, got 0"),
        (["--direction", "AB", "--out", "out"], "has no generator for the direction AB; did you mean 'B'?"),
        (["--device", "abacus", "--out", "out"], "there is no device 'abacus'"),
    ],
    ids=["count", "direction", "device"],
)
def test_wrong_calls_are_refused_and_write_nothing(words, message, trained, ganforge, tmp_path):
    result = ganforge("draw", trained(), *words)
    assert result.status == 2
    assert message in result.err
    assert not (tmp_path / "out").exists()


def test_a_run_that_translates_is_sent_to_translate(toy, ganforge, tmp_path):
    ganforge("run", toy, "--set", "train.steps=1")
    for words in ([], ["--direction", "AB"]):
        result = ganforge("draw", tmp_path / "runs/toy/0001", "--out", "out", *words)
        assert result.status == 2
        assert "use `ganforge translate`" in result.err
    assert not (tmp_path / "out").exists()


def test_a_run_that_draws_sends_translate_to_draw(trained, ganforge, tmp_path):
    (tmp_path / "a.png").touch()
    result = ganforge("translate", trained(), "a.png", "--direction", "B", "--out", "out")
    assert result.status == 2
    assert "use `ganforge draw`" in result.err


def test_what_exists_is_replaced_only_on_request(trained, ganforge, tmp_path):
    run = trained()
    words = ["draw", run, "--count", 2, "--out", "out"]
    assert ganforge(*words).status == 0
    (tmp_path / "out" / "0000.npy").unlink()
    result = ganforge(*words)
    assert result.status == 2
    assert "0001.npy' exists already: choose another --out, or add --overwrite" in result.err
    assert not (tmp_path / "out" / "0000.npy").exists()
    assert ganforge(*words, "--overwrite").status == 0
