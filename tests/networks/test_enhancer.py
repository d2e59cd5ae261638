"""pix2pixHD's coarse-to-fine generator against its published structure, tensor for tensor."""

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from ganforge_networks.resnet import Generator
from ganforge_pix2pixhd.enhancer import LocalEnhancer


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        conv = [nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3)) for _ in range(2)]
        self.a, self.b, self.norm = *conv, nn.InstanceNorm2d(channels)

    def forward(self, x):
        return x + self.norm(self.b(torch.relu(self.norm(self.a(x)))))


def c7(channels_in, channels_out):
    return [nn.ReflectionPad2d(3), nn.Conv2d(channels_in, channels_out, 7), nn.InstanceNorm2d(channels_out), nn.ReLU()]


def down(channels):
    return [nn.Conv2d(channels, 2 * channels, 3, 2, 1), nn.InstanceNorm2d(2 * channels), nn.ReLU()]


def up(channels):
    return [nn.ConvTranspose2d(2 * channels, channels, 3, 2, 1, 1), nn.InstanceNorm2d(channels), nn.ReLU()]


class Reference(nn.Module):
    """Figure 2: G2 with three residual blocks around G1, whose last layer is gone."""

    def __init__(self, width, blocks):
        super().__init__()
        g1 = [*c7(3, 2 * width), *down(2 * width), *down(4 * width), *(Block(8 * width) for _ in range(blocks))]
        self.g1 = nn.Sequential(*g1, *up(4 * width), *up(2 * width))
        self.front = nn.Sequential(*c7(3, width), *down(width))
        self.back = nn.Sequential(*(Block(2 * width) for _ in range(3)), *up(width))
        self.last = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())

    def forward(self, x):
        half = avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return self.last(self.back(self.front(x) + self.g1(half)))


def test_one_enhancer_is_the_published_one():
    mine = LocalEnhancer((3, 32, 48), (3, 32, 48), width=4, halvings=2, blocks=2)
    published = Reference(4, 2)
    state = [value for _, value in published.named_parameters()]
    assert [value.shape for value in mine.parameters()] == [value.shape for value in state]
    for own, value in zip(mine.parameters(), state, strict=True):
        own.data.copy_(value)
    pictures = torch.rand(2, 3, 32, 48)
    torch.testing.assert_close(mine(pictures), (published(2 * pictures - 1) + 1) / 2, rtol=0, atol=1e-6)


def test_the_published_sizes():
    """What the authors' code counts without instance maps and features, from three channels to three."""
    with torch.device("meta"):
        count = sum(p.numel() for p in Generator((3, 32, 32), (3, 32, 32), halvings=4, blocks=9).parameters())
        enhanced = sum(p.numel() for p in LocalEnhancer((3, 64, 64), (3, 64, 64)).parameters())
    assert f"{count / 1e6:.2f}" == "182.44"
    assert enhanced > count


def test_two_enhancers_go_through():
    made = LocalEnhancer((1, 32, 32), (2, 32, 32), width=2, enhancers=2, halvings=1, blocks=1, local_blocks=1)
    assert made(torch.rand(1, 1, 32, 32)).shape == (1, 2, 32, 32)


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ((3, 80, 64), (3, 80, 64), "multiples of 32, .* got 80x64"),
        ((1, 32, 64), (1, 32, 64), "64 or more .* got 32x64"),
        ((3, 64, 64), (3, 32, 32), "they differ"),
        ((2,), (2,), "got samples"),
    ],
)
def test_what_does_not_fit_is_refused(source, target, says):
    with pytest.raises(ValueError, match=says):
        LocalEnhancer(source, target)
