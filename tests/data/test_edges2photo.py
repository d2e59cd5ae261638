"""Side-by-side pairs: torn apart for training, kept for testing, edges thickened before they shrink."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from ganforge import InputError
from ganforge.training.build import make_dataset
from ganforge_data.edges2photo import thicken
from tests.conftest import read


@pytest.fixture
def dataset(understand):
    return lambda root, *sets: make_dataset(
        understand("discogan_edges2shoes", f"dataset.root={root}", "dataset.size=32", *sets)
    )


def test_a_and_b_come_from_different_halves_of_the_files_in_natural_order(pairs, dataset):
    train = read(dataset(pairs), "train")
    assert train["A"].labels["file"] == [f"{number}_AB.jpg" for number in range(1, 7)]
    assert train["B"].labels["file"] == [f"{number}_AB.jpg" for number in range(7, 13)]


def test_test_pairs_stay_together(pairs, dataset):
    test = read(dataset(pairs), "test")
    assert test["A"].labels["file"] == test["B"].labels["file"]
    edges, photos = test["A"].load([0, 1]), test["B"].load([0, 1])
    assert edges.shape == photos.shape == (2, 3, 32, 32)
    assert photos.float().mean() < edges.float().mean()  # the shape is filled on the right


def test_paired_both_halves_of_every_file_are_trained_on_together(pairs, dataset):
    paired = dataset(pairs, "dataset.paired=true")
    train = read(paired, "train")
    assert train["A"].labels["file"] == train["B"].labels["file"] == [f"{number}_AB.jpg" for number in range(1, 13)]
    assert paired.groups == [["A", "B"]]
    assert dataset(pairs).groups == [["A"], ["B"]]


def test_thickening_keeps_lines_that_shrinking_would_lose(tmp_path, dataset):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        picture = Image.new("RGB", (512, 256), "white")
        for column in range(30, 226, 40):
            picture.paste("black", (column, 20, column + 1, 236))
        for number in (1, 2):
            picture.save(tmp_path / split / f"{number}_AB.png")
    thin = read(dataset(tmp_path, "dataset.thicken=0"), "test")["A"].load([0])
    thick = read(dataset(tmp_path), "test")["A"].load([0])
    assert 255 - int(thick.min()) > 2.5 * (255 - int(thin.min()))
    thicker = read(dataset(tmp_path, "dataset.thicken=3"), "test")["A"].load([0])
    assert int(thicker.min()) < int(thick.min())


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 3), (1, 1, 3), (2, 1)])
def test_thickening_is_pillows_least_of_nine(shape):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    assert np.array_equal(np.asarray(thicken(picture)), np.asarray(picture.filter(ImageFilter.MinFilter(3))))


def test_a_single_picture_is_read_as_its_domain(tmp_path, dataset):
    picture = Image.new("L", (64, 64), 255)
    picture.paste(0, (32, 0, 33, 64))
    picture.save(tmp_path / "line.png")
    edges, photo = (dataset(tmp_path).read(domain, tmp_path / "line.png") for domain in "AB")
    assert edges.float().mean() < photo.float().mean()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "no folder"),
        (lambda root: root.mkdir(), "holds no folder 'train'"),
        (lambda root: (root / "edges2shoes" / "train").mkdir(parents=True), "did you mean '.*edges2shoes'"),
        (lambda root: (root / "train").mkdir(parents=True), "no picture in"),
    ],
)
def test_a_root_that_cannot_serve_is_named(make, message, tmp_path, dataset):
    root = tmp_path / "root"
    make(root)
    with pytest.raises(InputError, match=message) as caught:
        dataset(root).open("train")
    assert caught.value.key == "root"


def test_an_odd_width_cannot_be_halved(tmp_path, dataset):
    (tmp_path / "train").mkdir()
    for number in (1, 2):
        Image.new("RGB", (33, 16)).save(tmp_path / "train" / f"{number}.png")
    with pytest.raises(InputError, match="33 pixels wide and cannot be halved"):
        read(dataset(tmp_path), "train")


def test_cached_pictures_are_bit_by_bit_what_one_file_after_the_other_gives(pairs, dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("ganforge_cache.preparing.ALONE_SECONDS", 0.0)
    monkeypatch.setattr("ganforge_cache.preparing.CHUNK", 2)
    made = dataset(pairs)
    for split in ("train", "test"):
        opened, stored = made.open(split), read(made, split)
        for domain in "AB":
            one_by_one = torch.stack([opened[domain].make(path) for path in opened[domain].items])
            assert torch.equal(stored[domain].load(range(stored[domain].length)), one_by_one)
