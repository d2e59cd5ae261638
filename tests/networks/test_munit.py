"""MUNIT's networks against others, built from the public descriptions, tensor for tensor."""

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu, linear, pad, relu

from ganforge_networks.munit import ContentEncoder, Decoder, Discriminator, StyleEncoder


def reflected(x, weight, bias, stride=1):
    border = (weight.shape[-1] - 1) // 2
    return conv2d(pad(x, [border] * 4, mode="reflect"), weight, bias, stride)


def instance(x):
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
    return (x - mean) / (variance + 1e-5).sqrt()


def layer(x, scale, shift):
    """Over all of a sample, with the epsilon beside the deviation, which is the unbiased one."""
    flat = x.flatten(1)
    mean, deviation = flat.mean(1)[:, None, None, None], flat.std(1)[:, None, None, None]
    return (x - mean) / (deviation + 1e-5) * scale[:, None, None] + shift[:, None, None]


def plain_content(pictures, weights, halvings, blocks):
    take = iter(weights).__next__
    x = relu(instance(reflected(pictures, take(), take())))
    for _ in range(halvings):
        x = relu(instance(reflected(x, take(), take(), 2)))
    for _ in range(blocks):
        inner = relu(instance(reflected(x, take(), take())))
        x = x + instance(reflected(inner, take(), take()))
    return x


def plain_style(pictures, weights, halvings):
    take = iter(weights).__next__
    x = relu(reflected(pictures, take(), take()))
    for _ in range(halvings):
        x = relu(reflected(x, take(), take(), 2))
    return conv2d(x.mean((2, 3), keepdim=True), take(), take())[:, :, 0, 0]


def plain_decoder(content, style, weights, halvings, blocks):
    """The linear layers make, for each norm in turn, first all shifts and then all scales."""
    residual, (w1, b1, w2, b2, w3, b3), rest = (
        weights[: 4 * blocks],
        weights[4 * blocks : 4 * blocks + 6],
        weights[4 * blocks + 6 :],
    )
    numbers = linear(relu(linear(relu(linear(style, w1, b1)), w2, b2)), w3, b3)
    pieces = iter(numbers.split(content.shape[1], 1))

    def adapted(x):
        shift, scale = next(pieces), next(pieces)
        return instance(x) * scale[:, :, None, None] + shift[:, :, None, None]

    take, x = iter(residual).__next__, content
    for _ in range(blocks):
        inner = relu(adapted(reflected(x, take(), take())))
        x = x + adapted(reflected(inner, take(), take()))
    take = iter(rest).__next__
    for _ in range(halvings):
        x = reflected(interpolate(x, scale_factor=2, mode="nearest"), take(), take())
        x = relu(layer(x, take(), take()))
    return reflected(x, take(), take()).tanh()


def plain_discriminator(pictures, halvings, judges):
    scores = []
    for weights, (weight, bias) in zip(halvings, judges, strict=True):
        x = pictures
        for w, b in weights:
            x = leaky_relu(reflected(x, w, b, 2), 0.2)
        scores.append(conv2d(x, weight, bias))
        pictures = avg_pool2d(pictures, 3, 2, 1, count_include_pad=False)
    return scores


def random_weights(network):
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return list(network.parameters())


@pytest.fixture
def pictures():
    return torch.rand(2, 3, 16, 24, dtype=torch.float64)


@torch.no_grad()
def test_the_encoders_are_the_papers(pictures):
    content = ContentEncoder((3, 16, 24), width=4, blocks=2).double()
    expected = plain_content(2 * pictures - 1, random_weights(content), 2, 2)
    assert expected.shape == (2, 16, 4, 6)
    torch.testing.assert_close(content(pictures), expected)
    style = StyleEncoder((3, 16, 24), 5, width=4).double()
    expected = plain_style(2 * pictures - 1, random_weights(style), 4)
    assert expected.shape == (2, 5)
    torch.testing.assert_close(style(pictures), expected)


@pytest.mark.parametrize("blocks", [1, 3])
@torch.no_grad()
def test_the_decoder_is_the_papers(blocks):
    decoder = Decoder((3, 16, 24), 5, ContentEncoder((3, 16, 24), width=4), blocks=blocks, hidden=6).double()
    content, style = torch.randn(2, 16, 4, 6, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    expected = (plain_decoder(content, style, random_weights(decoder), 2, blocks) + 1) / 2
    assert expected.shape == (2, 3, 16, 24)
    torch.testing.assert_close(decoder(content, style), expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_the_discriminator_is_the_papers(pictures):
    network = Discriminator((3, 16, 24), width=4, layers=2, scales=3).double()
    random_weights(network)
    halvings = [[(one[1].weight, one[1].bias) for one in scale] for scale in network.halve]
    expected = plain_discriminator(2 * pictures - 1, halvings, [(one.weight, one.bias) for one in network.judge])
    scores, features = network(pictures)
    assert [list(one.shape[2:]) for one in scores] == [[4, 6], [2, 3], [1, 1]]
    assert [one.shape[1] for one in features] == [4, 8] * 3
    for one, other in zip(scores, expected, strict=True):
        torch.testing.assert_close(one, other)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_at_the_published_widths():
    with torch.device("meta"):
        content, style, discriminator = (
            one((3, 256, 256), *more) for one, more in ((ContentEncoder, ()), (StyleEncoder, (8,)), (Discriminator, ()))
        )
        decoder = Decoder((3, 256, 256), 8, content)
    first = 3 * 64 * 49 + 64 + 64 * 128 * 16 + 128 + 128 * 256 * 16 + 256
    assert count(content) == first + 8 * (256 * 256 * 9 + 256)
    assert count(style) == first + 2 * (256 * 256 * 16 + 256) + 256 * 8 + 8
    mapping = 8 * 256 + 256 + 256 * 256 + 256 + 256 * 4096 + 4096
    up = 256 * 128 * 25 + 3 * 128 + 128 * 64 * 25 + 3 * 64 + 64 * 3 * 49 + 3
    assert count(decoder) == 8 * (256 * 256 * 9 + 256) + mapping + up
    assert count(content) + count(style) + count(decoder) == 15_026_187
    one = 3 * 64 * 16 + 64 + 64 * 128 * 16 + 128 + 128 * 256 * 16 + 256 + 256 * 512 * 16 + 512 + 512 + 1
    assert count(discriminator) == 3 * one == 8_271_171


def test_they_start_as_in_the_authors_code():
    torch.manual_seed(0)
    content = ContentEncoder((3, 16, 16), width=32)
    decoder = Decoder((3, 16, 16), 8, content)
    weights = content.layers[5].weight  # 4x4 kernels over 32 channels
    assert float(weights.detach().std()) == pytest.approx((2 / (32 * 16)) ** 0.5, rel=0.03)
    assert float(decoder.affine[2].weight.detach().std()) == pytest.approx((2 / 256) ** 0.5, rel=0.03)
    biases = [p for n, p in [*content.named_parameters(), *decoder.named_parameters()] if n.endswith("bias")]
    assert all(float(bias.detach().abs().max()) == 0 for bias in biases)
    scale = decoder.layers[3].scale.detach()
    assert 0 <= float(scale.min()) < float(scale.max()) < 1
    discriminator = Discriminator((3, 64, 64))
    assert float(discriminator.halve[2][3][1].weight.detach().std()) == pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ContentEncoder((2,)),
            "'content-encoder' needs pictures [channels, height, width], got samples [2]",
        ),
        (
            lambda: ContentEncoder((3, 16, 18)),
            "'content-encoder' needs a height and width that are multiples of 4; got 16x18",
        ),
        (lambda: StyleEncoder((3, 8, 32), 8), "'style-encoder' needs pictures of 16x16 or more; got 8x32"),
        (lambda: Discriminator((3, 32, 32)), "'munit' needs pictures of 64x64 or more; got 32x32"),
    ],
)
def test_what_does_not_fit_is_said(make, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # compared below
        make()
    assert str(caught.value) == message
