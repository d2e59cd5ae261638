"""StarGAN's networks against others, built from the tables of the paper's appendix, tensor for tensor."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, relu

from ganforge_networks.stargan import Discriminator, Generator


def normed(x, scale, shift):
    """Instance norm written out."""
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
    return (x - mean) / (variance + 1e-5).sqrt() * scale[:, None, None] + shift[:, None, None]


def plain_generator(pictures, code, weights, blocks):
    """Table 4 of the appendix: pictures in [-1, 1], a one-hot code for each; weights in their order."""
    take = iter(weights).__next__
    planes = code[:, :, None, None].expand(-1, -1, *pictures.shape[2:])
    x = relu(normed(conv2d(torch.cat([pictures, planes], 1), take(), padding=3), take(), take()))
    for _ in range(2):
        x = relu(normed(conv2d(x, take(), stride=2, padding=1), take(), take()))
    for _ in range(blocks):
        inner = relu(normed(conv2d(x, take(), padding=1), take(), take()))
        x = x + normed(conv2d(inner, take(), padding=1), take(), take())
    for _ in range(2):
        x = relu(normed(conv_transpose2d(x, take(), stride=2, padding=1), take(), take()))
    return conv2d(x, take(), padding=3).tanh()


def plain_discriminator(pictures, weights, halvings):
    """Table 5 of the appendix: pictures in [-1, 1]; D_src and D_cls."""
    take, x = iter(weights).__next__, pictures
    for _ in range(halvings):
        x = leaky_relu(conv2d(x, take(), take(), stride=2, padding=1), 0.01)
    return conv2d(x, take(), padding=1), conv2d(x, take())[:, :, 0, 0]


def random_weights(network: nn.Module) -> list[torch.Tensor]:
    """Give a network random weights, scales and shifts too, and return them in their order."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return list(network.parameters())


@torch.no_grad()
def test_the_generator_is_the_papers():
    network = Generator((3, 16, 24), (3, 16, 24), domains=5, width=4, blocks=2).double()
    weights, pictures = random_weights(network), torch.rand(2, 3, 16, 24, dtype=torch.float64)
    code = torch.eye(5, dtype=torch.float64)[[3, 3]]
    expected = (plain_generator(2 * pictures - 1, code, weights, 2) + 1) / 2
    torch.testing.assert_close(network(pictures, 3), expected, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(network(pictures, 3), network(pictures, 4))


@torch.no_grad()
def test_the_discriminator_is_the_papers():
    network = Discriminator((3, 32, 16), domains=5, width=4, halvings=3).double()
    weights, pictures = random_weights(network), torch.rand(2, 3, 32, 16, dtype=torch.float64)
    score, classes = plain_discriminator(2 * pictures - 1, weights, 3)
    mine, features = network(pictures)
    assert mine.shape == (2, 1, 4, 2)
    assert [one.shape[1] for one in features] == [4, 8, 16, 5]
    torch.testing.assert_close(mine, score)
    torch.testing.assert_close(features[-1], classes)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_are_as_many_as_the_authors_code_has():
    """For five attributes at 128x128."""
    with torch.device("meta"):
        generator, discriminator = (
            Generator((3, 128, 128), (3, 128, 128), domains=5),
            Discriminator((3, 128, 128), domains=5),
        )
    normed = [64, 128, 256, *[256] * 12, 128, 64]
    kernels = [
        8 * 64 * 49,
        64 * 128 * 16,
        128 * 256 * 16,
        *[256 * 256 * 9] * 12,
        256 * 128 * 16,
        128 * 64 * 16,
        64 * 3 * 49,
    ]
    assert count(generator) == sum(kernels) + 2 * sum(normed) == 8_430_528
    widths = [3, 64, 128, 256, 512, 1024, 2048]
    halvings = sum(16 * before * after + after for before, after in pairwise(widths))
    assert count(discriminator) == halvings + 2048 * 9 + 2048 * 5 * 4 == 44_762_048


def test_the_generator_makes_the_channels_of_the_target():
    with torch.device("meta"):
        made = Generator((1, 8, 8), (3, 8, 8), domains=2, width=2, blocks=0)(torch.zeros(2, 1, 8, 8), 1)
    assert made.shape == (2, 3, 8, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Generator((2,), (2,), domains=3),
            "'stargan' needs pictures [channels, height, width], got samples [2]",
        ),
        (
            lambda: Generator((3, 8, 6), (3, 8, 6), domains=3),
            "'stargan' needs a height and width that are multiples of 4; got 8x6",
        ),
        (
            lambda: Discriminator((3, 96, 64), domains=3),
            "'stargan' needs a height and width that are multiples of 64; got 96x64",
        ),
    ],
)
def test_what_does_not_fit_is_said(make, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # compared below
        make()
    assert str(caught.value) == message


def test_a_label_without_a_domain_is_named():
    with pytest.raises(ValueError, match=r"no domain has the label 3; set generator.domains to that of the coupling"):
        Generator((3, 8, 8), (3, 8, 8), domains=3, width=2, blocks=0)(torch.zeros(1, 3, 8, 8), 3)


def test_a_coupling_that_gives_no_label_is_told_before_the_first_step(ganforge, tmp_path: Path) -> None:
    recipe = tmp_path / "case.toml"
    recipe.write_text('extends = "cyclegan_turntable"\n[generator]\nuse = "stargan"\ndomains = 2\n')
    result = ganforge("validate", recipe)
    assert result.status == 2
    assert "case.toml:3: generator.use: 'stargan' asks for 'label' besides a sample" in result.err


def test_a_generator_that_takes_no_label_is_told_before_the_first_step(ganforge, tmp_path: Path) -> None:
    recipe = tmp_path / "case.toml"
    recipe.write_text('extends = "stargan_coats"\n[generator]\nuse = "resnet"\n')
    result = ganforge("validate", recipe)
    assert result.status == 2
    assert (
        "case.toml:3: generator.use: 'resnet' takes a sample and nothing else, but the coupling 'stargan'" in result.err
    )


def test_what_is_made_of_a_network_that_fails_is_not_told_of(ganforge, tmp_path: Path) -> None:
    recipe = tmp_path / "case.toml"
    recipe.write_text('extends = "cut_turntable"\n[generator]\nuse = "dcgan"\n')
    result = ganforge("validate", recipe)
    assert result.status == 2
    assert "generator: 'dcgan' needs noise" in result.err
