"""One picture in every way that a TIFF can hold it reads the same, whichever library decodes it."""

import itertools

import numpy as np
import pytest
import tifffile
from PIL import Image

from ganforge import Depth, InputError, noting
from ganforge_data.opened import open_picture
from ganforge_data.scan import look

RANDOM = np.random.default_rng(0)
KINDS = {
    "uint8": (0, 255, Depth()),
    "uint16": (0, 65535, Depth("uint16", 0, 65535)),
    "int16": (-900, 3000, Depth("int16", -1000, 3071)),
    "int32": (-90000, 90000, Depth("int32", -100000, 100000)),
    "uint32": (0, 90000, Depth("int32", 0, 100000)),
    "float32": (0, 1, Depth("float32", 0, 1)),
    "float64": (0, 1, Depth("float32", 0, 1)),
}
STORED = [(*way, None) for way in itertools.product(["contig", "separate"], [None, "zlib"], "<>")]
STORED += [("contig", "zlib", ">", (16, 16)), ("separate", None, "<", (16, 16))]


def numbers(kind, count):
    """Random numbers [H, W, C]."""
    low, high, _ = KINDS[kind]
    made = RANDOM.uniform(low, high, (20, 37, count))
    return made.astype(kind) if kind.startswith("f") else made.round().astype(kind)


def write(path, array, planes, packing, order, tile, **more):
    several = array.shape[2] > 1
    flat = np.moveaxis(array, 2, 0) if planes == "separate" and several else array.squeeze(2) if not several else array
    config = planes if several else None
    tifffile.imwrite(path, flat, planarconfig=config, compression=packing, byteorder=order, tile=tile, **more)


def reading(path, channels, kind):
    """The numbers [H, W, C] of a picture in its domain, and what is told."""
    with noting(path.name) as notes:
        opened = open_picture(path, channels, "black", KINDS[kind][2])
    return opened.picture.numbers.permute(1, 2, 0).numpy(), [note.text for note in notes]


@pytest.mark.parametrize("kind", KINDS)
def test_grey_and_colour_read_the_same_however_they_are_stored(kind, tmp_path):
    for count, colours in ((1, "minisblack"), (3, "rgb"), (3, "minisblack")):
        array = numbers(kind, count)
        for stored in STORED:
            write(tmp_path / "x.tif", array, *stored, photometric=colours)
            found, told = reading(tmp_path / "x.tif", count, kind)
            assert np.array_equal(found, array.astype(found.dtype)), (count, colours, stored)
            assert told == [], stored


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"uint32"}))  # its largest number does not fit its domain
def test_white_as_zero_is_turned(kind, tmp_path):
    array = numbers(kind, 1)
    turned = 1 - array if kind.startswith("f") else ~array
    for stored in STORED:
        write(tmp_path / "x.tif", turned, *stored, photometric="miniswhite")
        found, _ = reading(tmp_path / "x.tif", 1, kind)
        assert np.allclose(found, array, atol=1e-6 if kind.startswith("f") else 0), stored


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("alpha", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize(("count", "colours"), [(2, "minisblack"), (4, "rgb")])
def test_transparency_is_laid_over_the_background_however_it_is_stored(kind, alpha, count, colours, tmp_path):
    """Over black, premultiplied colours stay as they are."""
    full = KINDS[kind][1]
    array = numbers(kind, count)
    array[:, :, -1:] = np.maximum(array[:, :, -1:], np.array(full / 2, kind))
    over_black = array[:, :, :-1] * (array[:, :, -1:] / full)
    if alpha == "assocalpha":
        array[:, :, :-1] = over_black.round() if full > 1 else over_black
    allowed = {"uint8": 1.5, "uint16": 1.5, "float32": 1e-6}[kind]
    for stored in STORED:
        write(tmp_path / "x.tif", array, *stored, photometric=colours, extrasamples=[alpha])
        found, told = reading(tmp_path / "x.tif", count - 1, kind)
        assert np.abs(found - over_black).max() <= allowed, stored
        assert told == [], stored
        kept, _ = reading(tmp_path / "x.tif", count, kind)
        assert np.array_equal(kept[:, :, -1], array[:, :, -1]), stored
        straight = kept[:, :, :-1] * (kept[:, :, -1:] / full)
        assert np.abs(straight - over_black).max() <= allowed, stored


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32"])
def test_an_infrared_band_is_not_transparency_however_it_is_stored(kind, tmp_path):
    for count in (4, 5):
        array = numbers(kind, count)
        for stored in STORED:
            write(tmp_path / "x.tif", array, *stored, photometric="rgb", extrasamples=["unspecified"] * (count - 3))
            found, told = reading(tmp_path / "x.tif", 3, kind)
            assert np.array_equal(found, array[:, :, :3]), stored
            assert [f"it has {count} channels" in text for text in told] == [True], stored
            found, told = reading(tmp_path / "x.tif", count, kind)
            assert np.array_equal(found, array), stored
            assert told == [], stored


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("count", [2, 4, 5, 6])
def test_channels_of_a_microscope_are_read_all_or_not_at_all(kind, count, tmp_path):
    array = numbers(kind, count)
    for stored in STORED:
        write(tmp_path / "x.tif", array, *stored, photometric="minisblack")
        found, _ = reading(tmp_path / "x.tif", count, kind)
        assert np.array_equal(found, array), stored
        for wanted in {1, 3, 4} - {count}:
            with pytest.raises(InputError, match=f"has {count} channels; set dataset.channels = {count}"):
                open_picture(tmp_path / "x.tif", wanted)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_pages_are_channels_if_there_are_as_many_otherwise_the_first_is_read(kind, count, tmp_path):
    array = numbers(kind, count)
    for packing, order in itertools.product([None, "zlib"], "<>"):
        pages = np.moveaxis(array, 2, 0)
        tifffile.imwrite(tmp_path / "x.tif", pages, photometric="minisblack", compression=packing, byteorder=order)
        found, told = reading(tmp_path / "x.tif", count, kind)
        assert np.array_equal(found, array)
        assert told == []
        found, told = reading(tmp_path / "x.tif", 1, kind)
        assert np.array_equal(found, array[:, :, :1])
        assert told == [f"it has {count} pages; only the first is read"]


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_inks_become_colours(kind, tmp_path):
    rgb = np.random.default_rng(1).integers(0, 256, (20, 37, 3), np.uint8)
    inks = np.asarray(Image.fromarray(rgb).convert("CMYK")).astype(kind) * (257 if kind == "uint16" else 1)
    expected = np.asarray(Image.fromarray(rgb)).astype(int) * (257 if kind == "uint16" else 1)
    for stored in STORED:
        write(tmp_path / "x.tif", inks, *stored, photometric="separated")
        found, told = reading(tmp_path / "x.tif", 3, kind)
        assert np.abs(found - expected).max() <= 1, stored
        assert told == [], stored
        assert (reading(tmp_path / "x.tif", 4, kind)[0][:, :, 3] == KINDS[kind][1]).all(), stored


def test_colour_of_several_pages_is_that_of_the_first(tmp_path):
    for kind in ("uint8", "uint16", "float32"):
        array = numbers(kind, 3)
        with tifffile.TiffWriter(tmp_path / "x.tif") as file:
            for part in (array, array[:10]):
                file.write(np.moveaxis(part, 2, 0), photometric="rgb", planarconfig="separate")
        found, told = reading(tmp_path / "x.tif", 3, kind)
        assert np.array_equal(found, array)
        assert told == ["it has 2 pages; only the first is read"]


def test_a_scan_of_ranges_leaves_out_what_reading_leaves_out(tmp_path):
    array = numbers("uint16", 4) // 64
    array[0, 0, 3] = 65535
    for extra, expected in (("unspecified", 1023), ("unassalpha", 1023)):
        write(tmp_path / "x.tif", array, "contig", None, "<", None, photometric="rgb", extrasamples=[extra])
        assert look(3, tmp_path / "x.tif").numpy().view(np.float64)[2] <= expected
