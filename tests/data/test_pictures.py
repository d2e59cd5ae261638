"""Pictures of every kind that people bring, read as uint8."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganforge import InputError, noting
from ganforge.recipe import layers as recipe
from ganforge.training.build import make_dataset
from tests.conftest import read


@pytest.fixture
def folders(tmp_path, understand):
    """The data set `folders` over two folders, with settings."""
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(10):
            Image.new("RGB", (20, 10), (number * 20, 0, 0)).save(tmp_path / name / f"{number}.png")

    def call(**settings):
        path = tmp_path / "folders.toml"
        table = {"a": str(tmp_path / "a"), "b": str(tmp_path / "b"), "size": 16, **settings}
        path.write_text(
            'extends = "base_64.toml"\n[dataset]\nuse = "folders"\n'
            + "\n".join(f"{key} = {value!r}" for key, value in table.items())
        )
        return make_dataset(understand(path))

    return call


def save(path, array, mode=None):
    Image.fromarray(array, mode).save(path) if mode else Image.fromarray(array).save(path)
    return path


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, folders):
    deep = save(tmp_path / "deep.png", np.array([[0, 32896, 65535]] * 3, dtype=np.uint16))
    with noting("deep") as notes:
        read = folders(size=[3, 3]).read("A", deep)
    assert "it has 16 bits, unlike its domain (8 bits)" in notes[0].text
    assert read[:, 0].tolist() == [[0, 128, 255]] * 3


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "CMYK", "I;16", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_grey_or_rgb(mode, channels, tmp_path, folders):
    suffix = {"CMYK": "jpg", "F": "tiff", "I": "tiff"}.get(mode, "png")
    path = tmp_path / f"picture.{suffix}"
    if mode == "I;16":
        save(path, np.full((32, 24), 40000, dtype=np.uint16))
    else:
        Image.new("RGB", (24, 32), (200, 10, 30)).convert("L" if mode == "LA" else "RGB").convert(mode).save(path)
    with noting(mode):
        read = folders(channels=channels).read("A", path)
    assert read.shape == (channels, 16, 16)
    assert read.dtype == torch.uint8
    assert 0 < int(read.float().mean()) < 255


def test_what_is_transparent_becomes_white(tmp_path, folders):
    path = tmp_path / "clear.png"
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(path)
    assert folders().read("A", path).min() == 255
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 0] * 256)
    palette.info["transparency"] = 0
    palette.save(tmp_path / "palette.png", transparency=0)
    assert folders().read("A", tmp_path / "palette.png").min() == 255


def test_exif_orientation_is_respected(tmp_path, folders):
    picture = Image.new("RGB", (40, 40), "white")
    picture.paste("black", (0, 0, 40, 20))  # the upper half is black
    exif = Image.Exif()
    exif[0x0112] = 3  # shown upside down
    picture.save(tmp_path / "turned.jpg", exif=exif)
    read = folders().read("A", tmp_path / "turned.jpg").float()
    assert read[:, :6].mean() > 240
    assert read[:, 10:].mean() < 15


@pytest.mark.parametrize(("fit", "corner", "middle"), [("squash", 255, 0), ("crop", 0, 0), ("pad", 255, 0)])
def test_ways_to_fit_another_aspect_ratio(fit, corner, middle, tmp_path, folders):
    wide = Image.new("RGB", (64, 16), "black")
    wide.paste("white", (0, 0, 16, 16))
    wide.paste("white", (48, 0, 64, 16))
    wide.save(tmp_path / "wide.png")
    read = folders(fit=fit).read("A", tmp_path / "wide.png")
    assert int(read[0, 0, 0]) == corner
    assert int(read[0, 8, 8]) == middle


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a readable picture"),
        (b"not a picture", "is not a readable picture"),
        (None, "is not a readable picture"),
    ],
)
def test_a_file_that_is_no_picture_is_named(content, message, tmp_path, folders):
    path = tmp_path / "bad.png"
    if content is None:
        Image.new("RGB", (300, 300), "red").save(path)
        content = path.read_bytes()[:200]
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"'{path}' {message}"):
        folders().read("A", path)


def test_a_decompression_bomb_is_refused(tmp_path, folders, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("1", (100, 100)).save(tmp_path / "bomb.png")
    with pytest.raises(InputError, match="decompression bomb"):
        folders().read("A", tmp_path / "bomb.png")


def test_a_held_out_share_is_disjoint_stable_and_at_least_one(tmp_path, folders):
    dataset = folders(test_share=0.25)
    train, test = dataset.open("train")["A"].labels["file"], dataset.open("test")["A"].labels["file"]
    assert len(test) == 3
    assert sorted([*train, *test]) == [f"{number}.png" for number in range(10)]
    (tmp_path / "a" / "new.png").write_bytes((tmp_path / "a" / "0.png").read_bytes())
    again = set(folders(test_share=0.25).open("test")["A"].labels["file"])
    assert len(again - set(test)) <= 1


def test_test_folders_replace_the_share(tmp_path, folders):
    (tmp_path / "t" / "deep").mkdir(parents=True)
    Image.new("L", (5, 5)).save(tmp_path / "t" / "deep" / "only.png")
    dataset = folders(test_a=str(tmp_path / "t"))
    assert dataset.open("train")["A"].length == 10
    assert dataset.open("test")["A"].labels["file"] == ["deep/only.png"]
    assert read(dataset, "test")["A"].load([0]).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("change", "message"), [("remove", "no folder"), ("empty", "no picture in"), ("one", "holds one picture")]
)
def test_a_folder_that_cannot_serve_is_named_with_its_key(change, message, tmp_path, folders):
    dataset = folders()
    for file in sorted((tmp_path / "b").iterdir())[1 if change == "one" else 0 :]:
        file.unlink()
    if change == "remove":
        (tmp_path / "b").rmdir()
    with pytest.raises(InputError, match=message) as caught:
        dataset.open("train")
    assert caught.value.key == "b"


def test_recipes_can_name_any_size(folders):
    assert folders(size=[32, 48]).shapes["A"] == (3, 32, 48)
    with pytest.raises(recipe.RecipeError, match="expected 1 to 8192"):
        folders(size=0)
