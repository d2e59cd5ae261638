"""Weights of the public reference networks give the same pictures in ours, tensor for tensor.

The references are written here from the descriptions of the papers' public code, with its names of layers; they take
and make pixels in [-1, 1].
"""

import pytest
import torch
from torch import nn
from torch.nn import functional

from ganforge.testing import components_of

MADE = {(c.kind, c.name): c.factory for c in components_of("ganforge_networks")}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def norm_of(kind, channels):
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.BatchNorm2d(channels)


class PublicBlock(nn.Module):
    def __init__(self, dim, norm, bias, dropout):
        super().__init__()
        first = [nn.ReflectionPad2d(1), nn.Conv2d(dim, dim, 3, bias=bias), norm_of(norm, dim), nn.ReLU(True)]
        second = [nn.ReflectionPad2d(1), nn.Conv2d(dim, dim, 3, bias=bias), norm_of(norm, dim)]
        self.conv_block = nn.Sequential(*first, *([nn.Dropout(0.5)] if dropout else []), *second)

    def forward(self, x):
        return x + self.conv_block(x)


class PublicBlur(nn.Module):
    def __init__(self, channels, weights, up):
        super().__init__()
        self.up = up
        line = torch.tensor(weights)
        filt = line[:, None] * line[None]
        filt = filt / filt.sum() * (4 if up else 1)
        self.register_buffer("filt", filt[None, None].repeat(channels, 1, 1, 1))

    def forward(self, x):
        if not self.up:
            return functional.conv2d(nn.ReflectionPad2d(1)(x), self.filt, stride=2, groups=x.shape[1])
        padded = nn.ReplicationPad2d(1)(x)
        made = functional.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=x.shape[1])
        return made[:, :, 1:, 1:][:, :, :-1, :-1]


class PublicResnet(nn.Module):
    def __init__(self, inputs, outputs, ngf, blocks, norm="instance", halvings=2, dropout=False, antialiased=False):
        super().__init__()
        bias = norm == "instance"
        model = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, ngf, 7, bias=bias), norm_of(norm, ngf), nn.ReLU(True)]
        for i in range(halvings):
            now = ngf * 2**i
            stride = 1 if antialiased else 2
            model += [nn.Conv2d(now, now * 2, 3, stride=stride, padding=1, bias=bias)]
            model += [norm_of(norm, now * 2), nn.ReLU(True)]
            model += [PublicBlur(now * 2, [1.0, 2.0, 1.0], False)] if antialiased else []
        model += [PublicBlock(ngf * 2**halvings, norm, bias, dropout) for _ in range(blocks)]
        for i in range(halvings):
            now = ngf * 2 ** (halvings - i)
            if antialiased:
                model += [PublicBlur(now, [1.0, 3.0, 3.0, 1.0], True)]
                model += [nn.Conv2d(now, now // 2, 3, padding=1, bias=bias)]
            else:
                model += [nn.ConvTranspose2d(now, now // 2, 3, stride=2, padding=1, output_padding=1, bias=bias)]
            model += [norm_of(norm, now // 2), nn.ReLU(True)]
        model += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, outputs, 7), nn.Tanh()]
        self.model = nn.Sequential(*model)

    def forward(self, x):
        return self.model(x)

    def features(self, x, layers):
        found = []
        for number, layer in enumerate(self.model):
            x = layer(x)
            if number in layers:
                found.append(x.clone())
        return found


class PublicLevel(nn.Module):
    """A level of the U-Net, with all levels inside of it."""

    def __init__(self, outer, inner, inputs=None, inside=None, outermost=False, dropout=False, norm="batch"):
        super().__init__()
        self.outermost = outermost
        bias = norm == "instance"
        down = nn.Conv2d(inputs or outer, inner, 4, 2, 1, bias=bias)
        up_from = inner if inside is None else inner * 2
        up = nn.ConvTranspose2d(up_from, outer, 4, 2, 1, bias=bias or outermost)
        if outermost:
            model = [down, inside, nn.ReLU(True), up, nn.Tanh()]
        elif inside is None:
            model = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, norm_of(norm, outer)]
        else:
            model = [nn.LeakyReLU(0.2, True), down, norm_of(norm, inner), inside, nn.ReLU(True), up]
            model += [norm_of(norm, outer), *([nn.Dropout(0.5)] if dropout else [])]
        self.model = nn.Sequential(*model)

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


def public_unet(inputs, outputs, ngf, levels, norm, dropout):
    block = PublicLevel(ngf * 8, ngf * 8, norm=norm)
    for _ in range(levels - 5):
        block = PublicLevel(ngf * 8, ngf * 8, inside=block, dropout=dropout, norm=norm)
    for outer, inner in ((4, 8), (2, 4), (1, 2)):
        block = PublicLevel(ngf * outer, ngf * inner, inside=block, norm=norm)
    return PublicLevel(outputs, ngf, inputs=inputs, inside=block, outermost=True, norm=norm)


def public_patch(inputs, ndf, layers, norm, antialiased=False, padding=1):
    bias, stride = norm == "instance", 1 if antialiased else 2
    blur = (lambda channels: [PublicBlur(channels, [1.0, 2.0, 1.0], False)]) if antialiased else (lambda channels: [])
    model = [nn.Conv2d(inputs, ndf, 4, stride, padding), nn.LeakyReLU(0.2, True), *blur(ndf)]
    now = ndf
    for n in range(1, layers):
        before, now = now, ndf * min(2**n, 8)
        model += [nn.Conv2d(before, now, 4, stride, padding, bias=bias), norm_of(norm, now), nn.LeakyReLU(0.2, True)]
        model += blur(now)
    before, now = now, ndf * min(2**layers, 8)
    model += [nn.Conv2d(before, now, 4, 1, padding, bias=bias), norm_of(norm, now), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*model, nn.Conv2d(now, 1, 4, 1, padding))


def public_pixel(inputs, ndf, norm):
    bias = norm == "instance"
    first = [nn.Conv2d(inputs, ndf, 1), nn.LeakyReLU(0.2, True)]
    second = [nn.Conv2d(ndf, ndf * 2, 1, bias=bias), norm_of(norm, ndf * 2), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*first, *second, nn.Conv2d(ndf * 2, 1, 1, bias=bias))


class PublicScales(nn.Module):
    """Discriminators of several scales; `layer0` judges the smallest pictures."""

    def __init__(self, inputs, ndf, layers, norm, scales):
        super().__init__()
        self.scales = scales
        for i in range(scales):
            setattr(self, f"layer{i}", public_patch(inputs, ndf, layers, norm, padding=2))
        self.downsample = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    def forward(self, x):
        scores = []
        for i in range(self.scales):
            scores.append(getattr(self, f"layer{self.scales - 1 - i}")(x))
            x = self.downsample(x)
        return scores


def same_weights(reference, ours):
    """Give both the same random numbers, in the order of their tensors."""
    torch.manual_seed(0)
    theirs = reference.state_dict()
    drawn = [torch.randn_like(v) * 0.05 if v.is_floating_point() else v for v in theirs.values()]
    drawn = [v.abs() + 0.5 if key.endswith("running_var") else v for key, v in zip(theirs, drawn, strict=True)]
    reference.load_state_dict(dict(zip(theirs, drawn, strict=True)))
    ours.load_state_dict(dict(zip(ours.state_dict(), drawn, strict=True)))


def assert_same(mine, theirs):
    torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize(("blocks", "size"), [(6, (32, 48)), (9, (48, 32))])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 3), (1, 7)])
def test_resnet(norm, antialiased, blocks, size, inputs, outputs):
    reference = PublicResnet(inputs, outputs, 8, blocks, norm, antialiased=antialiased)
    layers = {"down": "antialiased", "up": "antialiased"} if antialiased else {}
    ours = MADE["generator", "resnet"]((inputs, *size), (outputs, *size), width=8, blocks=blocks, norm=norm, **layers)
    same_weights(reference, ours)
    x = torch.rand(2, inputs, *size)
    assert_same(ours(x) * 2 - 1, reference(2 * x - 1))
    for mine, theirs in zip(
        ours.features(x, [0, 4, 8, 12, 16]), reference.features(2 * x - 1, [0, 4, 8, 12, 16]), strict=True
    ):
        assert_same(mine, theirs)


def test_resnet_with_four_halvings_is_the_global_generator_of_pix2pixhd():
    reference = PublicResnet(3, 3, 4, 9, halvings=4)
    ours = MADE["generator", "resnet"]((3, 64, 64), (3, 64, 64), width=4, halvings=4)
    same_weights(reference, ours)
    x = torch.rand(1, 3, 64, 64)
    assert_same(ours(x) * 2 - 1, reference(2 * x - 1))


def test_dropout_in_the_blocks_of_the_resnet():
    reference = PublicResnet(3, 3, 4, 2, dropout=True)
    ours = MADE["generator", "resnet"]((3, 16, 16), (3, 16, 16), width=4, blocks=2, dropout=0.5)
    same_weights(reference, ours)
    x = torch.rand(2, 3, 16, 16)
    for train in (True, False):
        torch.manual_seed(1)
        mine = ours.train(train)(x)
        torch.manual_seed(1)
        assert_same(mine * 2 - 1, reference.train(train)(2 * x - 1))


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("levels", [7, 8])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_unet(norm, levels, dropout):
    size = (2**levels, 2 ** (levels + 1))
    reference = public_unet(3, 1, 4, levels, norm, bool(dropout))
    shapes = ((3, *size), (1, *size))
    ours = MADE["generator", "unet"](*shapes, width=4, levels=levels, norm=norm, dropout=dropout)
    same_weights(reference, ours)
    x = torch.rand(2, 3, *size)
    torch.manual_seed(1)
    mine = ours(x)
    torch.manual_seed(1)
    assert_same(mine * 2 - 1, reference(2 * x - 1))


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("layers", [1, 3, 5])
@pytest.mark.parametrize("inputs", [1, 3, 7])
def test_patch(norm, antialiased, layers, inputs):
    size = (33, 45) if layers < 5 else (97, 110)
    reference = public_patch(inputs, 8, layers, norm, antialiased)
    down = "antialiased" if antialiased else "strided"
    ours = MADE["discriminator", "patch"]((inputs, *size), width=8, layers=layers, norm=norm, down=down)
    same_weights(reference, ours)
    x = torch.rand(2, inputs, *size)
    score, features = ours(x)
    assert_same(score, reference(2 * x - 1))
    assert len(features) == layers + 1


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_pixel(norm):
    reference = public_pixel(3, 8, norm)
    ours = MADE["discriminator", "patch"]((3, 5, 9), width=8, layers=0, norm=norm)
    same_weights(reference, ours)
    x = torch.rand(2, 3, 5, 9)
    score, features = ours(x)
    assert_same(score, reference(2 * x - 1))
    assert [feature.shape for feature in features] == [(2, 8, 5, 9), (2, 16, 5, 9)]


def test_discriminators_of_several_scales():
    reference = PublicScales(6, 4, 3, "instance", 3)
    ours = MADE["discriminator", "patch"]((6, 61, 83), width=4, scales=3, padding=2)
    same_weights(reference, ours)
    x = torch.rand(2, 6, 61, 83)
    scores, features = ours(x)
    for mine, theirs in zip(scores, reference(2 * x - 1), strict=True):
        assert_same(mine, theirs)
    assert scores[0].shape[2:] > scores[1].shape[2:] > scores[2].shape[2:]
    assert [feature.shape[1] for feature in features] == 3 * [4, 8, 16, 32]


def test_parameter_counts_are_the_published_ones():
    picture = (3, 256, 256)
    with torch.device("meta"):
        resnet, unet, patch = (
            MADE[k] for k in (("generator", "resnet"), ("generator", "unet"), ("discriminator", "patch"))
        )
        assert count(resnet(picture, picture)) == 11_378_179
        assert count(resnet(picture, picture, blocks=6)) == 7_837_699
        assert count(resnet(picture, picture, down="antialiased", up="antialiased")) == 11_378_179
        assert count(resnet(picture, picture, halvings=4)) == count(PublicResnet(3, 3, 64, 9, halvings=4))
        assert count(unet(picture, picture)) == 54_413_955
        assert count(unet(picture, picture, levels=7)) == 41_828_995
        assert count(patch(picture)) == 2_764_737 == count(public_patch(3, 64, 3, "instance"))
        assert count(patch(picture, norm="batch")) == count(public_patch(3, 64, 3, "batch"))
        assert count(patch(picture, layers=0)) == count(public_pixel(3, 64, "instance"))
