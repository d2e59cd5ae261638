"""Which files are taken from a folder: every kind of picture, nothing hidden, everything once, whatever the names are."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from ganforge import InputError, find_pictures, natural
from ganforge.data.files import listed_once
from ganforge_data.folders import Folders
from ganforge_inference.translate import plan_jobs

BYTES = pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are no text")


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def names_in(folder):
    """The names that are listed, which a translation must take, too, and broken links besides."""
    found = find_pictures(folder)
    names = [path.relative_to(folder).as_posix() for path in found.files]
    jobs = plan_jobs([folder], folder.with_name("out"))
    assert [job.source for job in jobs] == list(found.named)
    return names


@pytest.mark.parametrize(
    "suffix",
    [
        *("jpg", "JPEG", "jfif", "jpe", "png", "webp", "avif", "jp2", "j2k", "gif", "bmp", "tif", "TIFF", "tga", "ppm"),
        *("pgm", "pbm", "pfm", "ico", "psd", "qoi", "dds", "pcx", "sgi", "mpo", "apng", "npy"),
    ],
)
def test_every_kind_that_is_read_is_listed(suffix, tmp_path):
    assert names_in(make(tmp_path / "a", f"x.{suffix}")) == [f"x.{suffix}"]


@pytest.mark.parametrize("suffix", ["jfif", "avif", "jp2", "tga", "npy"])
def test_what_is_listed_can_be_read(suffix, tmp_path):
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    if suffix == "npy":
        np.save(tmp_path / "x.npy", np.full((8, 8, 3), 200, np.uint8), allow_pickle=False)
    else:
        Image.new("RGB", (8, 8), (200, 200, 200)).save(tmp_path / f"x.{suffix}")
    (path,) = find_pictures(tmp_path).files
    assert Folders(root=tmp_path, size=8).read("A", path).float().mean() == pytest.approx(200, abs=2)


@pytest.mark.parametrize("name", ["x.pdf", "x.eps", "x.mpg", "x.h5", "x.txt", "x.jpg.bak", "jpg", "x.", "x.wmf"])
def test_what_is_no_picture_is_not_listed(name, tmp_path):
    suffix = os.path.splitext(name)[1] or "no suffix"
    assert find_pictures(make(tmp_path, name)).left_out == f"1 of other kinds ({suffix})"


def test_what_is_hidden_or_a_systems_own_is_left_out_and_counted(tmp_path):
    folder = make(tmp_path / "a", "1.jpg", "b/2.jpg", "._1.jpg", ".x/3.jpg", "b/.ipynb_checkpoints/2.jpg")
    make(folder, "@eaDir/1.jpg/thumb.jpg", "__MACOSX/._1.jpg", "__MACOSX/1.jpg", "Thumbs.db", "$RECYCLE.BIN/4.jpg")
    make(folder, "b/#recycle/5.jpg", "lost+found/6.jpg", ".Trash-1000/files/7.jpg", "System Volume Information/8.jpg")
    make(folder, "notes.txt", "more.txt", "list.csv", "README")
    assert names_in(folder) == ["1.jpg", "b/2.jpg"]
    assert find_pictures(folder).left_out == (
        "11 hidden (#recycle, $RECYCLE.BIN, .Trash-1000, ...), 4 of other kinds (.csv, .txt, no suffix)"
    )


@pytest.mark.parametrize("name", [".hidden", ".hidden/a", "@eaDir", "lost+found/x"])
def test_a_folder_that_is_named_counts_even_if_it_is_hidden(name, tmp_path):
    assert names_in(make(tmp_path / name, "1.jpg", "#1.jpg", "@me.jpg", "$5/2.jpg")) == [
        *("1.jpg", "#1.jpg", "$5/2.jpg", "@me.jpg"),
    ]


def test_folders_that_link_to_each_other_are_listed_once_under_their_own_names(tmp_path):
    folder = make(tmp_path / "a", "1.jpg", "x/2.jpg", "y/3.jpg")
    (folder / "x" / "to_y").symlink_to("../y")
    (folder / "y" / "to_x").symlink_to("../x")
    (folder / "0_first").symlink_to("y")
    (folder / "up").symlink_to("..")
    (folder / "self").symlink_to("self")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    assert names_in(folder) == ["1.jpg", "x/2.jpg", "y/3.jpg"]
    assert find_pictures(folder).left_out == "2 broken links (gone.jpg, self), 4 repeated (0_first, to_x, to_y, ...)"


def test_a_broken_link_with_the_name_of_a_picture_is_not_lost(tmp_path):
    folder = make(tmp_path, "1.jpg", "b/10.jpg", "b/9.jpg")
    for name in ("2.jpg", "b/9a.png", ".hidden.png", "other", "self.png"):
        (folder / name).symlink_to("self.png" if name == "self.png" else "nowhere")
    found = find_pictures(folder)
    assert [path.relative_to(folder).as_posix() for path in found.broken] == ["2.jpg", "self.png", "b/9a.png"]
    named = [path.relative_to(folder).as_posix() for path in found.named]
    assert named == ["1.jpg", "2.jpg", "b/9.jpg", "b/9a.png", "b/10.jpg", "self.png"]


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    folder = make(tmp_path, "1.jpg", "locked/2.jpg")
    scan = os.scandir

    def refuse(place):
        if str(place).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scan(place)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"locked' cannot be read: Permission denied"):
        find_pictures(folder)


def test_folders_elsewhere_are_followed_once_whatever_leads_there(tmp_path):
    make(tmp_path / "far", "1.jpg", "below/2.jpg")
    folder = make(tmp_path / "a", "3.jpg")
    (folder / "link10").symlink_to(tmp_path / "far")
    (folder / "link9").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(folder)
    assert names_in(folder) == ["3.jpg", "link9/1.jpg", "link9/below/2.jpg"]


def test_a_link_is_a_picture_of_its_own_unless_its_picture_is_listed(tmp_path):
    make(tmp_path / "far", "1.jpg", "object")
    folder = make(tmp_path / "a", "z.jpg", ".store/deep.jpg")
    (folder / "0.jpg").symlink_to("z.jpg")
    (folder / "b.jpg").symlink_to(tmp_path / "far" / "1.jpg")
    (folder / "c.jpg").symlink_to(tmp_path / "far" / "1.jpg")
    (folder / "d.jpg").symlink_to(tmp_path / "far" / "object")  # as large-file stores do
    (folder / "e.jpg").symlink_to(".store/deep.jpg")
    os.link(folder / "z.jpg", folder / "y.jpg")
    assert names_in(folder) == ["b.jpg", "d.jpg", "e.jpg", "y.jpg", "z.jpg"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_left_out(tmp_path):
    os.mkfifo(make(tmp_path, "1.jpg") / "2.jpg")
    assert find_pictures(tmp_path).left_out == "1 special files (2.jpg)"


def test_numbers_in_names_count_whatever_digits_they_are_of(tmp_path):
    names = ["2.png", "10.png", "010.png", "²", "١٢", f"{'9' * 5000}.png", f"1{'0' * 5000}.png", "a.png"]
    assert sorted(names, key=natural) == ["2.png", "010.png", "10.png", names[5], names[6], "a.png", "²", "١٢"]


@BYTES
def test_names_of_any_bytes_are_listed_split_and_translated(tmp_path):
    names = [b"caf\xe9.jpg", b"\xff\xfe.jpg", b"a\nb.jpg", b"\x1b[31m.jpg", b"\xc2\xb2.jpg", b"x" * 251 + b".jpg"]
    for side in "ab":
        for name in names:
            (tmp_path / side).mkdir(exist_ok=True)
            (tmp_path / side / os.fsdecode(name)).write_bytes(b"")
    data = Folders(a=tmp_path / "a", b=tmp_path / "b")
    listed = [os.fsencode(name) for split in ("train", "test") for name in data.open(split)["A"].labels["file"]]
    assert sorted(listed) == sorted(names)
    targets = {os.fsencode(job.target.name) for job in plan_jobs([tmp_path / "a"], tmp_path / "out")}
    assert targets == {name[:-4] + b".png" for name in names}


@pytest.mark.parametrize("stem", ["x" * 252, "é" * 126])
def test_a_translation_whose_name_would_be_too_long_is_cut(stem, tmp_path):
    make(tmp_path / "a", f"{stem}.im")
    (job,) = plan_jobs([tmp_path / "a"], tmp_path / "out")
    assert len(os.fsencode(job.target.name)) in (254, 255)
    assert job.target.suffix == ".png"


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(InputError, match=r"a' cannot be read: Permission denied"):
        find_pictures(make(tmp_path / "a", "1.jpg"))


def test_a_folder_of_nothing_but_other_things_says_what_is_there(tmp_path):
    make(tmp_path / "a", ".x.jpg", "list.txt")
    with pytest.raises(InputError, match=r"no picture in '.*a', only 1 hidden \(.x.jpg\), 1 of other kinds") as caught:
        Folders(a=tmp_path / "a", b=tmp_path / "a").open("train")
    assert caught.value.key == "a"


@pytest.mark.parametrize("place", ["~nobody-here/x", "~"])
def test_a_home_that_is_not_known_is_a_folder_that_is_not_there(place, monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where there is no HOME, nor such a user
    with pytest.raises(InputError, match=f"no folder '{place}'"):
        Folders(a=Path(place), b=Path(place)).open("train")


def test_within_one_look_a_folder_is_listed_once_and_afterwards_anew(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with listed_once():
        assert len(find_pictures(tmp_path).files) == 1
        (tmp_path / "b.png").write_bytes(b"")
        assert len(find_pictures(tmp_path).files) == 1
    assert len(find_pictures(tmp_path).files) == 2
