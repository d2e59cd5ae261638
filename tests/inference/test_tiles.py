"""Tiles put together are the whole picture, for every kind of layer; norms see the picture, not the tile."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from ganforge import Depth, InputError, Picture, Translator
from ganforge_inference.sizes import padded, reflected
from ganforge_inference.tiles import tiler as tiling
from ganforge_inference.tiles.layout import parts_of
from ganforge_inference.tiles.memory import bytes_per_pixel
from ganforge_inference.tiles.tiler import Tiler
from ganforge_networks import conv, munit, resnet, unet
from tests.conftest import draw_pairs, run_command

PIXELS = Depth("float32", 0.0, 1.0)
CPU = torch.device("cpu")
SHAPE = (3, 64, 64)


@pytest.fixture(scope="module")
def shared_munit(tmp_path_factory):
    """Untrained networks of MUNIT, small ones."""
    place = tmp_path_factory.mktemp("munit")
    sets = [
        "dataset.size=16",
        *(f"evaluations.{name}=false" for name in ("diversity", "pairs", "reconstruction", "grid")),
        "train.steps=1",
        "train.batch=1",
        "record.sample_every=0",
        "content_encoder.width=2",
    ]
    sets += ["content_encoder.blocks=1", "decoder.blocks=1", "decoder.hidden=4", "style_encoder.width=2"]
    sets += [
        "discriminator.width=2",
        "discriminator.scales=1",
        "discriminator.layers=2",
        f"dataset.root={draw_pairs(place / 'pairs')}",
    ]
    words = [word for text in sets for word in ("--set", text)]
    assert run_command("run", "munit_edges2shoes", *words, "--out", place) == 0
    return place / "munit_edges2shoes" / "0001"


def drawn(height, width, channels=3):
    """A picture that is not alike everywhere."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    noise = torch.rand(height, width, generator=torch.Generator().manual_seed(0))
    parts = [x * y, (40 * x).sin() / 2 + 0.5, (y > 0.5).float() * noise]
    return torch.stack([parts[place % 3] for place in range(channels)])


def lively(network):
    """Give a network weights with which what goes in matters."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, a=0.2)
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def tiler_of(network, *, multiple=None, tile=None, overlap=None, channels=(3, 3)):
    def make(pictures):
        with torch.no_grad():
            return network(pictures)

    multiple, least = multiple or network.multiple, getattr(network, "least", 1)
    return Tiler(make, [network], channels, multiple=multiple, least=least, device=CPU, tile=tile, overlap=overlap)


def compared(tiler, height, width):
    """Translate a picture by tiles and whole; return the largest difference."""
    picture = drawn(height, width)
    grid = tiler.grid_for((height, width))
    assert len(grid) > 1
    made = tiler.translate(Picture(picture, PIXELS), grid, PIXELS, lambda *_: None)
    whole = tiler.make(padded(picture[None], tiler.multiple, tiler.least))[0, :, :height, :width].clamp(0, 1)
    return float((made.numbers - whole).abs().max())


NETWORKS = {
    "conv": lambda: conv.Generator(SHAPE, SHAPE, width=4),
    "resnet": lambda: resnet.Generator(SHAPE, SHAPE, width=4, blocks=2, norm="batch"),
    "antialiased": lambda: resnet.Generator(
        SHAPE, SHAPE, width=4, blocks=1, norm="none", down="antialiased", up="antialiased"
    ),
    "resize": lambda: resnet.Generator(SHAPE, SHAPE, width=4, blocks=1, halvings=1, norm="none", up="resize"),
    "unet": lambda: unet.Generator(SHAPE, SHAPE, width=4, levels=4, dropout=0.0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_equal_the_whole_picture_where_they_share_what_networks_look_at(name):
    tiler = tiler_of(lively(NETWORKS[name]()), tile=1)
    assert tiler.reach > 0
    tiler.tile = tiler._smallest(tiler.reach) + 2 * tiler.multiple
    for overlap in (2 * tiler.reach, 2 * tiler.reach + tiler.multiple):
        tiler.overlap = overlap
        assert compared(tiler, tiler.tile + 37, 2 * tiler.tile + 5) < 1e-5
    assert tiler.check()[1:] == []


@pytest.mark.parametrize("name", ["conv", "resnet", "unet"])
def test_less_than_networks_look_at_makes_a_difference_and_is_told(name):
    tiler = tiler_of(lively(NETWORKS[name]()), tile=1)
    tiler.tile, tiler.overlap = 2 * tiler.reach + 4 * tiler.multiple, 0
    assert f"--overlap {2 * tiler.reach} avoids this" in tiler.check()[-1]
    assert compared(tiler, 2 * tiler.tile, 2 * tiler.tile) > 1e-4


LAYERS = {
    "3x3": (nn.Conv2d(3, 3, 3, padding=1), 1, 1),
    "7x7, reflected": (nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, 3, 7)), 1, 3),
    "dilated": (nn.Conv2d(3, 3, 3, padding=4, dilation=4), 1, 4),
    "1x1 and leaky ReLU": (nn.Sequential(nn.Conv2d(3, 3, 1), nn.LeakyReLU(0.2)), 1, 0),
    "two of 3x3 and ReLU": (nn.Sequential(nn.Conv2d(3, 3, 3, 1, 1), nn.ReLU(), nn.Conv2d(3, 3, 3, 1, 1)), 1, 2),
    "largest of 3x3": (nn.MaxPool2d(3, 1, 1), 1, 1),
    "mean of 5x5": (nn.AvgPool2d(5, 1, 2), 1, 2),
    "halved and repeated": (nn.Sequential(nn.Conv2d(3, 3, 2, 2), nn.Upsample(scale_factor=2)), 2, 0),
    "halved by 4x4, doubled by 4x4": (nn.Sequential(nn.Conv2d(3, 3, 4, 2, 1), nn.ConvTranspose2d(3, 3, 4, 2, 1)), 2, 3),
    "largest of 2x2, bilinear": (nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear")), 2, 1),
    "instance norm": (nn.Sequential(nn.Conv2d(3, 3, 3, 1, 1), nn.InstanceNorm2d(3), nn.Tanh()), 1, 1),
    "weights of zero": (nn.Conv2d(3, 3, 3, padding=1).requires_grad_(False), 1, 1),
}


@pytest.mark.parametrize("name", LAYERS)
def test_how_far_layers_look_is_found_exactly(name):
    layer, multiple, expected = LAYERS[name]
    if name == "weights of zero":
        layer.weight.zero_()
    layer.least = 4
    reach = tiler_of(layer.eval(), multiple=multiple).reach
    assert reach == -(-expected // multiple) * multiple


def test_a_network_that_looks_at_all_of_the_picture_cannot_be_cut(monkeypatch):
    class Mean(nn.Module):
        multiple = 1

        def forward(self, pictures):
            return pictures - pictures.mean((2, 3), keepdim=True)

    monkeypatch.setattr("ganforge_inference.tiles.reach.FURTHEST", 64)
    with pytest.raises(
        InputError, match="every output pixel depends on the whole picture; it cannot be cut into tiles"
    ):
        tiler_of(Mean(), tile=64).check()
    monkeypatch.setattr(tiling, "free_on", lambda device: 1)
    assert tiler_of(Mean()).grid_for((500, 500)) is None


@pytest.mark.parametrize(
    ("tile", "overlap", "message"),
    [
        (0, None, "--tile: expected 1 or more, got 0"),
        (64, -1, "--overlap: expected 0 or more, got -1"),
        (64, 64, "--overlap: expected less than the tile's 64, got 64"),
        (64, None, "--tile: output pixels depend on 32 pixels to each side; choose 80 or more"),
    ],
)
def test_tiles_that_cannot_be_are_refused(tile, overlap, message):
    with pytest.raises(InputError) as caught:
        tiler_of(NETWORKS["conv"]().eval(), tile=tile, overlap=overlap).check()
    assert str(caught.value) == message


def test_a_tile_that_is_no_multiple_is_made_larger_and_told():
    tiler = tiler_of(NETWORKS["conv"]().eval(), tile=100)
    assert tiler.check() == [
        "tiles are 112 pixels wide, the next multiple of 16 that the networks take",
        "tiles share 48 pixels with their neighbours, fewer than the networks need: where they meet, the result "
        "differs from that of the whole picture; --overlap 64 avoids this",
    ]


NORMED = {
    "resnet": lambda: resnet.Generator(SHAPE, SHAPE, width=4, blocks=2),
    "group": lambda: resnet.Generator(SHAPE, SHAPE, width=4, blocks=1, norm="group"),
    "unet": lambda: unet.Generator(SHAPE, SHAPE, width=4, levels=4, norm="instance", dropout=0.0),
    "affine": lambda: Wrapped(nn.InstanceNorm2d(4, affine=True)),
    "batch statistics": lambda: Wrapped(nn.BatchNorm2d(4, track_running_stats=False)),
    "layer": lambda: Wrapped(munit.LayerNorm(4)),
}


class Wrapped(nn.Module):
    """A norm, used twice, between convolutions."""

    multiple = 2

    def __init__(self, norm):
        super().__init__()
        self.first, self.second, self.last = (
            nn.Conv2d(3, 4, 4, 2, 1),
            nn.Conv2d(4, 4, 3, 1, 1),
            nn.Conv2d(4, 3, 3, 1, 1),
        )
        self.norm = norm
        for parameter in norm.parameters():
            nn.init.uniform_(parameter, 0.5, 2)

    def forward(self, pictures):
        hidden = self.norm(self.second(self.norm(self.first(pictures)).relu()))
        return self.last(nn.functional.interpolate(hidden, scale_factor=2)).sigmoid()


def tiled(name, monkeypatch, free):
    tiler = tiler_of(lively(NORMED[name]()), tile=1)
    tiler.tile = max(160, tiler._smallest(tiler.reach) + 2 * tiler.multiple)
    tiler.overlap = 2 * tiler.reach
    area = tiler.tile**2 * tiler.bytes_per_pixel / tiling.SHARE
    monkeypatch.setattr(tiling, "free_on", lambda device: free * area)
    return tiler


@pytest.mark.parametrize("name", NORMED)
def test_where_memory_holds_all_tiles_at_once_norms_see_the_whole_picture(name, monkeypatch):
    tiler = tiled(name, monkeypatch, free=1e6)
    assert compared(tiler, 2 * tiler.tile + 37, 2 * tiler.tile + 5) < 1e-4


@pytest.mark.parametrize("name", NORMED)
def test_where_it_holds_some_tiles_are_alike_and_near_the_whole_picture(name, monkeypatch):
    tiler = tiled(name, monkeypatch, free=8)
    height, width = 2 * tiler.tile + 37, 3 * tiler.tile
    measured = compared(tiler, height, width)
    monkeypatch.setattr(tiling.Pooled, "of", classmethod(lambda cls, networks: cls([])))
    assert measured < compared(tiler, height, width) / 2  # each tile by itself


def test_networks_are_left_as_they_were():
    network = lively(NORMED["resnet"]())
    before = {name: dict(module.__dict__) for name, module in network.named_modules()}
    tiler = tiler_of(network, tile=128, overlap=0)
    with pytest.raises(ZeroDivisionError):
        tiler.translate(Picture(drawn(200, 200), PIXELS), tiler.grid_for((200, 200)), PIXELS, lambda *_: 1 / 0)
    assert tiler.reach > 0
    for name, module in network.named_modules():
        assert module.__dict__.keys() == before[name].keys()


@pytest.mark.parametrize(
    ("side", "tile", "overlap", "reach", "multiple"),
    [(100, 100, 0, 0, 1), (101, 100, 10, 4, 1), (1008, 64, 32, 16, 16), (96, 64, 63, 0, 1), (40, 7, 3, 2, 1)],
)
def test_weights_sum_to_one_everywhere_and_each_pixel_has_one_owner(side, tile, overlap, reach, multiple):
    parts = parts_of(side, tile, overlap, reach, multiple)
    total, owners = torch.zeros(side), torch.zeros(side)
    for part in parts:
        assert part.start % multiple == 0
        assert (part.weights > 0).all()
        total[part.first : part.first + len(part.weights)] += part.weights
        owners[slice(*part.owned)] += 1
        if overlap >= 2 * reach:
            assert part.start == 0 or part.first >= part.start + reach
            assert part.stop == side or part.first + len(part.weights) <= part.stop - reach
    assert torch.allclose(total, torch.ones(side))
    assert (owners == 1).all()
    assert parts[-1].stop == side
    assert all(right.start <= left.stop - overlap for left, right in itertools.pairwise(parts))


def test_pictures_are_continued_by_reflection_as_numpy_does():
    for side, length in itertools.product((1, 2, 3, 7), (7, 8, 30)):
        expected = np.pad(np.arange(side), (0, length - side), "reflect" if side > 1 else "edge")
        assert reflected(side, 0, length).tolist() == expected.tolist()
    column = torch.arange(3, dtype=torch.uint8).reshape(1, 1, 3, 1)
    assert padded(column, 4)[0, 0].tolist() == [[0] * 4, [1] * 4, [2] * 4, [1] * 4]
    row = torch.arange(2.0).reshape(1, 1, 1, 2)
    assert padded(row, 1, least=3)[0, 0].tolist() == [[0, 1, 0]] * 3


def test_tiles_are_chosen_where_memory_is_short(monkeypatch):
    tiler = tiler_of(NETWORKS["conv"]().eval())
    assert tiler.grid_for((3000, 3000)) is None
    need = 3000**2 * tiler.bytes_per_pixel / tiling.SHARE
    monkeypatch.setattr(tiling, "free_on", lambda device: need / 16)
    grid = tiler.grid_for((3000, 3000))
    assert grid.area == 752**2  # a sixteenth of it
    assert grid.rows[0].stop - grid.rows[1].start >= 2 * tiler.reach
    monkeypatch.setattr(tiling, "free_on", lambda device: 1)
    assert tiler.grid_for((3000, 3000)).area == 128**2  # which the networks need whatever memory there is


@pytest.mark.slow
def test_pictures_of_a_style_are_cut_into_tiles_too(shared_munit):
    whole, cut = (Translator.load(shared_munit, "AB", device="cpu", seed=3, tile=tile) for tile in (None, 160))
    numbers = (255 * drawn(200, 300)).byte()
    assert cut.grid_for(Picture(numbers)) is not None
    one, other = whole(numbers).int(), cut(numbers).int()
    assert (one - other).abs().max() <= 1
    assert (one - Translator.load(shared_munit, "AB", device="cpu", seed=4)(numbers).int()).abs().max() > 1


def test_memory_is_counted_while_results_are_there():
    network = nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(inplace=True), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 1, 1))
    with torch.no_grad():
        found = bytes_per_pixel(network, [network], torch.zeros(1, 1, 16, 16))
    assert found == 2 * 4 * (1 + 8 + 4 + 1)  # floats: the picture, the first two convolutions, the translation; twice
