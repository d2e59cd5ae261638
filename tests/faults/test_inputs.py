"""Pictures and archives from strangers: read, or refused by name; no hang, no other error, nothing outside the folder.

The long form, 1,000 pictures and 200 archives: pytest -m slow tests/faults/test_inputs.py
"""

import io
import os
import random
import resource
import struct
import sys
import tarfile
import time
import warnings
import zipfile
import zlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from ganforge.data.reading import silent
from ganforge.errors import InputError
from ganforge_data.folders import Folders
from ganforge_data.listing import list_pictures
from ganforge_data.unpack import unpack

SECONDS = 20.0  # for one of them, on a busy machine
GIB = 2**30


def seeds():
    """Small sound pictures of many kinds, as bytes, by suffix."""
    base = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [
        ("png", base, {}),
        ("png", base.convert("P"), {}),
        ("png", base.convert("RGBA"), {}),
        ("png", base.convert("1"), {}),
        ("png", Image.fromarray(np.arange(24 * 32, dtype=np.uint16).reshape(24, 32)), {}),
        ("jpg", base, {"exif": exif}),
        ("jpg", base, {"progressive": True}),
        ("jpg", base.convert("CMYK"), {}),
        ("webp", base, {}),
        ("bmp", base, {}),
        ("tif", base, {"compression": "tiff_lzw"}),
        ("gif", base.convert("P"), {}),
    ]
    found = []
    for suffix, picture, options in kinds:
        file = io.BytesIO()
        picture.save(file, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()), **options)
        found.append((suffix, file.getvalue()))
    return found


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, depth=1, data=b"", *more):
    """A PNG that says it is so large, with these bytes unpacked in it."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def changed(data, numbers):
    """Cut bytes, flip bits, or write a run of them anew."""
    data, how = bytearray(data), numbers.randrange(5)
    if how == 0:
        return bytes(data[: numbers.randrange(len(data))])
    if how == 1:
        start = numbers.randrange(len(data))
        data[start : start + numbers.randrange(1, 40)] = numbers.randbytes(numbers.randrange(40))
        return bytes(data)
    if how == 2:
        return bytes(data) + numbers.choice([b"PK\x03\x04", b"<script>", b"\0" * 100]) * numbers.randrange(1, 50)
    # Headers decide most: half of the flips are there.
    reach = numbers.choice([64, len(data)])
    for _ in range(numbers.choice([1, 4, 30])):
        data[numbers.randrange(min(reach, len(data)))] ^= 1 << numbers.randrange(8)
    return bytes(data)


def hostile_pictures():
    """Pictures made to do harm, by name."""
    plain = seeds()[0][1]
    side = 20_000
    return {
        "empty.png": b"",
        "huge.png": png(2**31 - 1, 2**31 - 1),
        "flat.png": png(side, side, 1, bytes((side // 8 + 1) * side)),  # sound, and 400 million pixels
        "none.png": png(0, 0),
        "line.png": png(2**31 - 1, 1),
        "talk.png": png(8, 8, 8, bytes(72), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(300_000_000)))),
        "long.png": png(8, 8, 8, bytes(50_000_000)),
        "page.png": b"<!doctype html><script>alert(1)</script>",
        "both.png": plain + b"PK\x05\x06" + bytes(18),
        "a\x1b[31m\u202eb.png": b"broken",
        "wrong.jpg": plain,
        "array.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", 60) + b"{'descr': '|O', 'fortran_order': False, 'shape': (9,)}   \n",
        "big.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", 70) + b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999, 99999, 3)}  \n",
    }  # fmt: skip


def look(path):
    """Read one picture as a data set does; return what came of it."""
    dataset = Folders(a=path.parent, b=path.parent, size=16)
    start = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as for a user
            tensor = dataset.read("A", path)
    except InputError as error:
        assert path.name in str(error)  # noqa: PT017
        outcome = "refused"
    else:
        assert tuple(tensor.shape) == (3, 16, 16)
        outcome = "read"
    assert time.monotonic() - start < SECONDS, path
    return outcome


def play_pictures(folder, count):
    outcomes = Counter()
    for name, data in hostile_pictures().items():
        (folder / name).write_bytes(data)
        outcomes[look(folder / name)] += 1
    sound = seeds()
    for number in range(count):
        numbers = random.Random(number)
        suffix, data = numbers.choice(sound)
        path = folder / f"{number}.{suffix}"
        path.write_bytes(changed(data, numbers))
        outcomes[look(path)] += 1
        path.unlink()
    return outcomes


def members(numbers):
    """Some names and contents of archives' members, sound ones and others."""
    names = [
        "set/a.txt", "set/b/c.txt", "../out.txt", "/out.txt", "set/../../out.txt", "C:\\out.txt", "..\\out.txt",
        "set/a\x1b[2J.txt", "set/\u202egnp.exe", "x" * 300, "set/" + "d/" * 200 + "e", "", ".", "set/a.txt/b", "set/\n",
    ]  # fmt: skip
    return [(numbers.choice(names), numbers.randbytes(numbers.randrange(50))) for _ in range(numbers.randrange(1, 5))]


def archive(numbers, path):
    """Write a hostile archive and return its path."""
    kind = numbers.choice(["tar", "tar.gz", "zip"])
    path = path.with_name(f"{path.name}.{kind}")
    if kind == "zip":
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            warnings.simplefilter("ignore")  # of names that are there twice
            for name, data in members(numbers):
                packed.writestr(name or ".", data)
            if numbers.random() < 0.2:
                link = zipfile.ZipInfo("set/link")
                link.external_attr = 0o120777 << 16
                packed.writestr(link, "/etc/passwd")
            if numbers.random() < 0.1:
                packed.writestr("bomb", bytes(300_000_000))
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as packed:
            for name, data in members(numbers):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                packed.addfile(info, io.BytesIO(data))
            for form in numbers.sample([tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE], k=2):
                if numbers.random() < 0.3:
                    info = tarfile.TarInfo("set/odd")
                    info.type, info.linkname = form, numbers.choice(["/etc/passwd", "../../out.txt", "a.txt"])
                    packed.addfile(info)
    if numbers.random() < 0.5:
        path.write_bytes(changed(path.read_bytes(), numbers))
    return path


def play_archives(folder, count):
    """Unpack hostile archives in a folder of their own, and see that nothing changes around it."""
    outcomes = Counter()
    for number in range(count):
        around = folder / str(number)
        target = around / "one" / "two"
        target.mkdir(parents=True)
        file = archive(random.Random(number), around / "file")
        start = time.monotonic()
        try:
            unpack(file, target, silent)
        except InputError as error:
            assert file.name in str(error)  # noqa: PT017
            outcomes["refused"] += 1
        else:
            outcomes["unpacked"] += 1
        assert time.monotonic() - start < SECONDS, file
        assert sorted(path.name for path in around.rglob("*") if target not in path.parents) == sorted(
            [file.name, "one", "two"]
        )
        assert not any(path.is_symlink() or not (path.is_dir() or path.is_file()) for path in target.rglob("*"))
        assert sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) < GIB
    return outcomes


def test_some_changed_and_all_hostile_pictures(tmp_path):
    play_pictures(tmp_path, 60)


def test_some_hostile_archives(tmp_path):
    play_archives(tmp_path, 25)


@pytest.mark.slow
def test_a_thousand_pictures_and_two_hundred_archives(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (tmp_path / "pictures").mkdir()
    pictures, archives = play_pictures(tmp_path / "pictures", 1000), play_archives(tmp_path / "archives", 200)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
    sys.stdout.write(f"pictures {dict(pictures)}, archives {dict(archives)}, memory grew by {grown:.0f} MiB\n")
    assert grown < 1024


def test_a_folder_that_links_to_its_parent_is_walked_once(tmp_path):
    (tmp_path / "a" / "below").mkdir(parents=True)
    Image.new("RGB", (16, 16)).save(tmp_path / "a" / "below" / "1.png")
    (tmp_path / "a" / "below" / "again").symlink_to(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "elsewhere").symlink_to(tmp_path / "a" / "below")
    for folder, count in (("a", 1), ("b", 1)):
        assert len(list_pictures(tmp_path / folder, "a").files) == count


@pytest.mark.parametrize(
    "odd", ["folder", "pipe", *(pytest.param(odd, marks=pytest.mark.slow) for odd in ("loop", "endless"))]
)
def test_what_is_no_file_is_told_and_does_not_hang(odd, tmp_path, ganforge):
    for domain in "ab":
        for split in ("train", "test"):
            (tmp_path / domain / split).mkdir(parents=True)
            for name in ("1.png", "2.png"):
                Image.new("RGB", (16, 16), "red").save(tmp_path / domain / split / name)
    path = tmp_path / "a" / "train" / "odd.png"
    if odd == "folder":
        path.mkdir()
    elif odd == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path if odd == "loop" else "/dev/zero")
    sets = [f"dataset.a={tmp_path / 'a'}", f"dataset.b={tmp_path / 'b'}", "dataset.size=16", "generator.width=2"]
    sets += ["discriminator.width=2", "train.steps=1", "train.batch=2"]
    result = ganforge("run", "discogan_facescrub", *(word for setting in sets for word in ("--set", setting)))
    assert result.status in (0, 2)
    assert "Traceback" not in result.err


def test_a_batch_too_small_for_batch_normalisation_is_told_before_the_training(ganforge):
    words = ["--set", "dataset.size=16", "--set", "dataset.models=3", "--set", "dataset.test_models=2"]
    result = ganforge(
        "run", "discogan_chair2car_turntable", *words, "--set", "generator.layers=4", "--set", "train.batch=1"
    )
    assert result.status == 2
    assert (
        "train.batch: the generator normalises over a single value per channel of a batch; set train.batch to 2 or more"
        in result.err
    )
