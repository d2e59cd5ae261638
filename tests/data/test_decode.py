"""Decoding whatever files people bring: sound pixels are read rightly, broken ones are named, nothing is lost silently."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps, PngImagePlugin

from ganforge import InputError, noting
from ganforge_data.opened import open_picture
from ganforge_data.pictures import fit_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)
NARROW = (PIXELS >> 4).astype(np.uint16)  # 0 to 15, in 16 bits
DEEP = (PIXELS.astype(np.uint16) << 4) + NARROW  # 12 bits in 16


def opened(path, channels=3):
    """The numbers, [H, W] or [H, W, C], and what was noted."""
    with noting(path.name) as notes:
        numbers = open_picture(path, channels).picture.numbers.permute(1, 2, 0).numpy()
    return numbers.squeeze(2) if channels == 1 else numbers, [note.text for note in notes]


@pytest.mark.parametrize(
    "error",
    [
        *(struct.error("short"), ValueError("no such mode"), OSError("cut"), MemoryError(), zlib.error("bad")),
        *(
            SyntaxError("no PNG"),
            RuntimeError("odd"),
            OverflowError("large"),
            AttributeError("none"),
            UserWarning("hm"),
        ),
        *(ZeroDivisionError("zero"), AssertionError(), RecursionError("deep"), Exception("any")),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("step", ["load", "convert"])
def test_whatever_a_decoder_raises_the_picture_is_named_as_broken(error, step, tmp_path, monkeypatch):
    def fail(*args, **settings):
        raise error

    PICTURE.save(tmp_path / "odd.jpg")
    monkeypatch.setattr(Image.Image, "convert", fail)
    if step == "load":
        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(InputError, match=r"odd.jpg' is not a readable picture: .+"):
        open_picture(tmp_path / "odd.jpg", 1)


def test_a_picture_without_pixels_is_broken(tmp_path):
    np.save(tmp_path / "none.npy", np.zeros((0, 5, 3), np.uint8))
    with pytest.raises(InputError, match=r"none.npy' holds no pixels: it is 5x0"):
        open_picture(tmp_path / "none.npy", 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_tiff_whose_zero_is_white_is_no_negative(dtype, tmp_path):
    full = 1 if dtype is np.float32 else np.iinfo(dtype).max
    grey = (PIXELS[:, :, 0] / 255 * full).astype(dtype)
    tifffile.imwrite(tmp_path / "white.tif", grey, photometric="miniswhite")
    assert np.array_equal(opened(tmp_path / "white.tif", 1)[0], full - grey)


def with_exif(path, entries, tail=b""):
    """A JPEG with EXIF entries (tag, type, count, value)."""
    body = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries))
    body += b"".join(struct.pack("<HHI4s", *entry) for entry in entries) + struct.pack("<I", 0) + tail
    jpeg = io.BytesIO()
    PICTURE.save(jpeg, "JPEG")
    start = jpeg.getvalue()
    path.write_bytes(start[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + start[2:])
    return path


SIX = struct.pack("<HH", 6, 0)
ODD = {
    "negative rational": ((0x011A, 10, 1, struct.pack("<I", 38)), struct.pack("<iI", -1, 0xFFFFFFFF)),
    "zero rational": ((0x011A, 10, 1, struct.pack("<I", 38)), bytes(8)),
    "no number": ((0x011A, 11, 1, struct.pack("<f", float("nan"))), b""),
    "unknown type": ((0x011A, 99, 1, SIX), b""),
    "nowhere": ((0x8825, 4, 1, struct.pack("<I", 0xFFFFFFF0)), b""),
    "no pointer": ((0x8769, 2, 4, b"abc\0"), b""),
}


@pytest.mark.parametrize("kind", ODD)
def test_exif_numbers_of_any_kind_keep_no_picture_from_being_turned_upright(kind, tmp_path):
    entry, tail = ODD[kind]
    pixels, _ = opened(with_exif(tmp_path / "odd.jpg", [(0x0112, 3, 1, SIX), entry], tail))
    sound, _ = opened(with_exif(tmp_path / "sound.jpg", [(0x0112, 3, 1, SIX)]))
    assert sound.shape == (40, 24, 3)
    assert np.array_equal(pixels, sound)


@pytest.mark.parametrize(
    "orientation", [(2, 2, b"6\0\0\0"), (3, 0, SIX), (11, 1, struct.pack("<f", 6)), (3, 1, b"\x09\0\0\0")]
)
def test_an_orientation_that_is_no_number_of_one_to_eight_leaves_the_picture_as_it_is(orientation, tmp_path):
    assert opened(with_exif(tmp_path / "odd.jpg", [(0x0112, *orientation)]))[0].shape == (24, 40, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_pillows(orientation, tmp_path):
    exif, xmp = Image.Exif(), f"<tiff:Orientation>{orientation}</tiff:Orientation>"
    exif[0x0112] = orientation
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp)
    bulky = PngImagePlugin.PngInfo()
    bulky.add_itxt("XML:com.adobe.xmp", xmp)
    bulky.add_text("workflow", "x" * 2_000_000, zip=True)
    for name, settings in [
        *(("e.jpg", {"exif": exif}), ("e.png", {"exif": exif}), ("e.webp", {"exif": exif}), ("e.tif", {"exif": exif})),
        *(("x.png", {"pnginfo": text}), ("x.webp", {"xmp": xmp.encode()}), ("b.png", {"pnginfo": bulky})),
    ]:
        PICTURE.save(tmp_path / name, **settings)
        expected = ImageOps.exif_transpose(Image.open(tmp_path / ("x.png" if name == "b.png" else name)))
        assert np.array_equal(opened(tmp_path / name)[0], np.asarray(expected)), name
    sound = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "e.tif")))
    extra = [(0x0112, 3, 1, orientation, True)]
    tifffile.imwrite(tmp_path / "f.tif", (PIXELS / 255).astype(np.float32), photometric="rgb", extratags=extra)
    assert np.array_equal(opened(tmp_path / "f.tif")[0], (sound / 255).astype(np.float32))


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


LARGE = zlib.compress(b"x" * 3_000_000)
BOMB = zlib.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"workflow\0\0" + LARGE),
        chunk(b"iTXt", b"workflow\0\1\0\0\0" + LARGE),
        chunk(b"iTXt", b"workflow\0\0\0\0\0" + b"x" * 3_000_000),
        b"".join(chunk(b"tEXt", b"%d\0" % number + b"x" * 1_000_000) for number in range(4)),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + BOMB),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB),
        chunk(b"zTXt", b"workflow\0\7" + LARGE),
        chunk(b"tEXt", b"workflow\0text")[:-4] + b"oops",
        chunk(b"iCCP", b"profile\0\0" + LARGE),
        chunk(b"iCCP", b"profile\0\0" + BOMB),
        chunk(b"iCCP", b"profile\0\0broken"),
        chunk(b"iCCP", b""),
        chunk(b"pHYs", b"short"),
    ],
    ids=[
        "zTXt",
        "iTXt",
        "plain",
        "memory",
        "exif-bomb",
        "xmp-bomb",
        "method",
        "checksum",
        "iCCP",
        "iCCP-bomb",
        "broken-iCCP",
        "empty-iCCP",
        "pHYs",
    ],
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_what_a_png_holds_beside_its_pixels_refuses_no_picture(extra, place, tmp_path, monkeypatch):
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_MEMORY", 3_000_000)
    png = io.BytesIO()
    PICTURE.save(png, "PNG")
    start, cut = png.getvalue(), 33 if place == "before" else -12
    (tmp_path / "text.png").write_bytes(start[:cut] + extra + start[cut:])
    pixels, notes = opened(tmp_path / "text.png")
    assert np.array_equal(pixels, PIXELS)
    assert notes == []


def deep_png(path, values):
    """A PNG of 16 bits a channel, which Pillow does not write in colour."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


OPAQUE = np.full((24, 40, 1), 65535, np.uint16)
WRITERS = {
    "grey.png": lambda path, v: deep_png(path, v[:, :, :1]),
    "grey-alpha.png": lambda path, v: deep_png(path, np.concatenate([v[:, :, :1], OPAQUE], 2)),
    "rgb.png": deep_png,
    "rgba.png": lambda path, v: deep_png(path, np.concatenate([v, OPAQUE], 2)),
    "grey.tif": lambda path, v: tifffile.imwrite(path, v[:, :, 0]),
    "signed.tif": lambda path, v: tifffile.imwrite(path, (v[:, :, 0] >> 1).astype(np.int16)),
    "rgb.tif": lambda path, v: tifffile.imwrite(path, v, photometric="rgb"),
    "deflated.tif": lambda path, v: tifffile.imwrite(path, v, photometric="rgb", compression="deflate"),
    "planes.tif": lambda path, v: tifffile.imwrite(path, v.transpose(2, 0, 1), photometric="rgb", planarconfig=2),
    "rgb.ppm": lambda path, v: path.write_bytes(b"P6 40 24 65535\n" + v.astype(">u2").tobytes()),
    "grey.npy": lambda path, v: np.save(path, v[:, :, 0]),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("values", [DEEP, DEEP << 4, NARROW], ids=["12 bits", "16 bits", "4 bits"])
def test_all_sixteen_bits_are_kept(name, values, tmp_path):
    WRITERS[name](tmp_path / name, values)
    grey = "grey" in name or name == "signed.tif"
    expected = values[:, :, 0] if grey else values
    numbers, notes = opened(tmp_path / name, 1 if grey else 3)
    assert numbers.dtype == (np.int16 if name == "signed.tif" else np.uint16)
    assert np.array_equal(numbers, expected >> 1 if name == "signed.tif" else expected)
    assert [note.startswith(("it has 16 bits", "it has signed 16 bits")) for note in notes] == [True]


def test_a_grey_map_of_twelve_bits_is_not_stretched(tmp_path):
    (tmp_path / "grey.pgm").write_bytes(b"P5 40 24 4095\n" + DEEP[:, :, 0].astype(">u2").tobytes())
    assert np.array_equal(opened(tmp_path / "grey.pgm", 1)[0], DEEP[:, :, 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_deep_png_may_name_a_colour_that_is_transparent(channels, tmp_path):
    values = np.full((2, 2, channels), 1000, np.uint16)
    values[0, 0] = 7
    deep_png(tmp_path / "x.png", values)
    png = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(png[:33] + chunk(b"tRNS", struct.pack(">H", 7) * channels) + png[33:])
    assert opened(tmp_path / "x.png", 1)[0].tolist() == [[65535, 1000], [1000, 1000]]
    assert opened(tmp_path / "x.png", 4)[0][0].tolist() == [[7, 7, 7, 0], [1000, 1000, 1000, 65535]]


def test_the_order_of_bytes_does_not_matter(tmp_path):
    array = DEEP[:, :, 0].astype(">u2")
    np.save(tmp_path / "x.npy", array)
    assert np.array_equal(opened(tmp_path / "x.npy", 1)[0], DEEP[:, :, 0])
    tifffile.imwrite(tmp_path / "x.tif", array, byteorder=">")
    assert np.array_equal(opened(tmp_path / "x.tif", 1)[0], DEEP[:, :, 0])


def test_a_drawing_of_eight_bits_is_not_told_of(tmp_path):
    Image.fromarray((PIXELS >> 7) * np.uint8(255)).save(tmp_path / "drawing.png")
    Image.new("L", (9, 9)).save(tmp_path / "black.jpg")
    assert opened(tmp_path / "drawing.png")[1] == opened(tmp_path / "black.jpg")[1] == []


KNOWN = {"float16": "float32", "float64": "float32", "uint32": "int32", "int64": "int32", "int8": "int16"}


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "int32", "uint32", "int64", "uint16", "int16"]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_colour_tiff_of_any_numbers_is_read(dtype, channels, tmp_path):
    values = (PIXELS >> 1).astype(dtype)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="rgb")
    numbers, _ = opened(tmp_path / "x.tif", channels)
    assert numbers.dtype == KNOWN.get(dtype, dtype)
    grey = np.asarray(Image.fromarray(PIXELS >> 1).convert("L"))
    assert np.abs(numbers - (values.astype(float) if channels == 3 else grey)).max() <= (0 if channels == 3 else 0.51)


def test_whole_numbers_that_need_more_than_32_bits_become_floats(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[0, 2**40]]))
    numbers, _ = opened(tmp_path / "x.npy", 1)
    assert (numbers.dtype, numbers.tolist()) == (np.float32, [[0, 2.0**40]])


def test_a_tiff_of_another_number_of_channels_names_it(tmp_path):
    tifffile.imwrite(tmp_path / "five.tif", np.zeros((8, 8, 5), np.uint8), photometric="minisblack", planarconfig=1)
    with pytest.raises(InputError, match=r"five.tif' has 5 channels; set dataset.channels = 5") as caught:
        open_picture(tmp_path / "five.tif")
    assert caught.value.key == "channels"


@pytest.mark.parametrize("kind", ["float32", "uint16"])
@pytest.mark.parametrize("planes", [1, 2])
def test_a_tiff_that_is_cut_off_is_broken(kind, planes, tmp_path):
    values = PIXELS.astype(kind) if planes == 1 else PIXELS.astype(kind).transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="rgb", planarconfig=planes)
    (tmp_path / "x.tif").write_bytes((tmp_path / "x.tif").read_bytes()[:-20])
    with pytest.raises(InputError, match=r"x.tif' is not a readable picture"):
        open_picture(tmp_path / "x.tif")


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(10000, 1), (1, 10000), (3, 7000), (7000, 2)])
@pytest.mark.parametrize("target", [(64, 64), (16, 128), (1, 64), (64, 1)])
def test_an_extreme_aspect_ratio_leaves_something_and_is_told_of(fit, size, target):
    with noting("x.png") as notes:
        fitted = fit_picture(Image.new("L", size, 90), target, fit, "white")
    assert fitted.size == (target[1], target[0])
    assert (np.asarray(fitted) == 90).any()
    shrink = min(target[1] / size[0], target[0] / size[1])
    assert [note.text.startswith(f"it is {size[0]}x{size[1]}: only ") for note in notes] == [True] * (
        min(size) * shrink < 1
    )


def test_a_drawing_in_sixteen_bits_a_pixel_is_not_taken_for_sixteen_bits_a_channel(tmp_path):
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    header = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 16, 3, 128, 0, 0, 0, 0) + masks
    (tmp_path / "x.bmp").write_bytes(struct.pack("<2sIHHI", b"BM", 194, 0, 0, 66) + header + b"\xff" * 128)
    pixels, notes = opened(tmp_path / "x.bmp")
    assert pixels.min() == 255
    assert notes == []


def test_of_several_pages_the_first_is_read_and_that_is_told(tmp_path):
    pages = np.arange(5 * 6 * 7, dtype=np.uint16).reshape(5, 6, 7)
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    with noting("stack.tif") as notes:
        (band,) = open_picture(tmp_path / "stack.tif", 1).picture.numbers
    assert band.tolist() == pages[0].tolist()
    assert "it has 5 pages; only the first is read" in [note.text for note in notes]


def fits(path, array, *cards):
    """Write a FITS file of one picture."""
    bits = {"u1": 8, "i2": 16, "i4": 32, "f4": -32}[array.dtype.str[1:]]
    lines = ["SIMPLE  =                    T", f"BITPIX  = {bits:20}", f"NAXIS   = {array.ndim:20}"]
    lines += [f"NAXIS{axis + 1}  = {length:20}" for axis, length in enumerate(array.shape[::-1])]
    header = "".join(f"{line:80}" for line in [*lines, *cards, "END"])
    pixels = array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(header.encode().ljust(2880) + pixels.ljust(-(-len(pixels) // 2880) * 2880, b"\0"))


@pytest.mark.parametrize("kind", ["int16", "int32", "float32"])
def test_numbers_of_a_fits_file_keep_their_sign(kind, tmp_path):
    array = np.array([[-5, 3000, 7], [0, -9, 32767]], kind)
    fits(tmp_path / "x.fits", array)
    numbers, _ = opened(tmp_path / "x.fits", 1)
    assert numbers.dtype == kind
    assert numbers.tolist() == array[::-1].tolist()  # the first row is the lowest


@pytest.mark.parametrize("card", ["BZERO   =                32768", "BSCALE  =                  0.5", "BLANK   = -1"])
def test_scaled_numbers_of_a_fits_file_are_refused(card, tmp_path):
    fits(tmp_path / "x.fits", np.zeros((2, 3), np.int16), card)
    with pytest.raises(InputError, match=rf"{card.split()[0]}, which Pillow ignores; convert it to TIFF or .npy"):
        open_picture(tmp_path / "x.fits", 1)


def test_several_planes_of_a_fits_file_are_refused(tmp_path):
    fits(tmp_path / "x.fits", np.zeros((3, 4, 5), np.int16))
    with pytest.raises(InputError, match="NAXIS3, which Pillow ignores"):
        open_picture(tmp_path / "x.fits", 3)


def test_bits_that_are_dropped_are_told_of(tmp_path):
    PICTURE.save(tmp_path / "deep.sgi", bpc=2)
    assert opened(tmp_path / "deep.sgi")[1] == ["only the upper 8 of its 16 bits are read; convert it to PNG or TIFF"]
    PICTURE.save(tmp_path / "plain.jp2")
    plain = (tmp_path / "plain.jp2").read_bytes()
    assert opened(tmp_path / "plain.jp2")[1] == []
    place = plain.index(b"\xff\x4f\xff\x51") + 42  # the bits of the first channel, less one
    assert plain[place] == 7
    (tmp_path / "deep.jp2").write_bytes(plain[:place] + b"\x0b" + plain[place + 1 :])
    with noting("deep.jp2") as notes, contextlib.suppress(InputError):  # its other headers do not agree
        open_picture(tmp_path / "deep.jp2")
    assert "only the upper 8 of its 12 bits are read; convert it to PNG or TIFF" in [note.text for note in notes]


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_of_an_animation_the_first_frame_is_read_and_that_is_told(suffix, tmp_path):
    frames = [Image.new("RGB", (9, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / f"x.{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    pixels, notes = opened(tmp_path / f"x.{suffix}")
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert notes == ["it is animated; only the first frame is read"]
    frames[0].save(tmp_path / f"still.{suffix}", lossless=True)
    assert opened(tmp_path / f"still.{suffix}")[1] == []
