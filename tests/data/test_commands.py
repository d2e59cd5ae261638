"""`ganforge data`, as its user sees it."""

import json
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from ganforge_cache import cache


@pytest.fixture
def recipe(tmp_path, pairs, monkeypatch):
    """A recipe on a few pairs, with a cache of its own."""
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "mine.toml"
    path.write_text(
        'extends = "discogan_edges2shoes"\n'
        f'[dataset]\nroot = "{pairs}"\nsize = 16\n[generator]\nwidth = 4\n[discriminator]\nwidth = 4\n'
        "[train]\nsteps = 2\nbatch = 3\n[record]\nsample_every = 0\n"
    )
    return path


def test_list_names_each_recipes_needs_and_how_to_get_them(ganforge, tmp_path):
    (tmp_path / "data" / "edges2shoes").mkdir(parents=True)
    rows = {row["recipe"]: row for row in json.loads(ganforge("data", "list", "--json").out)}
    assert rows["discogan_toy"]["needs"] == "nothing"
    assert rows["discogan_edges2shoes"]["here"] == "yes"
    assert rows["discogan_celeba_hair"]["here"] == "ganforge data fetch celeba data"
    assert rows["discogan_chair2car"]["needs"] == "data/rendered_chairs, data/cars"
    assert "see the recipe" in rows["discogan_chair2car"]["here"]


def test_show_counts_and_draws_both_domains(ganforge, recipe, tmp_path):
    result = ganforge("data", "show", recipe, "--json")
    assert result.status == 0, result.err
    assert [(row["split"], row["domain"], row["samples"], row["shape"]) for row in json.loads(result.out)] == [
        ("train", "A", 6, "3 x 16 x 16"),
        ("train", "B", 6, "3 x 16 x 16"),
        ("test", "A", 4, "3 x 16 x 16"),
        ("test", "B", 4, "3 x 16 x 16"),
    ]
    with Image.open(tmp_path / "mine-data.png") as sheet:
        assert sheet.width > 500
    assert ganforge("data", "show", "discogan_toy", "--out", "points.png").status == 0
    assert (tmp_path / "points.png").is_file()


def test_show_counts_what_is_left_out(ganforge, recipe, pairs):
    (pairs / "train" / "._1_AB.jpg").write_bytes(b"")
    (pairs / "train" / "notes.txt").write_text("")
    result = ganforge("data", "show", recipe, "--json")
    assert [row["left out"] for row in json.loads(result.out)] == [
        *["1 hidden (._1_AB.jpg), 1 of other kinds (.txt)"] * 2,
        *[""] * 2,
    ]


def test_prepare_fills_the_cache_that_a_run_then_uses_and_clear_empties_it(ganforge, recipe):
    result = ganforge("data", "prepare", recipe)
    assert result.out.startswith("mine: 20 samples, 0.0 MiB in ")
    made = {entry.folder for entry in cache.entries()}
    assert len(made) == 4
    assert ganforge("run", recipe).status == 0
    assert {entry.folder for entry in cache.entries()} == made
    assert ganforge("data", "clear", recipe).out.startswith("0.0 MiB freed")
    assert list(cache.entries()) == []
    assert ganforge("data", "clear").status == 0


def test_a_broken_picture_stops_before_there_is_a_run_or_is_skipped_and_counted(ganforge, recipe, pairs, tmp_path):
    (pairs / "train" / "2_AB.jpg").write_bytes(b"no picture")
    result = ganforge("run", recipe)
    assert result.status == 2
    assert "2_AB.jpg' is not a readable picture" in result.err
    assert 'set dataset.on_broken = "skip"' in result.err
    assert not (tmp_path / "runs").exists()
    result = ganforge("run", recipe, "--set", "dataset.on_broken=skip")
    assert result.status == 0, result.err
    assert "1 broken samples of train A are skipped" in result.out.replace("\n", "")
    lock = (tmp_path / "runs" / "mine" / "0001" / "recipe.lock.toml").read_text()
    assert '[lock.skipped]\n"train.A" = 1\n' in lock
    assert "skipped: '" in ganforge("data", "prepare", recipe, "--set", "dataset.on_broken=skip").out


def test_a_link_that_leads_nowhere_is_a_broken_picture(ganforge, recipe, pairs):
    (pairs / "train" / "2_AB.jpg").unlink()
    (pairs / "train" / "2_AB.jpg").symlink_to("away/2_AB.jpg")
    result = ganforge("run", recipe)
    assert result.status == 2
    assert "no picture '" in result.err
    assert "2_AB.jpg'" in result.err
    result = ganforge("run", recipe, "--set", "dataset.on_broken=skip")
    assert result.status == 0, result.err
    assert "1 broken samples of train A are skipped" in result.out.replace("\n", "")


def test_what_is_odd_about_pictures_is_told_once_by_all_who_prepare_them(ganforge, tmp_path):
    for side in "ab":
        (tmp_path / side).mkdir()
        for number in range(6):
            Image.effect_noise((16, 16), 90).save(tmp_path / side / f"{number}.png")
    for name, top in (("dark", 2000), ("dim", 3000), ("full", 65535)):
        deep = np.linspace(0, top, 256).astype(np.uint16).reshape(16, 16)
        Image.fromarray(deep).save(tmp_path / "a" / f"{name}.png")
    Image.fromarray(np.full((16, 16), 0.5, np.float32)).save(tmp_path / "a" / "float.tif")
    Image.new("L", (9000, 1)).save(tmp_path / "b" / "line.png")
    (tmp_path / "mine.toml").write_text(
        'extends = "base_64"\n[dataset]\nuse = "folders"\na = "a"\nb = "b"\nsize = 16\nfit = "pad"\n'
        '[generator]\nuse = "conv"\nwidth = 2\n[discriminator]\nuse = "conv"\nwidth = 2\n'
        "[train]\nsteps = 1\nbatch = 2\n[record]\nsample_every = 0\n"
    )
    for words in (("data", "show"), ("data", "prepare"), ("run",)):
        result = ganforge(*words, "mine.toml")
        assert result.status == 0, result.err
        said = " ".join((result.out + result.err).split())
        assert said.count("it has 16 bits, unlike its domain (8 bits): its numbers from 0 to 65535 are read") == 1
        assert said.count("(likewise '") == 1
        assert said.count("it has floats, unlike its domain (8 bits): its numbers from 0 to 1 are read") == 1
        assert said.count("line.png': it is 9000x1: only 0.002 pixels high in 16x16") == 1
    json.loads(ganforge("data", "show", "mine.toml", "--json").out)


@pytest.mark.parametrize("on_broken", ["stop", "skip"])
def test_show_obeys_on_broken_whatever_the_decoder_raised(on_broken, ganforge, recipe, monkeypatch):
    load, calls = ImageFile.ImageFile.load, []

    def fail_at_first(self):
        calls.append(self)
        if len(calls) == 1:
            raise struct.error("unpack requires a buffer of 4 bytes")
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail_at_first)
    result = ganforge("data", "show", recipe, "--set", f"dataset.on_broken={on_broken}")
    assert "is not a readable picture: unpack requires a buffer of 4 bytes" in result.err
    assert result.status == (2 if on_broken == "stop" else 0)


@pytest.mark.parametrize("command", ["run", "validate"])
def test_too_few_pictures_for_a_batch_are_told_before_anything_is_made(command, ganforge, recipe, tmp_path):
    result = ganforge(command, recipe, "--set", "train.batch=7")
    assert result.status == 2
    assert "domain A has 6 training samples, fewer than a batch of 7; set train.batch to 6" in result.err
    assert not (tmp_path / "runs").exists()
    assert list(cache.entries()) == []


def test_augmentation_and_residency_are_in_the_lock(ganforge, recipe, tmp_path):
    result = ganforge("run", recipe, "--set", "train.augment.flip=0.5", "--set", "compute.residency=disk")
    assert result.status == 0, result.err
    lock = (tmp_path / "runs" / "mine" / "0001" / "recipe.lock.toml").read_text()
    assert 'residency = "disk"' in lock
    assert "[train.augment]\nflip = 0.5\n" in lock


def test_augmentation_of_points_is_refused(ganforge):
    result = ganforge("validate", "discogan_toy", "--set", "train.augment.flip=0.5")
    assert result.status == 2
    assert "train.augment: only pictures can be augmented; samples of domain A are [2]" in result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data", "show", "nonsense"], "no recipe 'nonsense'"),
        (["data", "prepare", "discogan_edges2shoes"], "ganforge data fetch edges2shoes data"),
        (["data", "clear", "--set", "dataset.size=3"], "--set needs a RECIPE"),
        (["data", "show", "discogan_toy", "--out", "no/such/folder.png"], "cannot write the contact sheet"),
    ],
)
def test_wrong_input_is_one_line(words, message, ganforge):
    result = ganforge(*words)
    assert result.status == 2
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are no text")
def test_a_folder_whose_name_is_not_utf_8_is_shown_but_cannot_stand_in_a_locked_recipe(ganforge, recipe, pairs):
    folder = pairs.rename(pairs.with_name(os.fsdecode(b"caf\xe9")))
    (folder / "train" / "1_AB.jpg").rename(folder / "train" / os.fsdecode(b"\xff.jpg"))
    assert ganforge("data", "show", recipe, "--set", f"dataset.root={folder}").status == 0
    result = ganforge("run", recipe, "--set", f"dataset.root={folder}")
    assert result.status == 2
    assert result.err == (
        "error: the locked recipe cannot contain a name that is not UTF-8: "
        f'root = "{folder.parent}/caf\\udce9"; rename the file or folder\n'
    )
    assert not Path("runs").exists()
