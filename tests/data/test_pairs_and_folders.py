"""Photos of two archives, folders in several layouts, and pictures of any number of channels."""

import json

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ganforge import InputError, noting
from ganforge.errors import RecipeError
from ganforge.training.build import make_dataset
from tests.conftest import read


@pytest.fixture
def dataset(tmp_path, understand):
    """A data set with settings, its pictures 4x4."""

    def call(use, **settings):
        path = tmp_path / "recipe.toml"
        table = {"use": use, "size": 4, **settings}
        path.write_text(
            'extends = "base_64.toml"\n[dataset]\n'
            + "\n".join(f"{key} = {toml(value)}" for key, value in table.items())
        )
        return make_dataset(understand(path))

    return call


def toml(value):
    """Write a value as TOML does."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value, default=str)


def pairs_of(root, splits, left, right):
    for split, count in splits.items():
        (root / split).mkdir(parents=True)
        for number in range(1, count + 1):
            pair = Image.new("RGB", (16, 8), left)
            pair.paste(right, (8, 0, 16, 8))
            pair.save(root / split / f"{number}_AB.png")
    return root


def fill(folder, count, colour="red"):
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (8, 8), colour).save(folder / f"{number}.png")
    return folder


def colour_of(samples):
    return samples.load([0])[0].flatten(1).float().mean(1).round().int().tolist()


def test_photos_are_the_right_halves_of_two_archives(tmp_path, dataset):
    bags = pairs_of(tmp_path / "bags", {"train": 5, "val": 2}, "white", "red")
    shoes = pairs_of(tmp_path / "shoes", {"train": 3, "test": 1}, "white", "blue")
    photos = dataset("photos", a=bags, b=shoes)
    train, test = read(photos, "train"), read(photos, "test")
    assert [(train[domain].length, test[domain].length) for domain in "AB"] == [(5, 2), (3, 1)]
    assert (colour_of(train["A"]), colour_of(test["B"])) == ([255, 0, 0], [0, 0, 255])
    assert colour_of(read(dataset("photos", a=bags, b=shoes, half="left"), "train")["A"]) == [255, 255, 255]


def test_photos_of_a_folder_without_splits_say_what_is_missing(tmp_path, dataset):
    bags = pairs_of(tmp_path / "bags", {"train": 2}, "white", "red")
    with pytest.raises(InputError, match=r"bags' holds no folder 'val'") as caught:
        dataset("photos", a=bags, b=bags).open("test")
    assert caught.value.key == "a"


def test_edges_may_be_on_the_right(tmp_path, dataset):
    root = pairs_of(tmp_path / "facades", {"train": 4, "val": 2}, "red", "white")
    test = read(dataset("edges2photo", root=root, edges="right"), "test")
    assert (colour_of(test["A"]), colour_of(test["B"])) == ([255, 255, 255], [255, 0, 0])


def test_one_root_may_hold_train_and_test_folders_of_both_domains(tmp_path, dataset):
    for name, count in (("trainA", 4), ("trainB", 5), ("testA", 2), ("testB", 3)):
        fill(tmp_path / "horses" / name, count)
    folders = dataset("folders", root=tmp_path / "horses")
    lengths = [folders.open(split)[domain].length for split in ("train", "test") for domain in "AB"]
    assert lengths == [4, 5, 2, 3]
    assert folders.open("test")["A"].labels["file"] == ["0.png", "1.png"]


def test_a_root_without_test_folders_holds_a_share_out(tmp_path, dataset):
    for name in ("trainA", "trainB"):
        fill(tmp_path / "horses" / name, 10)
    folders = dataset("folders", root=tmp_path / "horses", test_share=0.2)
    train, test = (folders.open(split)["B"].labels["file"] for split in ("train", "test"))
    assert (len(train), len(test)) == (8, 2)
    assert set(train) | set(test) == {f"{number}.png" for number in range(10)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"dataset.a: needs the folders `a` and `b`, or a `root`"),
        ({"a": "x"}, r"dataset.b: needs a folder for each domain"),
        ({"b": "x"}, r"dataset.a: needs a folder for each domain"),
        ({"a": "x", "b": "y", "root": "z"}, r"dataset.a: needs the folders"),
        ({"root": "z", "test_b": "x"}, r"dataset.test_b: a `root` has its own testA/ and testB/"),
        ({"domains": {"day": "x", "night": "y"}, "a": "z"}, r"dataset.a: `domains` names the folders already"),
        ({"domains": ["day", "night"]}, r"dataset.domains: needs a folder for each name, or a `root`"),
        ({"domains": {"day": "x"}}, r"dataset.domains: expected Two or more domains"),
        ({"root": "z", "domains": ["day", "a.b"]}, r"dataset.domains: expected Two or more domains"),
    ],
)
def test_folders_that_are_not_clear_are_refused(settings, message, dataset):
    with pytest.raises(RecipeError, match=message):
        dataset("folders", **settings)


def test_several_folders_are_domains_of_any_names(tmp_path, dataset):
    for name, colour in (("black", "black"), ("blond", "yellow"), ("brown", "brown")):
        fill(tmp_path / name, 4, colour)
    folders = dataset("folders", domains={name: str(tmp_path / name) for name in ("black", "blond", "brown")})
    assert list(folders.shapes) == ["black", "blond", "brown"]
    train, test = read(folders, "train"), read(folders, "test")
    assert [(train[name].length, test[name].length) for name in folders.shapes] == [(3, 1)] * 3
    assert colour_of(train["blond"]) == [255, 255, 0]


def test_one_root_may_hold_train_and_test_folders_of_many_domains(tmp_path, dataset):
    for name, count in (("day", 3), ("night", 4), ("dusk", 5)):
        fill(tmp_path / "times" / "train" / name, count)
        fill(tmp_path / "times" / "test" / name, 1)
    folders = dataset("folders", root=tmp_path / "times", domains=["day", "night", "dusk"])
    assert {name: samples.length for name, samples in folders.open("train").items()} == {
        "day": 3,
        "night": 4,
        "dusk": 5,
    }
    assert [samples.length for samples in folders.open("test").values()] == [1, 1, 1]
    with pytest.raises(InputError, match=r"no folder '.*train/noon'") as caught:
        dataset("folders", root=tmp_path / "times", domains=["day", "noon"]).open("train")
    assert caught.value.key == "root"
    (tmp_path / "one.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"one.jpg' is a file, not a folder of pictures; set dataset.a"):
        dataset("folders", a=tmp_path / "one.jpg", b=tmp_path).open("train")
    with pytest.raises(InputError, match=r"no folder '.*nowhere'") as caught:
        dataset("folders", domains={"day": str(tmp_path), "noon": "nowhere"}).open("train")
    assert caught.value.key == "domains"


def test_padding_has_the_background_and_cropping_keeps_the_middle(tmp_path, dataset):
    wide = Image.new("RGB", (16, 8), "red")
    wide.paste("blue", (4, 0, 12, 8))
    wide.save(tmp_path / "wide.png")
    padded = dataset("folders", a=tmp_path, b=tmp_path, fit="pad", background="#00ff00").read(
        "A", tmp_path / "wide.png"
    )
    assert padded[:, 0, 0].tolist() == padded[:, 3, 3].tolist() == [0, 255, 0]
    assert padded[1, 1:3].max() == 0
    cropped = dataset("folders", a=tmp_path, b=tmp_path, fit="crop").read("A", tmp_path / "wide.png")
    assert cropped[:, :, 1:3].flatten(1).float().mean(1).tolist() == [0, 0, 255]
    assert dataset("folders", a=tmp_path, b=tmp_path, size=[2, 6]).read("A", tmp_path / "wide.png").shape == (3, 2, 6)


def test_transparent_pictures_lie_on_the_background_or_keep_their_alpha(tmp_path, dataset):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    settings = {"a": tmp_path, "b": tmp_path}
    on_blue = dataset("folders", **settings, background="blue").read("A", tmp_path / "clear.png")
    assert on_blue[:, 0, 0].tolist() == [0, 0, 255]
    assert dataset("folders", **settings, channels=4).read("A", tmp_path / "clear.png")[:, 0, 0].tolist() == [
        255,
        0,
        0,
        0,
    ]
    assert dataset("folders", **settings, channels=2).read("A", tmp_path / "clear.png")[:, 0, 0].tolist() == [76, 0]


@pytest.mark.parametrize(("channels", "ground"), [(1, [76]), (2, [76, 255]), (3, [255, 0, 0]), (4, [255, 0, 0, 255])])
@pytest.mark.parametrize("suffix", ["png", "npy"])
def test_padding_has_the_background_in_every_channel(suffix, channels, ground, tmp_path, dataset):
    path = tmp_path / f"wide.{suffix}"
    if suffix == "png":
        Image.new("RGBA", (16, 8), "blue").save(path)
    else:
        np.save(path, np.zeros((8, 16, channels), np.uint8), allow_pickle=False)
    sample = dataset("folders", a=tmp_path, b=tmp_path, fit="pad", background="red", channels=channels).read("A", path)
    assert sample[:, 0, 0].tolist() == ground


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 1.0, 200.0], [0, 1, 200]), ([-2.0, 0.0, 2.0], [0, 128, 255])],
)
def test_all_channels_of_an_array_are_scaled_alike(values, expected, tmp_path, dataset):
    path = tmp_path / "array.npy"
    np.save(path, np.broadcast_to(np.array(values), (4, 4, 3)), allow_pickle=False)
    with noting("array"):
        assert dataset("folders", a=tmp_path, b=tmp_path).read("A", path)[:, 0, 0].tolist() == expected


BANDS = np.arange(5, dtype=np.uint16)[None, None] * np.full((6, 8, 1), 0x2020, dtype=np.uint16)  # [6, 8, 5]


@pytest.mark.parametrize("form", ["npy", "interleaved", "planar", "pages"])
def test_any_number_of_channels_is_read_from_arrays_and_tiffs(form, tmp_path, dataset):
    path = tmp_path / ("five.npy" if form == "npy" else "five.tif")
    if form == "npy":
        np.save(path, BANDS, allow_pickle=False)
    elif form == "pages":
        tifffile.imwrite(path, np.moveaxis(BANDS, -1, 0), photometric="minisblack")
    else:
        array, config = (BANDS, "contig") if form == "interleaved" else (np.moveaxis(BANDS, -1, 0), "separate")
        tifffile.imwrite(path, array, planarconfig=config, photometric="minisblack")
    with noting("five"):
        sample = dataset("folders", a=tmp_path, b=tmp_path, channels=5).read("A", path)
    assert sample.shape == (5, 4, 4)
    assert sample.dtype == torch.uint8
    assert sample[:, 0, 0].tolist() == [0, 32, 64, 96, 128]


def test_other_channels_than_expected_are_named(tmp_path, dataset):
    np.save(tmp_path / "five.npy", BANDS, allow_pickle=False)
    with pytest.raises(InputError, match=r"five.npy' has 5 channels, expected 3; set dataset.channels = 5") as caught:
        dataset("folders", a=tmp_path, b=tmp_path).read("A", tmp_path / "five.npy")
    assert caught.value.key == "channels"


@pytest.mark.parametrize("name", ["objects.npy", "text.npy", "cut.npy", "text.tif"])
def test_a_file_that_is_no_array_of_numbers_is_refused(name, tmp_path, dataset):
    path = tmp_path / name
    if name == "objects.npy":
        np.save(path, np.array([{"a": 1}]), allow_pickle=True)
    elif name == "cut.npy":
        np.save(path, BANDS, allow_pickle=False)
        path.write_bytes(path.read_bytes()[:200])
    else:
        path.write_text("no array")
    with pytest.raises(InputError, match=f"{name}' is not a readable picture"):
        dataset("folders", a=tmp_path, b=tmp_path, channels=5).read("A", path)


def test_five_channels_train_and_are_translated_to_a_tiff_or_an_array(tmp_path, ganforge):
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(6):
            np.save(tmp_path / name / f"{number}.npy", np.full((16, 16, 5), 40 * number, np.uint8), allow_pickle=False)
    (tmp_path / "five.toml").write_text(
        'extends = "base_64"\n[dataset]\nuse = "folders"\na = "a"\nb = "b"\nsize = 16\nchannels = 5\n'
        "[generator]\nwidth = 4\n[discriminator]\nwidth = 4\n[train]\nsteps = 2\nbatch = 2\n"
    )
    result = ganforge("run", "five.toml")
    assert result.status == 0, result.err
    words = ["translate", "runs/five/0001", "a", "--direction", "AB", "--out", "out"]
    for more in ([], ["--format", "npy"]):
        result = ganforge(*words, *more)
        assert result.status == 0, result.err
    translated = np.lib.format.open_memmap(tmp_path / "out" / "0.npy", mode="r")
    assert (translated.shape, translated.dtype) == ((16, 16, 5), np.uint8)
    assert (tifffile.imread(tmp_path / "out" / "0.tif") == translated).all()


def test_pictures_turned_by_exif_are_read_upright(tmp_path, dataset):
    picture = Image.new("RGB", (8, 8), "white")
    picture.paste("black", (0, 0, 4, 8))  # black on the left, if it is not turned
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture.save(tmp_path / "turned.png", exif=exif)
    sample = dataset("folders", a=tmp_path, b=tmp_path).read("A", tmp_path / "turned.png")
    assert sample[0, [0, 3]].float().mean(1).tolist() == [0, 255]
