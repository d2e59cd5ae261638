"""From weights to translated pictures, with no flags to repeat."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.utils import make_grid

from ganforge.data.dataset import as_float
from ganforge.runs.checkpoint import read_tensors, write_tensors
from ganforge.runs.load import load_trained

SMALL = ["--set", "dataset.size=[16,32]", "--set", "generator.width=2", "--set", "discriminator.width=2"]
SHORT = [
    "--set",
    "optimizer.lr=0.05",
    "--set",
    "train.batch=4",
    "--set",
    "train.steps=3",
    "--set",
    "record.sample_every=2",
]


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture)


@pytest.fixture
def run(pairs, ganforge, tmp_path):
    """A run of three steps on small pairs."""
    result = ganforge("run", "discogan_edges2shoes", "--set", f"dataset.root={pairs}", *SMALL, *SHORT)
    assert result.status == 0, result.err
    return tmp_path / "runs" / "discogan_edges2shoes" / "0001"


def test_one_file_in_one_file_out_named_after_the_input(run, zoo, ganforge, tmp_path):
    Image.new("RGB", (300, 200), "red").save(tmp_path / "single.bmp")
    result = ganforge("translate", run, tmp_path / "single.bmp", zoo, "--direction", "AB", "--out", "out")
    assert result.status == 0, result.err
    assert "5 of 5 pictures translated" in result.out
    made = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")}
    assert made == {"single.png", "grey.png", "clear.png", "deep.png", "inner/palette.png"}
    with Image.open(tmp_path / "out" / "grey.png") as picture:
        assert picture.size == (32, 16)


def test_the_translation_is_the_generators(run, ganforge, tmp_path, plugins):
    Image.effect_noise((64, 64), 90).convert("RGB").save(tmp_path / "noise.png")
    ganforge("translate", run, tmp_path / "noise.png", "--direction", "BA", "--out", "out")
    trained = load_trained(run, plugins, torch.device("cpu"))
    with trained.evaluating():
        expected = trained.networks["G_BA"](as_float(trained.dataset.read("B", tmp_path / "noise.png")[None]))[0]
    made = torch.from_numpy(pixels(tmp_path / "out" / "noise.png")).permute(2, 0, 1)
    assert (made.float() - 255 * expected).abs().max() <= 1


def test_a_weights_file_alone_is_enough(run, ganforge, tmp_path, zoo):
    latest = run / "checkpoints" / "step-00000003" / "G_AB.safetensors"
    (tmp_path / "gift").mkdir()
    shutil.copy(latest, tmp_path / "gift")
    shutil.rmtree(run)
    gift = tmp_path / "gift" / "G_AB.safetensors"
    assert ganforge("translate", gift, zoo / "grey.jpg", "--direction", "AB", "--out", "out").status == 0
    refused = ganforge("translate", gift, zoo / "grey.jpg", "--direction", "BA", "--out", "out2")
    assert refused.status == 2
    assert "the direction BA needs the network G_BA: its weights are not beside the others" in refused.err


def test_what_cannot_be_read_is_named_and_the_rest_translated(run, zoo, ganforge, tmp_path):
    (zoo / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    result = ganforge("translate", run, zoo, "--direction", "AB", "--out", "out")
    assert result.status == 2
    assert "4 of 5 pictures translated" in result.out
    assert "broken.jpg' is not a readable picture" in result.err
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.png", "--direction", "AB", "--out", "out"], "no file or folder 'absent.png'"),
        (
            ["zoo/grey.jpg", "--direction", "AC", "--out", "out"],
            "the coupling 'discogan' has no generator of direction AC",
        ),
        (["zoo/clear.png", "--direction", "AB", "--out", "zoo"], "is one of the inputs: choose another --out"),
        (["zoo/grey.jpg", "other/grey.jpg", "--direction", "AB", "--out", "out"], "would both become"),
        (["empty", "--direction", "AB", "--out", "out"], "no picture in the folder 'empty'"),
    ],
)
def test_wrong_calls_are_refused_and_write_nothing(words, message, run, zoo, ganforge, tmp_path):
    (tmp_path / "empty").mkdir()
    shutil.copytree(zoo, tmp_path / "other")
    before = sorted(tmp_path.rglob("*.png"))
    result = ganforge("translate", run, *words)
    assert result.status == 2
    assert message in result.err
    assert sorted(tmp_path.rglob("*.png")) == before


def test_a_file_that_exists_is_replaced_only_on_request(run, zoo, ganforge):
    words = ["translate", run, zoo / "grey.jpg", "--direction", "AB", "--out", "out"]
    assert ganforge(*words).status == 0
    assert "exists already: choose another --out, or say --overwrite" in ganforge(*words).err
    assert ganforge(*words, "--overwrite").status == 0


def test_twins_that_differ_in_their_suffix_keep_it(run, ganforge, tmp_path):
    for suffix in ("png", "bmp"):
        Image.new("RGB", (16, 16)).save(tmp_path / f"twin.{suffix}")
    ganforge("translate", run, tmp_path / "twin.png", tmp_path / "twin.bmp", "--direction", "AB", "--out", "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["twin.bmp.png", "twin.png.png"]


def test_points_are_not_pictures(toy, ganforge, tmp_path, zoo):
    ganforge("run", toy)
    result = ganforge("translate", tmp_path / "runs/toy/0001", zoo, "--direction", "AB", "--out", "out")
    assert result.status == 2
    assert "this run translates samples of 'mixture', not pictures" in result.err


@pytest.mark.parametrize("damage", ["cut", "other", "no recipe", "not a run"])
def test_damaged_or_foreign_weights_are_refused_by_name(damage, run, ganforge, tmp_path, zoo):
    from safetensors.torch import save_file

    folder = run / "checkpoints" / "step-00000003"
    file = folder / "G_AB.safetensors"
    target, message = run, str(file)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "other":
        shutil.copy(folder / "D_B.safetensors", file)
        message = f"'{file}' holds the network D_B, not G_AB"
    elif damage == "no recipe":
        for other in folder.glob("*.safetensors"):
            save_file({"x": torch.zeros(1)}, other)
        message = "was not written by ganforge"
    else:
        target, message = run.parent, "did you mean"
    result = ganforge("translate", target, zoo / "grey.jpg", "--direction", "AB", "--out", "out")
    assert result.status == 2
    assert message in result.err
    assert not (tmp_path / "out").exists()


def test_samples_show_input_translation_and_reconstruction_of_fixed_test_inputs(run):
    grid = make_grid(torch.zeros(4, 3, 16 * 2, 32 * 2), nrow=4, padding=2)
    for step in (0, 2, 3):
        assert pixels(run / "samples" / f"step-{step:08d}.png").shape == (6 * grid.shape[1], grid.shape[2], 3)
    first, last = (pixels(run / "samples" / f"step-{step:08d}.png") for step in (0, 3))
    row = grid.shape[1]
    assert (first[:row] == last[:row]).all()  # the same inputs
    assert (first[row : 2 * row] != last[row : 2 * row]).any()


def test_plugins_of_a_strangers_weights_are_not_run(run, ganforge, tmp_path, zoo):
    tensors, metadata = read_tensors(run / "checkpoints" / "step-00000003" / "G_AB.safetensors")
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')")
    for name in ("../../evil.py", str(tmp_path / "evil.py")):
        metadata["recipe"] = f"plugins = [{name!r}]\n" + metadata["recipe"].partition("\n")[2]
        write_tensors(tmp_path / "G_AB.safetensors", tensors, metadata)  # with a digest that fits
        result = ganforge("translate", tmp_path / "G_AB.safetensors", zoo, "--direction", "AB", "--out", "out")
        assert result.status == 2
        assert "a locked recipe's plugins lie in the run's own folder" in result.err
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("word", "replacement", "message"),
    [
        ("width = 2", "width = 4096", "does not fit its recipe"),
        ("steps = 3", "steps = 'three'", "train.steps"),
        ("[dataset]", "[dataset", "not valid TOML"),
    ],
)
def test_a_strangers_recipe_in_weights_is_checked_before_it_costs_anything(
    word, replacement, message, run, ganforge, tmp_path, zoo
):
    tensors, metadata = read_tensors(run / "checkpoints" / "step-00000003" / "G_AB.safetensors")
    assert word in metadata["recipe"]
    metadata["recipe"] = metadata["recipe"].replace(word, replacement)
    write_tensors(tmp_path / "G_AB.safetensors", tensors, metadata)
    result = ganforge("translate", tmp_path / "G_AB.safetensors", zoo / "grey.jpg", "--direction", "AB", "--out", "out")
    assert result.status == 2
    assert message in result.err
    assert not (tmp_path / "out").exists()
