"""Training pictures made larger, of which every batch takes crops."""

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ganforge import Dataset, Stored
from ganforge.data.augment import Augment, cut_middle
from ganforge.data.batches import Batches
from ganforge.data.dataset import random_generator
from ganforge.errors import RecipeError
from ganforge.recipe.lock import lock_text
from ganforge.training.build import make_dataset
from tests.conftest import read

CPU = torch.device("cpu")
PLACES = torch.arange(12 * 10).reshape(1, 1, 12, 10).to(torch.uint8)  # every pixel tells where it is


def corners(crops):
    """Where the crops begin, as (row, column)."""
    first = crops[:, 0, 0, 0].long()
    return list(zip((first // 10).tolist(), (first % 10).tolist(), strict=True))


def test_crops_lie_anywhere_inside_and_are_whole():
    crops = Augment().place(PLACES.expand(500, 1, 12, 10), random_generator(0), (8, 9))
    assert crops.shape == (500, 1, 8, 9)
    assert set(corners(crops)) == {(row, column) for row in range(5) for column in range(2)}
    for crop, (row, column) in zip(crops, corners(crops), strict=True):
        assert torch.equal(crop, PLACES[0, :, row : row + 8, column : column + 9])


def test_a_crop_of_the_whole_is_the_whole():
    assert torch.equal(Augment().place(PLACES, random_generator(0), (12, 10)), PLACES)


def test_a_crop_may_be_mirrored_within_itself():
    crops = Augment(flip=1.0).place(PLACES.expand(50, 1, 12, 10), random_generator(0), (8, 6))
    straight = Augment(flip=1e-9).place(PLACES.expand(50, 1, 12, 10), random_generator(0), (8, 6))
    assert torch.equal(crops, straight.flip(-1))


def test_a_shift_shows_what_was_cropped_away_before_it_repeats_the_border():
    whole = torch.arange(12.0).expand(300, 1, 4, 12)
    crops = Augment(shift=0.25).place(whole, random_generator(0), (4, 8))
    assert float(crops.min()) == 0
    assert float(crops.max()) == 11
    steps = crops[:, 0, 0].diff()
    assert set(steps.unique().tolist()) == {0.0, 1.0}
    assert (steps == 0).any(1).float().mean() < 0.5


def test_the_middle_is_cut_out():
    assert corners(cut_middle(PLACES, (8, 9))) == [(2, 0)]


@pytest.fixture
def folders(tmp_path, understand):
    """The data set `folders` over two folders of six pictures of noise, with settings."""
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(6):
            noise = torch.randint(256, (20, 24, 3), generator=random_generator(number, name), dtype=torch.uint8)
            Image.fromarray(noise.numpy()).save(tmp_path / name / f"{number}.png")

    def call(**settings):
        path = tmp_path / "folders.toml"
        table = {"a": str(tmp_path / "a"), "b": str(tmp_path / "b"), "size": [16, 18], **settings}
        path.write_text(
            'extends = "base_64.toml"\n[dataset]\nuse = "folders"\n'
            + "\n".join(f"{key} = {value!r}" for key, value in table.items())
        )
        return make_dataset(understand(path))

    return call


def test_training_pictures_are_made_larger_and_test_pictures_are_not(folders):
    dataset = folders(load=[20, 24])
    train, test = (read(dataset, split) for split in ("train", "test"))
    assert dataset.shapes["A"] == (3, 16, 18)
    for samples in (*train.values(), *test.values()):
        assert samples.load(range(1)).shape == (1, 3, 16, 18)
    assert test["A"].whole is None
    whole = train["A"].whole([1, 3])
    assert whole.shape == (2, 3, 20, 24)
    assert torch.equal(train["A"].load([1, 3]), whole[:, :, 2:18, 3:21])
    assert torch.equal(test["A"].load([0]), read(folders(), "test")["A"].load([0]))


def test_crops_in_the_middle_are_what_batches_get(folders):
    train = read(folders(load=[20, 24], crop="centre"), "train")
    assert train["A"].whole is None
    batch = Batches(train, batch=2, seed=0, device=CPU)(0)["A"]
    whole = read(folders(load=[20, 24]), "train")["A"].whole(range(5))
    middles = (cut_middle(whole, (16, 18)).float() / 255).flatten(1).tolist()
    assert all(sample in middles for sample in batch.flatten(1).tolist())


@pytest.mark.parametrize("residency", ["host", "disk"])
def test_batches_of_crops_depend_on_seed_and_step_wherever_the_samples_are(residency, folders):
    train = read(folders(load=[20, 24]), "train")
    one, other = (Batches(train, batch=4, seed=1, device=CPU, residency=where) for where in ("device", residency))
    for step in (2, 0, 1):
        for domain in "AB":
            assert torch.equal(one(step)[domain], other(step)[domain])
    assert one(0)["A"].shape == (4, 3, 16, 18)
    assert one(0)["A"].dtype == torch.float32
    assert float(one(0)["A"].max()) <= 1
    assert not torch.equal(one(0)["A"], Batches(train, batch=4, seed=2, device=CPU)(0)["A"])


def test_batches_without_larger_pictures_are_as_ever():
    pictures = torch.randint(256, (9, 3, 6, 6), generator=random_generator(0), dtype=torch.uint8)
    plain, moved = (
        Batches({"A": Stored(9, pictures.__getitem__)}, batch=9, seed=0, device=CPU, augment=augment)(3)["A"]
        for augment in (None, Augment(flip=1.0))
    )
    assert torch.equal(plain, moved.flip(-1))


def test_what_belongs_together_is_cropped_alike():
    class Twins(Dataset):
        shapes = dict.fromkeys("AB", (1, 8, 8))
        groups = (("A", "B"),)

        def open(self, split):
            whole = PLACES.expand(7, 1, 12, 10).__getitem__
            return {domain: Stored(7, lambda i: cut_middle(whole(i), (8, 8)), whole=whole) for domain in "AB"}

    dataset = Twins()
    augment = Augment(flip=0.5, shift=0.2)
    together = Batches(read(dataset, "train"), batch=7, seed=0, device=CPU, groups=dataset.groups, augment=augment)
    apart = Batches(read(dataset, "train"), batch=7, seed=0, device=CPU, augment=augment)
    for step in range(3):
        batch = together(step)
        assert torch.equal(batch["A"], batch["B"])
        assert len(batch["A"].unique(dim=0)) > 1
        assert not torch.equal(*apart(step).values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"load": 17}, r"dataset.load: \[17, 17\] is smaller than the size \[16, 18\], to which it is cropped"),
        ({"load": [15, 40]}, r"dataset.load: \[15, 40\] is smaller"),
        ({"load": 0}, r"dataset.load: expected 1 to 8192"),
        ({"load": 20, "crop": "left"}, r'dataset.crop: expected "random" or "centre"'),
    ],
)
def test_sizes_that_cannot_be_cropped_are_refused(settings, message, folders):
    with pytest.raises(RecipeError, match=message):
        folders(**settings)


def test_a_run_on_crops_goes_on_bit_for_bit(tmp_path, ganforge, folders):
    folders(load=[20, 24])
    (tmp_path / "crops.toml").write_text(
        'extends = "folders.toml"\n[dataset]\nsize = 16\n[generator]\nwidth = 4\n[discriminator]\nwidth = 4\n'
        "[train]\nsteps = 4\nbatch = 2\naugment = { flip = 0.5 }\n"
    )
    assert ganforge("run", "crops.toml", "--out", "whole").status == 0
    assert ganforge("run", "crops.toml", "--out", "parted", "--set", "train.steps=2").status == 0
    result = ganforge("resume", "parted/crops/0001", "--set", "train.steps=4")
    assert result.status == 0, result.err
    one, other = (tmp_path / out / "crops" / "0001" / "checkpoints" / "step-00000004" for out in ("whole", "parted"))
    files = sorted(path.name for path in one.glob("*.safetensors"))
    assert files
    for name in files:
        mine, theirs = load_file(one / name), load_file(other / name)
        assert all(torch.equal(mine[key], theirs[key]) for key in mine), name


def test_the_lock_keeps_the_size_that_is_loaded(folders, tmp_path, understand):
    folders(load=20)
    assert "load = 20" in lock_text(understand(tmp_path / "folders.toml"), {})


def test_the_cache_of_larger_pictures_is_prepared_and_cleared_like_others(folders, ganforge, tmp_path, monkeypatch):
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    folders(load=24)
    sets = ("--set", "train.batch=2")
    assert "folders: 12 samples" in ganforge("data", "prepare", "folders.toml", *sets).out
    ganforge("data", "clear", "folders.toml", *sets)
    assert not list((tmp_path / "cache").glob("*/samples.safetensors"))
