"""SinCUT's networks: weights of the public layers, in their order, give the same pictures; written from their code's facts."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from ganforge.testing import components_of
from tests.networks.test_published import assert_same, count

MADE = {(c.kind, c.name): c.factory for c in components_of("ganforge_networks")}
generator, discriminator = MADE["generator", "stylegan2"], MADE["discriminator", "stylegan2"]


class Blur(nn.Module):
    def __init__(self, pad, gain=1):
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0])
        self.register_buffer("kernel", line[None] * line[:, None] / 64 * gain)
        self.pad = pad

    def forward(self, x):
        n, c, h, w = x.shape
        padded = functional.pad(x, [self.pad] * 4).reshape(n * c, 1, h + 2 * self.pad, w + 2 * self.pad)
        made = functional.conv2d(padded, self.kernel.flip(0, 1)[None, None])
        return made.view(n, c, *made.shape[2:])


class EqualConv2d(nn.Module):
    def __init__(self, inputs, outputs, size, stride=1, padding=0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.stride, self.padding = stride, padding

    def forward(self, x):
        scale = 1 / math.sqrt(self.weight[0].numel())
        return functional.conv2d(x, self.weight * scale, stride=self.stride, padding=self.padding)


class FusedLeakyReLU(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x):
        return functional.leaky_relu(x + self.bias, 0.2) * 2**0.5


def conv_layer(inputs, outputs, size, down=False, act=True):
    p = 2 + size - 1
    layers = [Blur(p // 2)] if down else []
    layers.append(
        EqualConv2d(inputs, outputs, size, 2, 0) if down else EqualConv2d(inputs, outputs, size, 1, size // 2)
    )
    return nn.Sequential(*layers, *([FusedLeakyReLU(outputs)] if act else []))


class ResBlock(nn.Module):
    def __init__(self, inputs, outputs, down=True):
        super().__init__()
        self.conv1 = conv_layer(inputs, inputs, 3)
        self.conv2 = conv_layer(inputs, outputs, 3, down=down)
        self.skip = conv_layer(inputs, outputs, 1, down=True, act=False) if down else nn.Identity()

    def forward(self, x):
        return (self.conv2(self.conv1(x)) + self.skip(x)) / math.sqrt(2)


class ModulatedUp(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, 3, 3))
        self.blur = Blur(1, 4)

    def forward(self, x):
        weight = self.weight / math.sqrt(self.weight.shape[2] * 9)
        weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8).view(1, -1, 1, 1, 1)
        return self.blur(functional.conv_transpose2d(x, weight[0].transpose(0, 1), stride=2))


class Noise(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x + self.weight * torch.randn(x.shape[0], 1, *x.shape[2:])


class Public(nn.Module):
    """64x64, one halving, six blocks."""

    def __init__(self, a, b):
        super().__init__()
        encoder = [nn.Identity(), conv_layer(3, a, 1), ResBlock(a, b), *(ResBlock(b, b, False) for _ in range(3))]
        up = nn.Sequential(ModulatedUp(b, a), Noise(), FusedLeakyReLU(a))
        self.encoder = nn.Sequential(*encoder)
        self.decoder = nn.Sequential(*(ResBlock(b, b, False) for _ in range(3)), up, conv_layer(a, 3, 1))

    def forward(self, x):
        return self.decoder(self.encoder(x))


class EqualLinear(nn.Module):
    def __init__(self, inputs, outputs, act):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(outputs, inputs)), nn.Parameter(torch.zeros(outputs))
        self.act = act

    def forward(self, x):
        made = functional.linear(x, self.weight / math.sqrt(x.shape[1]), self.bias)
        return functional.leaky_relu(made, 0.2) * 2**0.5 if self.act else made


def public_discriminator(channels):
    convs = [conv_layer(3, channels[0], 1), *(ResBlock(a, b) for a, b in pairwise(channels))]
    last = [conv_layer(channels[-1], channels[-1], 3), nn.Flatten()]
    return nn.Sequential(
        *convs, *last, EqualLinear(channels[-1] * 16, channels[-1], True), EqualLinear(channels[-1], 1, False)
    )


def same_weights(reference, ours):
    """Give both the same random numbers, in the order of their tensors, blurs included."""
    torch.manual_seed(0)
    drawn = [torch.randn_like(v) * (0.3 if v.shape == (4, 4) else 1) for v in reference.state_dict().values()]
    for network in (reference, ours):
        state = {k: new.view_as(old) for (k, old), new in zip(network.state_dict().items(), drawn, strict=True)}
        network.load_state_dict(state)


def test_the_generator():
    reference, ours = Public(16, 32), generator((3, 64, 64), (3, 64, 64), width=2)
    same_weights(reference, ours)
    x = torch.rand(2, 3, 64, 64)
    torch.manual_seed(1)
    mine = ours(x)
    torch.manual_seed(1)
    assert_same((mine * 2 - 1) / 10, reference(2 * x - 1) / 10)
    hidden = 2 * x - 1
    for number, layer in enumerate(reference.encoder):
        hidden = layer(hidden)
        assert_same(ours.features(x, [number])[0], hidden)


def test_the_discriminator():
    reference, ours = public_discriminator([4, 8, 16, 32, 64]), discriminator((3, 64, 64), width=1)
    same_weights(reference, ours)
    x = torch.rand(2, 3, 64, 64)
    assert_same(ours(x)[0], reference(2 * x - 1))


def test_parameters_are_those_of_the_public_widths():
    shape = (3, 64, 64)
    with torch.device("meta"):
        assert count(generator(shape, shape)) == count(Public(80, 160))
        assert count(discriminator(shape)) == count(public_discriminator([32, 64, 128, 256, 384]))


def test_initial_weights_keep_the_variance_and_there_is_no_noise_yet():
    torch.manual_seed(0)
    ours = generator((3, 64, 64), (3, 64, 64)).eval()
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(ours(x), ours(x))
    inner = ours.features(x, [5])[0].detach()
    assert 0.3 < float(inner.std()) < 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: generator((3, 9, 8), (3, 9, 8)),
            "'stylegan2' halves pictures 1 times, but 9x8 cannot be halved so often",
        ),
        (lambda: discriminator((3, 48, 48)), "squares whose side is 8, 16, 32, 64 and so on; got 48x48"),
        (lambda: discriminator((3, 64, 32)), "got 64x32"),
        (lambda: discriminator((3, 4, 4)), "got 4x4"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
