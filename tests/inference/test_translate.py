"""From weights to translated pictures, with no flags to repeat."""

import shutil
import struct
import threading

import numpy as np
import pytest
import torch
from attrs import evolve
from PIL import Image, ImageFile
from torchvision.utils import make_grid

from ganforge import Translator
from ganforge.data.dataset import as_float
from ganforge.errors import PluginError
from ganforge.runs.checkpoint import read_tensors
from ganforge.runs.load import load_trained
from ganforge_inference.translate import plan_jobs, translate
from tests.conftest import draw_pairs, run_command, write_weights

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


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three steps on small pairs."""
    place = tmp_path_factory.mktemp("finished")
    root = f"dataset.root={draw_pairs(place / 'pairs')}"
    assert run_command("run", "discogan_edges2shoes", "--set", root, *SMALL, *SHORT, "--out", place) == 0
    return place / "discogan_edges2shoes" / "0001"


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the run."""
    return shutil.copytree(finished, tmp_path / "runs" / "discogan_edges2shoes" / "0001")


def test_one_file_in_one_file_out_named_after_the_input(run, zoo, ganforge, tmp_path):
    Image.new("RGB", (300, 200), "red").save(tmp_path / "single.bmp")
    result = ganforge("translate", run, tmp_path / "single.bmp", zoo, "--direction", "AB", "--out", "out")
    assert result.status == 0, result.err
    assert "5 of 5 pictures translated" in result.out
    made = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")}
    assert made == {"single.png", "grey.png", "clear.png", "deep.png", "inner/palette.png"}
    with Image.open(tmp_path / "out" / "grey.png") as picture:
        assert picture.size == (50, 70)


def test_the_translation_is_the_generators(run, ganforge, tmp_path, plugins):
    Image.effect_noise((64, 64), 90).convert("RGB").save(tmp_path / "noise.png")
    ganforge("translate", run, tmp_path / "noise.png", "--direction", "BA", "--size", "training", "--out", "out")
    trained = load_trained(run, plugins, torch.device("cpu"))
    with trained.evaluating():
        expected = trained.networks["G_BA"](as_float(trained.dataset.read("B", tmp_path / "noise.png")[None]))[0]
    made = torch.from_numpy(pixels(tmp_path / "out" / "noise.png")).permute(2, 0, 1)
    assert (made.float() - 255 * expected).abs().max() <= 1


SIZES = [
    (1, 1),
    (1, 9),
    (7, 1),
    (2, 3),
    (15, 17),
    (16, 16),
    (16, 32),
    (31, 33),
    (64, 48),
    (100, 3),
    (65, 129),
    (257, 61),
]


@pytest.mark.parametrize("direction", ["AB", "BA"])
def test_pictures_of_all_sizes_come_back_at_their_own(direction, run, ganforge, tmp_path):
    (tmp_path / "in").mkdir()
    for height, width in SIZES:
        Image.effect_noise((width, height), 90).save(tmp_path / "in" / f"{height}x{width}.png")
    result = ganforge("translate", run, "in", "--direction", direction, "--out", "out")
    assert result.status == 0, result.err
    assert result.out == "12 of 12 pictures translated into out, at their own sizes, 1x1 to 257x61\n"
    translate_one = Translator.load(run, direction, device="cpu")
    for height, width in SIZES:
        made = pixels(tmp_path / "out" / f"{height}x{width}.png")
        assert made.shape == (height, width, 3)
        assert np.abs(made - np.array(translate_one(tmp_path / "in" / f"{height}x{width}.png")).astype(int)).max() <= 1


def test_tiles_give_the_files_that_whole_pictures_give(run, ganforge, tmp_path):
    Image.effect_noise((300, 200), 90).save(tmp_path / "large.png")
    Image.effect_noise((30, 20), 90).save(tmp_path / "small.png")
    words = ["translate", run, "large.png", "small.png", "--direction", "AB"]
    assert ganforge(*words, "--out", "whole").status == 0
    result = ganforge(*words, "--out", "tiles", "--tile", 150)
    assert result.status == 0, result.err
    assert "tiles are 160 pixels wide, the next multiple of 16 that the networks take" in result.err
    for name in ("large.png", "small.png"):
        one, other = (pixels(tmp_path / folder / name).astype(int) for folder in ("whole", "tiles"))
        assert np.abs(one - other).max() <= 1
    told = ganforge(*words, "--out", "cheap", "--tile", 160, "--overlap", 16)
    assert "tiles share 16 pixels with their neighbours, fewer than the networks need" in told.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tile", 64], "--tile: output pixels depend on 32 pixels to each side; choose 80 or more"),
        (["--tile", 0], "--tile: expected 1 or more, got 0"),
        (["--tile", 96, "--overlap", 96], "--overlap: expected less than the tile's 96, got 96"),
        (["--size", "0"], "--size: height and width must be in 1..65,535, got '0'"),
        (["--size", "10x0"], "--size: height and width must be in 1..65,535, got '10x0'"),
        (["--size", "large"], "--size: expected own, training, or height x width such as 512x768, got 'large'"),
        (["--format", "gif"], "--format: expected png, tiff, npy, got 'gif'"),
    ],
)
def test_sizes_tiles_and_formats_that_cannot_be_are_refused_in_a_line(words, message, run, zoo, ganforge, tmp_path):
    result = ganforge("translate", run, zoo, "--direction", "AB", "--out", "out", *words)
    assert (result.status, result.err) == (2, f"error: {message}\n")
    assert not (tmp_path / "out").exists()


def test_networks_of_one_size_translate_at_it_and_say_so(pairs, zoo, ganforge, tmp_path):
    sets = ["--set", f"dataset.root={pairs}", *SMALL, *SHORT, "--set", "generator.layers=5"]
    assert ganforge("run", "discogan_edges2shoes", *sets).status == 0
    words = ["translate", tmp_path / "runs/discogan_edges2shoes/0001", zoo, "--direction", "AB", "--out", "out"]
    result = ganforge(*words)
    assert result.status == 0, result.err
    assert (
        "note: the networks of direction AB translate 16x32 only, so pictures are resized like training" in result.err
    )
    assert pixels(tmp_path / "out" / "grey.png").shape == (16, 32, 3)
    for option, message in (
        (["--tile", "64"], "--tile: the networks of direction AB translate 16x32 only"),
        (["--size", "32"], "the networks of direction AB translate 16x32 only: choose --size training"),
    ):
        refused = ganforge(*words, "--overwrite", *option)
        assert (refused.status, refused.err) == (2, f"error: {message}\n")


def test_an_interruption_leaves_whole_files_and_no_waiting_thread(run, tmp_path, plugins):
    (tmp_path / "in").mkdir()
    for number in range(40):
        Image.effect_noise((32, 16), 90).save(tmp_path / "in" / f"{number}.png")

    def interrupt(what, done, total):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        translate(Translator.load(run, "AB", device="cpu"), plan_jobs([tmp_path / "in"], tmp_path / "out"), interrupt)
    made = sorted((tmp_path / "out").iterdir())
    assert len(made) == 7
    assert all(pixels(path).shape == (16, 32, 3) for path in made)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("translate")]


def test_a_weights_file_alone_is_enough(run, ganforge, tmp_path, zoo):
    latest = run / "checkpoints" / "step-00000003" / "G_AB.safetensors"
    (tmp_path / "gift").mkdir()
    shutil.copy(latest, tmp_path / "gift")
    shutil.rmtree(run)
    gift = tmp_path / "gift" / "G_AB.safetensors"
    assert ganforge("translate", gift, zoo / "grey.jpg", "--direction", "AB", "--out", "out").status == 0
    refused = ganforge("translate", gift, zoo / "grey.jpg", "--direction", "BA", "--out", "out2")
    assert refused.status == 2
    assert "the direction BA needs the network G_BA: its weights are missing" in refused.err


def test_what_cannot_be_read_is_named_and_the_rest_translated(run, zoo, ganforge, tmp_path):
    (zoo / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    result = ganforge("translate", run, zoo, "--direction", "AB", "--out", "out")
    assert result.status == 2
    assert "4 of 5 pictures translated" in result.out
    assert "broken.jpg' is not a readable picture" in result.err
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4


def test_a_link_that_leads_nowhere_is_a_picture_that_was_not_translated(run, ganforge, tmp_path):
    (tmp_path / "some").mkdir()
    Image.new("L", (16, 16)).save(tmp_path / "some" / "1.png")
    (tmp_path / "some" / "2.png").symlink_to("away/2.png")
    (tmp_path / "some" / "3.png").symlink_to("3.png")
    result = ganforge("translate", run, "some", "--direction", "AB", "--out", "out")
    assert result.status == 2
    assert "1 of 3 pictures translated" in result.out
    assert "error: no picture 'some/2.png'" in result.err
    assert "error: 'some/3.png' is not a readable picture" in result.err


def test_broken_pictures_among_many_take_no_other_with_them_and_odd_ones_are_told_once(
    run, ganforge, tmp_path, monkeypatch
):
    (tmp_path / "many").mkdir()
    for top in (1.0, 1.00001):
        values = np.linspace(0, top, 256, dtype=np.float32).reshape(16, 16)
        Image.fromarray(values).save(tmp_path / "many" / f"max_{top}.tif")
    for number in range(33):
        Image.new("L", (16, 16), number).save(tmp_path / "many" / f"{number}.png")
    load = ImageFile.ImageFile.load

    def fail_at_some(self):
        if str(self.filename).endswith("7.png"):
            raise struct.error("unpack requires a buffer of 4 bytes")
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail_at_some)
    result = ganforge("translate", run, "many", "--direction", "AB", "--out", "out")
    assert result.status == 2
    assert "32 of 35 pictures translated" in result.out
    assert len(list((tmp_path / "out").iterdir())) == 32
    reason = "is not a readable picture: unpack requires a buffer of 4 bytes"
    assert result.err.splitlines() == [
        "warning: 'many/max_1.0.tif': it has floats, unlike its domain (8 bits): its numbers from 0 to 1 are read as "
        "black to white (likewise 'many/max_1.00001.tif')",
        "warning: files are read differently: 'many/max_1.0.tif': numbers from 0 to 1 are read as black to white, "
        "'many/max_1.00001.tif': numbers from 0 to 255 are read as black to white",
        *(f"error: 'many/{number}.png' {reason}" for number in (7, 17, 27)),
    ]


def test_a_picture_of_another_shape_is_named_and_a_readers_own_fault_is_the_plugins(run, plugins, tmp_path):
    trained = load_trained(run, plugins, torch.device("cpu"))
    for name in ("good", "other", "worse"):
        Image.new("L", (16, 16)).save(tmp_path / f"{name}.png")

    class Reader(type(trained.dataset)):
        def read(self, domain, path):
            if path.stem == "worse":
                raise KeyError("oops")
            picture = super().read(domain, path)
            return picture[:1] if path.stem == "other" else picture

    trained = evolve(trained, dataset=Reader(root=trained.dataset.root, size=trained.dataset.size))
    translator = Translator(trained, "AB", size="training")
    jobs = plan_jobs([tmp_path / "other.png", tmp_path / "good.png"], tmp_path / "out")
    ((job, reason),) = translate(translator, jobs).failed.items()
    assert job.source.stem == "other"
    assert "was read as [1, 16, 32], expected [3, 16, 32]" in reason
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]
    with pytest.raises(PluginError, match=r"reading '.*worse.png' failed: KeyError: 'oops'"):
        translate(translator, plan_jobs([tmp_path / "worse.png"], tmp_path / "out"))


def test_a_batch_of_one_is_avoided_or_told_of_where_each_batch_is_normalised_by_itself(pairs, ganforge, tmp_path):
    (tmp_path / "many").mkdir()
    for number in range(33):
        Image.effect_noise((16, 16), 90).save(tmp_path / "many" / f"{number}.png")
    small = [word.replace("[16,32]", "16") for word in (*SMALL, *SHORT)]  # which becomes 1x1 in the generator
    small += ["--set", "train.norm=batch", "--set", "record.samples=1"]
    result = ganforge("run", "discogan_edges2shoes", "--set", f"dataset.root={pairs}", *small)
    assert result.status == 0, result.err
    assert "disabled" not in result.out + result.err
    assert "no sample picture: values.fake.AB: a network normalises over a single value" in " ".join(result.out.split())
    run = tmp_path / "runs" / "discogan_edges2shoes" / "0001"
    result = ganforge("translate", run, "many", "--direction", "AB", "--out", "all")
    assert result.status == 0, result.err
    assert "33 of 33 pictures translated" in result.out
    result = ganforge("translate", run, "many/0.png", "--direction", "AB", "--out", "one")
    assert result.status == 2
    assert "0 of 1 pictures translated" in result.out
    (line,) = result.err.splitlines()
    assert "many/0.png' cannot be translated: values.fake.AB: a network normalises over a single value" in line
    assert line.endswith("or use another norm than 'batch'")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.png", "--direction", "AB", "--out", "out"], "no file or folder 'absent.png'"),
        (
            ["zoo/grey.jpg", "--direction", "AC", "--out", "out"],
            "the coupling 'discogan' has no generator for the direction AC",
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
    assert "exists already: choose another --out, or add --overwrite" in ganforge(*words).err
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
        message = f"'{file}' contains the network D_B, not G_AB"
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
        height, width, _ = pixels(run / "samples" / f"step-{step:08d}.png").shape
        assert height == 6 * grid.shape[1]
        assert width > grid.shape[2], "there is a margin with the rows' names"
    first, last = (pixels(run / "samples" / f"step-{step:08d}.png")[:, -grid.shape[2] :] for step in (0, 3))
    row = grid.shape[1]
    assert (first[:row] == last[:row]).all()  # the same inputs
    assert (first[row : 2 * row] != last[row : 2 * row]).any()


def test_plugins_of_a_strangers_weights_are_not_run(run, ganforge, tmp_path, zoo):
    tensors, metadata = read_tensors(run / "checkpoints" / "step-00000003" / "G_AB.safetensors")
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')")
    for name in ("../../evil.py", str(tmp_path / "evil.py")):
        metadata["recipe"] = f"plugins = [{name!r}]\n" + metadata["recipe"].partition("\n")[2]
        write_weights(tmp_path / "G_AB.safetensors", tensors, metadata)  # with a digest that fits
        result = ganforge("translate", tmp_path / "G_AB.safetensors", zoo, "--direction", "AB", "--out", "out")
        assert result.status == 2
        assert "a locked recipe's plugins are in the run's own folder" in result.err
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
    write_weights(tmp_path / "G_AB.safetensors", tensors, metadata)
    result = ganforge("translate", tmp_path / "G_AB.safetensors", zoo / "grey.jpg", "--direction", "AB", "--out", "out")
    assert result.status == 2
    assert message in result.err
    assert not (tmp_path / "out").exists()
