"""Public reference networks, written from the descriptions of the papers' public code, with its names of layers.

They take and make pixels in [-1, 1], but DiscoGAN's, which takes and makes [0, 1].
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional


def norm_of(kind, channels):
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.BatchNorm2d(channels)


class PublicBlock(nn.Module):
    def __init__(self, dim, norm, bias, dropout, padding_type):
        super().__init__()
        pad = {"reflect": [nn.ReflectionPad2d(1)], "replicate": [nn.ReplicationPad2d(1)], "zero": []}[padding_type]
        p = 0 if pad else 1
        first = [*pad, nn.Conv2d(dim, dim, 3, padding=p, bias=bias), norm_of(norm, dim), nn.ReLU(True)]
        second = [*pad, nn.Conv2d(dim, dim, 3, padding=p, bias=bias), norm_of(norm, dim)]
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
    def __init__(
        self,
        inputs,
        outputs,
        ngf,
        blocks,
        norm="instance",
        halvings=2,
        dropout=False,
        antialiased=False,
        padding_type="reflect",
    ):
        super().__init__()
        bias = norm == "instance"
        model = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, ngf, 7, bias=bias), norm_of(norm, ngf), nn.ReLU(True)]
        for i in range(halvings):
            now = ngf * 2**i
            stride = 1 if antialiased else 2
            model += [nn.Conv2d(now, now * 2, 3, stride=stride, padding=1, bias=bias)]
            model += [norm_of(norm, now * 2), nn.ReLU(True)]
            model += [PublicBlur(now * 2, [1.0, 2.0, 1.0], False)] if antialiased else []
        model += [PublicBlock(ngf * 2**halvings, norm, bias, dropout, padding_type) for _ in range(blocks)]
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


class PublicUnet(nn.Module):
    """The U-Net as it is saved: its outermost level under the name `model`."""

    def __init__(self, inputs, outputs, ngf, levels, norm="batch", dropout=False):
        super().__init__()
        self.model = public_unet(inputs, outputs, ngf, levels, norm, dropout)

    def forward(self, x):
        return self.model(x)


class PublicPatch(nn.Module):
    """The PatchGAN as it is saved."""

    def __init__(self, inputs, ndf, layers=3, norm="instance", antialiased=False):
        super().__init__()
        self.model = public_patch(inputs, ndf, layers, norm, antialiased)

    def forward(self, x):
        return self.model(x)


class PublicPixel(nn.Module):
    """The PixelGAN as it is saved."""

    def __init__(self, inputs, ndf, norm="instance"):
        super().__init__()
        self.net = public_pixel(inputs, ndf, norm)

    def forward(self, x):
        return self.net(x)


class PublicSample(nn.Module):
    """The heads of CUT as they are saved: a small MLP for each layer."""

    def __init__(self, channels, nc):
        super().__init__()
        for number, inputs in enumerate(channels):
            setattr(self, f"mlp_{number}", nn.Sequential(nn.Linear(inputs, nc), nn.ReLU(), nn.Linear(nc, nc)))


class PublicDiscoGenerator(nn.Module):
    """DiscoGAN's generator; `extra` is for its two layers around a picture of one pixel."""

    def __init__(self, inputs=3, outputs=3, width=64, extra=False, left=4):
        super().__init__()
        sizes = [inputs, width, 2 * width, 4 * width, 8 * width]
        layers = [nn.Conv2d(sizes[0], sizes[1], 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
        for before, after in pairwise(sizes[1:]):
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2, True)]
        if extra:
            layers += [nn.Conv2d(sizes[-1], 100, left, 1, 0, bias=False), nn.BatchNorm2d(100), nn.LeakyReLU(0.2, True)]
            layers += [nn.ConvTranspose2d(100, sizes[-1], left, 1, 0, bias=False), nn.BatchNorm2d(sizes[-1])]
            layers += [nn.ReLU(True)]
        for before, after in zip(sizes[:1:-1], sizes[-2:0:-1], strict=True):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(True)]
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(width, outputs, 4, 2, 1, bias=False), nn.Sigmoid())

    def forward(self, x):
        return self.main(x)


class PublicDiscoDiscriminator(nn.Module):
    """DiscoGAN's discriminator."""

    def __init__(self, inputs=3, width=64):
        super().__init__()
        sizes = [inputs, width, 2 * width, 4 * width, 8 * width]
        for number in range(1, 5):
            setattr(self, f"conv{number}", nn.Conv2d(sizes[number - 1], sizes[number], 4, 2, 1, bias=False))
            if number > 1:
                setattr(self, f"bn{number}", nn.BatchNorm2d(sizes[number]))
        self.conv5 = nn.Conv2d(sizes[-1], 1, 4, 1, 0, bias=False)

    def forward(self, x):
        x = functional.leaky_relu(self.conv1(x), 0.2)
        for number in range(2, 5):
            x = functional.leaky_relu(getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x)), 0.2)
        return torch.sigmoid(self.conv5(x))


def randomise(network):
    """Give a network random numbers of the size that trained ones have."""
    torch.manual_seed(0)
    for key, value in network.state_dict().items():
        if key.endswith("running_var") or (value.ndim == 1 and key.endswith("weight")):
            value.copy_(torch.rand_like(value) + 0.5)
        elif value.is_floating_point() and not key.endswith("filt"):
            value.copy_(0.3 * torch.randn_like(value) / max(1, value[0].numel()) ** 0.5)
    return network.eval()
