"""What translate and draw write: whole or not there, beside what they were made of, and nothing is lost silently."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganforge import InputError, Picture, Translator, find_saved, write_file
from ganforge_inference import output, translate


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture)


def contents(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_a_file_is_written_aside_with_the_usual_permissions_and_any_name_a_file_can_have(tmp_path):
    older = os.umask(0o027)
    try:
        write_file(tmp_path / ("n" * 251 + ".png"), b"content")
    finally:
        os.umask(older)
    (file,) = tmp_path.iterdir()
    assert file.read_bytes() == b"content"
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_file_that_cannot_be_written_leaves_the_older_one_and_nothing_else(tmp_path, monkeypatch):
    write_file(tmp_path / "a.png", "older")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_file(tmp_path / "a.png", "newer")
    assert contents(tmp_path) == {tmp_path / "a.png": b"older"}


def test_a_link_is_replaced_and_what_it_leads_to_left_alone(tmp_path):
    (tmp_path / "far").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "far")
    write_file(tmp_path / "link", "new")
    assert (tmp_path / "far").read_text() == "precious"
    assert (tmp_path / "link").read_text() == "new"


def occupied(place, kind):
    """Put something where the output is to go; return the words for it."""
    if kind == "file":
        place.write_text("mine")
    elif kind == "below a file":
        place.write_text("mine")
        return place / "below"
    elif kind == "dangling":
        place.symlink_to("nowhere")
    elif kind == "target is a folder":
        (place / "grey.png").mkdir(parents=True)
    elif kind == "target dangles":
        place.mkdir()
        (place / "grey.png").symlink_to("nowhere")
    return place


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("file", "is not a folder: choose another --out"),
        ("below a file", "is not a folder: choose another --out"),
        ("dangling", "is not a folder: choose another --out"),
        ("target is a folder", "is a folder: choose another --out"),
        ("target dangles", "is a broken link"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_networks_are_loaded(kind, message, folder, zoo, ganforge, tmp_path):
    whole = folder / "G_AB.safetensors"
    whole.write_bytes(whole.read_bytes()[:-1] + b"?")  # its head is sound: only who loads it would notice
    before = contents(tmp_path)
    out = occupied(tmp_path / "out", kind)
    result = ganforge("translate", folder, zoo / "grey.jpg", "--out", out, "--direction", "AB", "--overwrite")
    assert result.status == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert contents(tmp_path).items() - before.items() <= {(tmp_path / "out", b"mine")}


def test_a_folder_that_cannot_be_written_is_refused(folder, zoo, ganforge, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    result = ganforge("translate", folder, zoo / "grey.jpg", "--out", tmp_path / "a" / "b", "--direction", "AB")
    assert result.status == 2
    assert f"the folder '{tmp_path}' cannot be written: choose another --out" in result.err


def test_a_disk_that_becomes_full_says_how_many_are_written_and_leaves_no_half(
    folder, zoo, ganforge, tmp_path, monkeypatch
):
    calls = []

    def full(path, content, **options):
        calls.append(path)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        write_file(path, content, **options)

    monkeypatch.setattr(output, "write_file", full)
    result = ganforge("translate", folder, zoo, "--out", "out", "--direction", "AB")
    assert result.status == 1
    assert "grey.png' cannot be written: No space left on device; 2 of 4 were written before" in result.err
    assert len(contents(tmp_path / "out")) == 2


def test_beside_shows_what_the_network_sees_and_what_it_makes(folder, ganforge, plugins, tmp_path):
    Image.effect_noise((64, 64), 90).convert("RGB").save(tmp_path / "noise.png")
    words = ["translate", folder, tmp_path / "noise.png", "--direction", "AB", "--size", "training"]
    assert ganforge(*words, "--out", "alone").status == 0
    assert ganforge(*words, "--out", "both", "--beside").status == 0
    both = pixels(tmp_path / "both" / "noise.png")
    assert both.shape == (16, 64, 3)
    seen = find_saved(folder, plugins).outline.dataset.read("A", tmp_path / "noise.png")
    assert (both[:, :32] == seen.permute(1, 2, 0).numpy()).all()
    assert (both[:, 32:] == pixels(tmp_path / "alone" / "noise.png")).all()


@pytest.mark.parametrize(
    ("left", "right", "mode"),
    [("L", "RGB", "RGB"), ("L", "L", "L"), ("LA", "L", "LA"), ("L", "RGBA", "RGBA"), ("LA", "RGB", "RGBA")],
)
def test_pictures_of_other_sizes_and_channels_share_a_canvas(left, right, mode):
    one, other = (
        Image.new(left, (2, 3), 9 if left == "L" else (9, 99)),
        Image.new(right, (4, 1), "red" if "RGB" in right else 7),
    )
    both = output.side_by_side(one, other)
    assert (both.mode, both.size) == (mode, (6, 3))
    assert both.crop((0, 0, 2, 3)).tobytes() == one.convert(mode).tobytes()
    assert both.crop((2, 0, 6, 1)).tobytes() == other.convert(mode).tobytes()
    assert both.getpixel((5, 2)) == Image.new(mode, (1, 1), "white").getpixel((0, 0))


def test_beside_is_refused_for_what_a_png_cannot_hold(shared_run, plugins, folder, zoo, ganforge):
    class Deep(type(find_saved(shared_run, plugins).outline.dataset)):
        shapes = property(lambda _: {"A": (3, 16, 32), "B": (5, 16, 32)})

    outline = find_saved(shared_run, plugins).outline
    object.__setattr__(outline, "dataset", Deep(root=outline.dataset.root))
    with pytest.raises(InputError, match=r"--beside makes PNGs, which cannot hold the 5 channels of domain B"):
        translate.require_beside(outline, "AB")
    words = ["translate", folder, zoo, "--direction", "AB", "--out", "out", "--beside", "--format", "tiff"]
    assert ganforge(*words).err == "error: --beside makes PNGs: leave out --format tiff\n"


def test_the_size_is_told_once(folder, zoo, ganforge, tmp_path):
    Image.new("RGB", (32, 16)).save(zoo / "right.png")
    words = ["translate", folder, zoo, "--direction", "AB", "--size"]
    trained = "the size that the networks were trained at; 4 of them were 8x8 to 70x50 and were resized by "
    for size, told in (
        ("own", "at their own sizes, 8x8 to 70x50"),
        ("training", f"at 16x32, {trained}dataset.fit = 'squash'"),
        ("40x30", "at 40x30; 5 of them were 8x8 to 70x50 and were resized"),
        ("9", "at 9x9; 5 of them were 8x8 to 70x50 and were resized"),
    ):
        result = ganforge(*words, size, "--out", tmp_path / size)
        assert result.out == f"5 of 5 pictures translated into {tmp_path / size}, {told}\n"
    assert pixels(tmp_path / "own" / "grey.png").shape == (70, 50, 3)
    assert pixels(tmp_path / "40x30" / "grey.png").shape == (40, 30, 3)
    alone = ganforge("translate", folder, zoo / "right.png", "--out", "two", "--direction", "AB")
    assert alone.out == "1 of 1 pictures translated into two, at its own size, 16x32\n"


def test_the_direction_is_found_or_asked_for(folder, zoo, ganforge, tmp_path):
    words = ["translate", folder, zoo / "grey.jpg"]
    result = ganforge(*words, "--out", "out")
    assert result.status == 2
    assert result.err == "error: this run translates in several directions: add --direction with one of AB, BA\n"
    assert ganforge(*words, "--out", "out", "--direction", "aB").status == 0
    assert ganforge("translate", folder / "G_BA.safetensors", zoo / "deep.png", "--out", "out").status == 0
    (folder / "G_BA.safetensors").unlink()
    assert ganforge(*words, "--out", "out", "--overwrite").status == 0


def test_none_of_several_pictures_names_every_reason_once(folder, ganforge, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(b"no picture")
    result = ganforge("translate", folder, "a.png", "b.png", "./a.png", "--out", "out", "--direction", "AB")
    assert result.status == 2
    assert result.out == "0 of 2 pictures translated into out\n"
    assert [line[:14] for line in result.err.splitlines()] == ["error: 'a.png'", "error: 'b.png'"]
    assert not (tmp_path / "out").exists()


def test_a_picture_given_twice_is_translated_once(zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(zoo)
    once = [(job.source.name, job.target) for job in translate.plan_jobs([zoo], Path("out"))]
    again = translate.plan_jobs([Path("zoo"), Path("link"), zoo / "grey.jpg", Path("zoo/../zoo")], Path("out"))
    assert sorted((job.source.name, job.target) for job in again) == sorted(once)


def test_an_output_inside_of_the_inputs_is_not_translated_again(folder, zoo, ganforge):
    words = ["translate", folder, zoo, "--direction", "AB", "--out", zoo / "out"]
    assert ganforge(*words).status == 0
    before = contents(zoo)
    result = ganforge(*words)
    assert result.status == 2
    assert "is inside the input folder" in result.err
    result = ganforge(*words, "--overwrite")
    assert "4 of 4 pictures translated" in result.out
    assert contents(zoo) == before


def test_an_output_around_the_inputs_is_none_of_them(zoo, tmp_path):
    assert len(translate.plan_jobs([zoo], tmp_path)) == 4


def test_an_input_is_not_replaced_under_whatever_name(zoo, tmp_path):
    (tmp_path / "out").mkdir()
    os.link(zoo / "grey.jpg", tmp_path / "out" / "grey.png")
    with pytest.raises(InputError, match="is one of the inputs"):
        translate.plan_jobs([zoo], tmp_path / "out", overwrite=True)


def test_names_that_are_one_file_on_this_disk_lose_nothing(folder, ganforge, tmp_path, monkeypatch):
    for name in ("one/Same.png", "two/same.png"):
        (tmp_path / name).parent.mkdir()
        Image.effect_noise((32, 16), 50).save(tmp_path / name)

    # A disk that does not tell upper case from lower case.
    def lower(path):
        return path.with_name(path.name.lower()) if "out" in path.parts else path

    file_at = translate._file_at
    monkeypatch.setattr(translate, "_file_at", lambda path: file_at(lower(path)))
    monkeypatch.setattr(
        output, "write_file", lambda path, content, **options: write_file(lower(path), content, **options)
    )
    result = ganforge("translate", folder, "one", "two", "--direction", "AB", "--out", "out")
    assert result.status == 2
    assert "1 of 2 pictures translated" in result.out
    assert "'out/same.png' is already the translation of 'one/Same.png' on this file system" in result.err


def test_large_pictures_are_translated_a_few_at_a_time(shared_run):
    translator = Translator.load(shared_run, "AB", device="cpu")
    for size, count in ((16, 32), (256, 4), (1024, 1), (8192, 1)):
        assert translator.batch_of(Picture(torch.empty(3, size, size, dtype=torch.uint8, device="meta"))) == count


def test_a_small_disk_takes_what_it_can(folder, ganforge, tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        Image.effect_noise((32, 16), 90).save(tmp_path / "0.png")
        for number in range(1, 40):
            shutil.copy(tmp_path / "0.png", tmp_path / f"{number}.png")
        inputs = [tmp_path / f"{number}.png" for number in range(40)]
        result = ganforge("translate", folder, *inputs, "--direction", "AB", "--out", place / "out")
        assert result.status == 1
        assert "cannot be written: No space left on device; " in result.err
        made = contents(place)
        assert f"{len(made)} of 40 were written before" in result.err
        assert all(pixels(path).shape == (16, 32, 3) for path in made)
    finally:
        subprocess.run(["umount", place], check=True)
