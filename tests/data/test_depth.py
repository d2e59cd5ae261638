"""Pictures at full depth: one scale for a series, numbers that come back as they were, and what is odd is told."""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ganforge import Depth, InputError, Picture, as_float, noting
from ganforge.data.reading import silent
from ganforge_cache.cache import ready
from ganforge_data.folders import Folders
from ganforge_data.opened import open_picture
from ganforge_data.ranges import Apart
from ganforge_inference.output import encoded, suffix_of
from tests.conftest import SHARED, read

RANDOM = np.random.default_rng(0)
CASES = SHARED.parent / "cases"
KINDS = {
    "uint8": (Depth(), 0, 256),
    "uint16": (Depth("uint16", 0, 65535), 0, 65536),
    "12 in 16 bits": (Depth("uint16", 0, 4095), 0, 4096),
    "int16": (Depth("int16", -1024, 3071), -1024, 3072),
    "int32": (Depth("int32", -70000, 900000), -70000, 900001),
}


def written(path, array):
    """Write an array [H, W, C] by tifffile or NumPy."""
    flat = array.squeeze(2) if array.shape[2] == 1 else array
    if path.suffix == ".npy":
        np.save(path, flat)
    else:
        colour = "rgb" if array.shape[2] in (3, 4) else "minisblack"
        config = None if array.shape[2] == 1 else "contig"
        tifffile.imwrite(path, flat, photometric=colour, planarconfig=config)
    return path


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_whole_numbers_come_back_bit_for_bit(kind, channels, tmp_path):
    depth, low, high = KINDS[kind]
    array = RANDOM.integers(low, high, (5, 6, channels)).astype(depth.kind)
    formats = ["tiff", "npy"] + ["png"] * (depth.kind.startswith("u") and channels < 5)
    for source in (written(tmp_path / "in.tif", array), written(tmp_path / "in.npy", array)):
        picture = open_picture(source, channels, depth=depth).picture
        assert picture.depth == depth
        assert np.array_equal(picture.numbers.permute(1, 2, 0).numpy(), array)
        for wanted in formats:
            suffix = suffix_of(wanted, depth, channels)
            again = tmp_path / f"out{suffix}"
            again.write_bytes(encoded(picture.pixels, depth, suffix))
            back = open_picture(again, channels, depth=depth).picture.numbers
            assert back.dtype == getattr(torch, depth.kind)
            assert np.array_equal(back.permute(1, 2, 0).numpy(), array), (wanted, source)


@pytest.mark.parametrize("channels", [1, 3, 4, 7])
@pytest.mark.parametrize(("low", "high"), [(-3.5, 12.25), (0, 1), (1000, 1001)])
def test_floats_come_back_within_a_millionth_of_the_range(low, high, channels, tmp_path):
    array = (RANDOM.random((5, 6, channels)) * (high - low) + low).astype(np.float32)
    depth = Depth("float32", low, high)
    picture = open_picture(written(tmp_path / "in.tif", array), channels, depth=depth).picture
    assert suffix_of(None, depth, channels) == ".tif"
    (tmp_path / "out.tif").write_bytes(encoded(picture.pixels, depth, ".tif"))
    back = tifffile.imread(tmp_path / "out.tif").reshape(array.shape)
    assert back.dtype == np.float32
    assert np.abs(back.astype(np.float64) - array).max() <= 1e-6 * max(high - low, abs(high) / 16)


@pytest.mark.parametrize("channels", [2, 4, 7])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_channels_page_by_page_or_in_planes_are_channels(kind, channels, tmp_path):
    array = RANDOM.integers(0, 250, (channels, 5, 6)).astype(kind)
    tifffile.imwrite(tmp_path / "pages.tif", array, photometric="minisblack")
    tifffile.imwrite(tmp_path / "planes.tif", array, photometric="minisblack", planarconfig="separate")
    for name in ("pages.tif", "planes.tif"):
        numbers = open_picture(tmp_path / name, channels, depth=Depth(kind, 0, 255)).picture.numbers
        assert np.array_equal(numbers.numpy(), array), name


def test_pixels_leave_the_numbers_as_they_are():
    picture = Picture(torch.tensor([[[-1.0, 3.0]]]), Depth("float32", -1, 3))
    assert picture.pixels.tolist() == picture.pixels.tolist() == [[[0, 1]]]
    assert picture.numbers.tolist() == [[[-1, 3]]]


def test_numbers_beyond_their_type_are_cut_off():
    depth = Depth("uint16", -100, 70000)
    assert depth.numbers(torch.tensor([0.0, 0.5, 1.0])).tolist() == [0, 34950, 65535]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_of_sixteen_bits_is_one_for_others_too(channels, tmp_path):
    numbers = torch.from_numpy(RANDOM.integers(0, 65536, (channels, 9, 7)).astype(np.uint16))
    depth = Depth("uint16", 0, 65535)
    (tmp_path / "x.png").write_bytes(encoded(Picture(numbers, depth).pixels, depth, ".png"))
    with Image.open(tmp_path / "x.png") as picture:
        picture.load()
        assert picture.mode == {1: "I;16", 3: "RGB", 4: "RGBA"}[channels]
        pixels = np.asarray(picture).reshape(9, 7, channels)  # of colours the upper 8 bits
    expected = numbers.permute(1, 2, 0).numpy() >> (0 if channels == 1 else 8)
    assert np.array_equal(pixels, expected)


def test_what_a_format_cannot_hold_is_said():
    assert suffix_of(None, Depth(), 7) == suffix_of(None, Depth("int16", 0, 9), 3) == ".tif"
    assert suffix_of(None, Depth("uint16", 0, 9), 4) == ".png"
    for depth, channels, message in (
        (Depth(), 7, "a PNG cannot hold 7 channels; use tiff or npy"),
        (Depth("float32", 0, 1), 3, "a PNG cannot hold numbers of the type float32"),
    ):
        with pytest.raises(InputError, match=message):
            suffix_of("png", depth, channels)
    with pytest.raises(InputError, match="expected png, tiff, npy, got 'jpg'"):
        suffix_of("jpg", Depth(), 3)


@pytest.fixture
def series(tmp_path):
    """Make a data set of two folders from arrays [H, W] of A; B has 8 bits. Return it decided, with what it said."""

    def call(arrays, suffix=".tif", **settings):
        for name in ("a", "b"):
            (tmp_path / name).mkdir(exist_ok=True)
        for number, array in enumerate(arrays):
            written(tmp_path / "a" / f"{number}{suffix}", array[:, :, None])
            Image.fromarray(RANDOM.integers(0, 256, (8, 8), dtype=np.uint8)).save(tmp_path / "b" / f"{number}.jpg")
        dataset = Folders(a=tmp_path / "a", b=tmp_path / "b", size=8, **{"channels": 1, **settings})
        decided = dataset.decide(ready, silent)
        again = Folders(a=tmp_path / "a", b=tmp_path / "b", size=8, **{"channels": 1, **settings, **decided.settings})
        assert again.decide(None, silent).settings == {}
        return again, decided

    return call


def spread(low, high, kind):
    """A picture [8, 8] with evenly spread numbers from low to high."""
    return np.linspace(low, high, 64).astype(kind).reshape(8, 8)


@pytest.mark.parametrize(
    ("tops", "kind", "expected"),
    [
        ((200, 255), "uint16", ("uint16", 0, 255)),
        ((200, 256), "uint16", ("uint16", 0, 1023)),
        ((4000, 900), "uint16", ("uint16", 0, 4095)),
        ((16383, 16383), "uint16", ("uint16", 0, 16383)),
        ((16384, 9), "uint16", ("uint16", 0, 65535)),
        ((0.3, 1.0), "float32", ("float32", 0, 1)),
        ((7, 255), "float32", ("float32", 0, 255)),
        ((1.5, 3.25), "float32", ("float32", 0, 3.25)),
        ((3000, 1000), "int32", ("int32", 0, 3000)),
        ((0.5, 0.25), "float64", ("float32", 0, 1)),
        ((90000, 5), "uint32", ("int32", 0, 90000)),
    ],
)
def test_the_range_is_decided_once_from_all_files(tops, kind, expected, series):
    whole = kind == "float32" and tops[1] == 255
    arrays = [np.floor(spread(0, top, kind)) if whole else spread(0, top, kind) for top in tops]
    dataset, decided = series(arrays)
    assert dataset.depths == {"A": Depth(*expected), "B": Depth()}
    assert len(decided.said) == 2
    assert decided.said[1] == "B: 8 bits, 0 to 255 are black to white"


@pytest.mark.parametrize("suffix", [".tif", ".npy"])
@pytest.mark.parametrize("kind", ["uint32", "int64"])
def test_a_series_of_wide_integers_has_one_scale_whatever_a_file_holds(kind, suffix, series):
    tops = (1_000_000_000, 3_900_000_000, 2_000_000_000, 1_500_000_000)
    dataset, decided = series([spread(0, top, kind) for top in tops], suffix, test_share=0.25)
    assert dataset.depths["A"] == Depth("float32", 0, 3_900_000_000)
    assert decided.odd == []
    stored = [read(dataset, split)["A"] for split in ("train", "test")]
    found = [float(as_float(one).max()) for source in stored for one in source.load(range(source.length))]
    assert sorted(found) == pytest.approx([top / tops[1] for top in sorted(tops)])
    assert [note.text for source in stored for note in source.notes] == []


def test_signed_numbers_reach_from_the_least_to_the_largest(series):
    dataset, decided = series([spread(-1000, 500, np.int16), spread(-200, 3071, np.int16)])
    assert dataset.depths["A"] == Depth("int16", -1000, 3071)
    assert decided.said[0] == "A: signed 16 bits, -1000 to 3071 are black to white"
    assert decided.odd == []
    samples = read(dataset, "train")["A"].load([0])
    assert samples.dtype == torch.uint16


def test_a_series_whose_pictures_differ_in_range_has_one_scale(series):
    dataset, _ = series([spread(0, top, np.uint16) for top in (1000, 2000, 4000)], test_share=0.1)
    sources = read(dataset, "train")["A"], read(dataset, "test")["A"]
    found = {}
    for stored in sources:
        for name, sample in zip(stored.labels["file"], stored.load(range(stored.length)), strict=True):
            found[name] = float(as_float(sample).max())
    assert found == pytest.approx({"0.tif": 1000 / 4095, "1.tif": 2000 / 4095, "2.tif": 4000 / 4095}, abs=2e-5)


@pytest.mark.skipif(not CASES.exists(), reason="needs the shared cases")
def test_two_floats_of_one_series_are_read_alike(tmp_path):
    (folder,) = CASES.glob("02*")
    dataset = Folders(a=folder, b=folder, size=64, channels=1)
    dataset = Folders(a=folder, b=folder, size=64, channels=1, **dataset.decide(ready, silent).settings)
    one, other = (as_float(dataset.read("A", folder / name)) for name in ("max_1.0.tif", "max_1.00001.tif"))
    assert float((one - other).abs().mean()) < 0.002
    assert float(one.mean()) == pytest.approx((0.4078401 - 0.4) / (1.00001 - 0.4), abs=1e-4)


@pytest.mark.skipif(not CASES.exists(), reason="needs the shared cases")
def test_few_bits_in_many_and_colours_of_floats_are_seen():
    (deep,), (colour,) = CASES.glob("03*"), CASES.glob("26*")
    for name, depth in (("gray8in16.png", 255), ("gray12in16.png", 4095)):
        picture = open_picture(deep / name, 1, depth=Depth("uint16", 0, depth)).picture
        assert float(picture.pixels.max()) == pytest.approx(118 / 255, abs=0.002)
    scan = open_picture(deep / "int16ct.tif", 1, depth=Depth("int16", -1024, 3071)).picture
    assert (scan.numbers.dtype, int(scan.numbers.min()), int(scan.numbers.max())) == (torch.int16, 608, 864)
    numbers = open_picture(colour / "rgbfloat.tif", 3, depth=Depth("float32", 0, 1)).picture.numbers
    assert (numbers.dtype, numbers.shape[0]) == (torch.float32, 3)


def test_eight_bits_need_no_look_at_all(series):
    dataset, decided = series([spread(0, 255, np.uint8)] * 3, suffix=".npy")
    assert dataset.depths == {"A": Depth(), "B": Depth()}
    assert decided.said == decided.odd == []
    assert read(dataset, "train")["A"].load([0]).dtype == torch.uint8
    jpegs = Folders(a=dataset.b, b=dataset.b, size=8, channels=1)
    assert set(jpegs.decide(None, silent).settings["apart"]) == {"A", "B"}


@pytest.mark.parametrize(
    ("arrays", "settings", "message"),
    [
        (
            [spread(0, 250, np.uint16)] * 2,
            {"apart": {"A": Apart(range=(0, 65535))}},
            "they use few levels of 0 to 65535",
        ),
        ([spread(0, 15, np.uint16) * 4096] * 2, {}, "no file has more than 16 levels"),
        ([spread(0, 1, np.float32), spread(0, 255, np.float32)], {}, "1 of 2 files differ much from the others"),
        ([spread(0, 200, np.uint16), spread(0, 65535, np.uint16)], {}, "0.tif' reaches 200, "),
    ],
    ids=["few used", "few levels", "floats of two scales", "integers of two scales"],
)
def test_what_is_odd_about_a_range_is_told(arrays, settings, message, series):
    _, decided = series(arrays, **settings)
    (line,) = decided.odd
    assert message in line
    assert line.startswith("domain A: ")


def test_a_file_of_another_type_has_its_own_depth_and_is_named(series, tmp_path):
    dataset, _ = series([spread(0, 4095, np.uint16)] * 4 + [spread(0, 255, np.uint8)])
    assert dataset.depths["A"] == Depth("uint16", 0, 4095)
    with noting("4.tif") as notes:
        picture = dataset.picture("A", tmp_path / "a" / "4.tif")
    assert picture.depth == Depth()
    assert float(picture.pixels.max()) == 1
    (note,) = notes
    assert note.text.startswith("it has 8 bits, unlike its domain (16 bits): its numbers from 0 to 255")


def test_numbers_outside_of_the_range_are_cut_off_and_told(series, tmp_path):
    dataset, _ = series([spread(-1000, 3000, np.int16)] * 2, range=(-500, 1000))
    with noting("0.tif") as notes:
        sample = as_float(dataset.read("A", tmp_path / "a" / "0.tif"))
    assert (float(sample.min()), float(sample.max())) == (0, 1)
    assert [note.text for note in notes] == ["numbers below -500 or above 1000 are clipped: it has -1000 to 3000"]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("on_broken", ["stop", "skip"])
def test_numbers_that_are_not_finite_are_a_broken_file(number, on_broken, series):
    bad = spread(0, 1, np.float32)
    bad[3, 3] = number
    dataset, _ = series([spread(0, 1, np.float32)] * 19 + [bad], on_broken=on_broken, test_share=0.01)
    if on_broken == "stop":
        with pytest.raises(InputError, match=r"19.tif' is not a readable picture: it holds numbers that are not"):
            read(dataset, "train")
    else:
        assert read(dataset, "train")["A"].length == 18
        (line,) = read(dataset, "train")["A"].skipped
        assert "19.tif" in line


def test_domains_may_differ_in_channels_and_range(series, tmp_path):
    apart = {"A": Apart(channels=1, range=(0, 100)), "B": Apart(channels=3)}
    dataset, _ = series([spread(0, 120, np.uint16)] * 2, channels=2, apart=apart)
    assert dataset.shapes == {"A": (1, 8, 8), "B": (3, 8, 8)}
    assert dataset.depths == {"A": Depth("uint16", 0, 100), "B": Depth()}
    with pytest.raises(InputError, match="no domain 'C'") as caught:
        series([], apart={"C": Apart()})
    assert caught.value.key == "C"


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_deep_samples_are_resized_as_shallow_ones_are(fit, tmp_path):
    array = RANDOM.integers(0, 256, (24, 40, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "eight.png")
    written(tmp_path / "deep.tif", array.astype(np.uint16) * 257)
    settings = {"a": tmp_path, "b": tmp_path, "size": 16, "fit": fit, "background": "red"}
    apart = {"A": Apart(range=(0, 65535), kind="uint16")}
    eight = Folders(**settings).read("A", tmp_path / "eight.png")
    deep = Folders(**settings, apart=apart).read("A", tmp_path / "deep.tif")
    assert (eight.dtype, deep.dtype) == (torch.uint8, torch.uint16)
    assert float((as_float(deep) - as_float(eight)).abs().max()) < 1.5 / 255


@pytest.mark.parametrize("form", ["png", "tif", "npy"])
@pytest.mark.parametrize("channels", [1, 3])
def test_deep_transparency_lies_over_the_background(form, channels, tmp_path):
    depth = Depth("uint16", 0, 4095)
    array = np.zeros((2, 2, 4), np.uint16)
    array[0, :, 0], array[0, :, 3] = 4095, 65535  # a red row, and one that is not seen
    path = tmp_path / f"clear.{form}"
    if form == "png":
        path.write_bytes(encoded(torch.from_numpy(array / 65535).permute(2, 0, 1), Depth("uint16", 0, 65535), ".png"))
    else:
        written(path, array)
    if form == "npy":  # whose channels are what they are
        with pytest.raises(InputError, match="has 4 channels"):
            open_picture(path, channels, "blue", depth)
        return
    pixels = open_picture(path, channels, "blue", depth).picture.pixels
    if channels == 3:
        assert pixels[:, :, 0].tolist() == [[1, 0], [0, 0], [0, 1]]
    else:
        assert pixels[0, :, 0].tolist() == pytest.approx([0.299, 0.114], abs=1e-3)


def test_plain_samples_are_those_of_before(tmp_path):
    picture = Image.fromarray(RANDOM.integers(0, 256, (24, 40, 3), dtype=np.uint8))
    picture.save(tmp_path / "x.png")
    dataset = Folders(a=tmp_path, b=tmp_path, size=16)
    expected = np.asarray(picture.resize((16, 16), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.array_equal(dataset.read("A", tmp_path / "x.png").numpy(), expected)
