"""A trained direction as a function of pictures: the same kind comes out, at any size, and nothing leaks."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve
from PIL import Image

import ganforge
from ganforge import Depth, InputError, Picture, PictureDataset
from tests.conftest import as_trained


class Invert(torch.nn.Module):
    """White becomes black, whatever the size; so what comes out is known."""

    multiple = 1

    def forward(self, pictures):
        return 1 - pictures


@pytest.fixture(scope="module")
def translate(shared_run):
    return ganforge.Translator.load(shared_run, "BA", device="cpu")  # the data set thickens what it reads of A


@pytest.fixture
def invert(shared_run, plugins):
    """A translator whose network inverts pictures."""
    plan = ganforge.find_saved(shared_run, plugins).outline.plan

    def call(dataset=None, **options):
        trained = as_trained(plan, {"G_BA": Invert()}, 1)
        return ganforge.Translator(evolve(trained, dataset=dataset or trained.dataset), "BA", **options)

    return call


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_each_kind_comes_back_as_itself_with_the_same_pixels(translate, tmp_path):
    pixels = noise(20, 31, 3)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png")
    made = translate(tmp_path / "a.png")
    assert (made.size, made.mode) == ((31, 20), "RGB")
    expected = np.array(made)
    assert (np.array(translate(str(tmp_path / "a.png"))) == expected).all()
    assert (np.array(translate(image)) == expected).all()
    assert (translate(pixels) == expected).all()
    assert translate(pixels).dtype == np.uint8
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    assert torch.equal(translate(tensor), torch.from_numpy(expected).permute(2, 0, 1))
    floats = translate(tensor.float() / 255)
    assert floats.dtype == torch.float32
    assert torch.equal((floats * 255).round().byte(), translate(tensor))
    assert translate((pixels / 255).astype(np.float16)).dtype == np.float16


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 1), (16, 16), (17, 33), (45, 8)])
def test_a_batch_of_any_size_gives_what_each_picture_gives(size, translate):
    pixels = noise(3, *size, 3)
    made = translate(pixels)
    assert made.shape == (3, *size, 3)
    for one, alone in zip(made, pixels, strict=True):
        assert np.abs(one.astype(int) - translate(alone)).max() <= 1
    assert translate(pixels[:0]).shape == (0, *size, 3)


def test_what_is_given_is_left_alone(translate):
    pixels, floats = noise(9, 9, 3), torch.rand(3, 9, 9, requires_grad=True)
    before, same = pixels.copy(), floats.detach().clone()
    pixels.setflags(write=False)  # as of a picture that PIL holds
    translate(pixels)
    assert not translate(floats).requires_grad
    assert (pixels == before).all()
    assert torch.equal(floats, same)


def test_random_state_and_modes_do_not_leak(translate):
    torch.manual_seed(1)
    state, modes = torch.get_rng_state(), [m.training for m in translate.trained.networks["G_BA"].modules()]
    translate(noise(16, 16, 3))
    assert torch.equal(state, torch.get_rng_state())
    assert modes == [m.training for m in translate.trained.networks["G_BA"].modules()]
    assert torch.is_grad_enabled()


def test_threads_take_turns_and_get_what_they_would_get_alone(translate):
    pictures = [noise(16 + place, 20, 3, seed=place) for place in range(8)]
    expected = [translate(picture) for picture in pictures]
    made = [None] * 8

    def work(place):
        made[place] = translate(pictures[place])

    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, wanted in zip(made, expected, strict=True):
        assert (one == wanted).all()


def test_pictures_are_resized_on_request(invert):
    made = invert(size=(10, 12))(np.full((40, 30, 3), 55, np.uint8))
    assert made.shape == (10, 12, 3)
    assert (made == 200).all()
    assert invert(size="training")(np.full((40, 30, 3), 55, np.uint8)).shape == (16, 32, 3)
    assert invert(size="training")(Image.new("RGB", (30, 40))).size == (32, 16)


def test_transparency_and_grey_become_what_they_become_in_files(invert):
    made = np.array(invert()(Image.new("RGBA", (2, 3), (0, 0, 0, 0))))
    assert made.shape == (3, 2, 3)
    assert (made == 0).all()  # the white background, inverted
    assert invert()(Image.new("L", (2, 3), 5)).getpixel((0, 0)) == (250, 250, 250)
    assert invert()(Image.new("1", (2, 3), 1)).getpixel((0, 0)) == (0, 0, 0)
    palette = Image.new("P", (2, 3), 0)
    palette.putpalette([10, 20, 30])
    assert invert()(palette).getpixel((1, 2)) == (245, 235, 225)


class Deep(PictureDataset):
    """Grey pictures of 16 bits, to become floats from 1 to -1."""

    shapes = property(lambda _: {"B": (1, 16, 32), "A": (1, 16, 32)})
    depths = property(lambda _: {"B": Depth("uint16", 100, 4100), "A": Depth("float32", -1, 1)})

    def open(self, split):
        raise NotImplementedError

    def read(self, domain, path):
        raise NotImplementedError

    def picture(self, domain, path):
        return Picture(torch.from_numpy(np.load(path)).movedim(-1, 0), self.depths[domain])


def test_premultiplied_grey_is_laid_over_the_background(invert):
    half = Image.new("LA", (3, 2), (100, 128)).convert("La")
    grey = 255 * 127 / 255 + 100 * 128 / 255
    made = np.array(invert()(half))
    assert np.abs(made - (255 - grey)).max() <= 1


def test_a_picture_of_32_bits_that_holds_16_is_one_of_16(invert):
    """Older versions of Pillow open a deep PNG so."""
    numbers = np.array([[100, 2100, 4100]])
    made = invert(Deep())(Image.fromarray(numbers.astype(np.int32)))
    np.testing.assert_allclose(np.asarray(made), [[1, 0, -1]], atol=1e-6)


def test_numbers_mean_what_they_mean_in_files_of_the_two_domains(invert):
    translator = invert(Deep())
    numbers = np.array([[100, 2100, 4100]], np.uint16)
    made = translator(numbers)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, [[1, 0, -1]], atol=1e-6)
    np.testing.assert_allclose(translator(numbers[None, :, :, None]), made[None, :, :, None])
    np.testing.assert_allclose(translator(torch.from_numpy(numbers)[None]), made[None])
    assert translator(torch.tensor([0.0, 0.25, 1.0])[:, None, None].movedim(0, 2)).flatten().tolist() == [
        1.0,
        0.75,
        0.0,
    ]
    with pytest.raises(InputError, match=r"expected floats in \[0, 1\] or numbers of uint16, as .* B; got uint8"):
        translator(noise(2, 2))


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((2, 2, 4), np.uint8), "expected 3 channels, got 4"),
        (np.zeros((2, 2), np.uint8), "expected 3 channels, got 1"),
        (np.zeros(5, np.uint8), r"expected an array \[H, W\], \[H, W, C\] or \[N, H, W, C\], got \[5\]"),
        (np.zeros((0, 2, 3), np.uint8), r"expected a tensor \[C, H, W\] or \[N, C, H, W\]"),
        (torch.zeros(3, 2), r"expected a tensor \[C, H, W\] or \[N, C, H, W\], got \[3, 2\]"),
        (np.zeros((2, 2, 3), np.int64), r"expected floats in \[0, 1\] or numbers of uint8, .*; got int64"),
        (np.zeros((2, 2, 3), bool), "got bool"),
        (np.zeros((2, 2, 3), complex), "got complex128"),
        (np.array([["a"]]), "got <U1"),
        (np.full((2, 2, 3), np.nan), "some are not finite"),
        (np.full((2, 2, 3), np.inf, np.float32), "some are not finite"),
        (np.full((2, 2, 3), 255.0), r"floats must lie in \[0, 1\], got 255 to 255"),
        ([[1, 2]], "a translator takes a path, a PIL picture, a NumPy array or a tensor, not list"),
        ("absent.png", "no picture 'absent.png'"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_line(picture, message, invert):
    with pytest.raises(InputError, match=message) as caught:
        invert()(picture)
    assert "\n" not in str(caught.value)


def test_a_network_of_one_size_says_so(invert, monkeypatch):
    monkeypatch.setattr(Invert, "multiple", None)
    assert invert().size == "training"
    assert invert(size=(16, 32)).size == "training"
    with pytest.raises(InputError, match="the networks of direction BA translate 16x32 only: choose --size training"):
        invert(size=(32, 32))


def test_neither_the_command_line_nor_figures_are_imported(shared_run):
    code = (
        "import sys, ganforge, numpy\n"
        f"translate = ganforge.Translator.load({str(shared_run)!r}, 'AB', device='cpu')\n"
        "assert translate(numpy.zeros((5, 6, 3), 'uint8')).shape == (5, 6, 3)\n"
        "print(sorted({'typer', 'rich', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_a_direction_must_be_said_where_there_are_several(shared_run):
    with pytest.raises(InputError, match="add --direction with one of AB, BA"):
        ganforge.Translator.load(shared_run)
    with pytest.raises(InputError, match="no run at"):
        ganforge.Translator.load(Path("nowhere"))
