"""The reference networks' sizes, shapes other than theirs, and how they start."""

import pytest
import torch
from torch import nn

from ganforge.testing import components_of

MADE = {(c.kind, c.name): c.factory for c in components_of("ganforge_networks")}
SQUARE = (3, 64, 64)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameter_counts_are_those_of_the_reference_networks():
    generator, discriminator = MADE["generator", "conv"], MADE["discriminator", "conv"]
    assert count(generator(SQUARE, SQUARE)) == 5_513_856
    assert count(generator(SQUARE, SQUARE, layers=5)) == 7_153_480
    assert count(discriminator(SQUARE)) == 2_765_568


@pytest.mark.parametrize("layers", [4, 5])
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 64, 64), (4, 32, 96), (2, 128, 64)])
def test_any_channels_and_any_size_that_can_be_halved_four_times(layers, shape):
    target = (5, *shape[1:])
    translated = MADE["generator", "conv"](shape, target, layers=layers, width=4)(torch.rand(2, *shape))
    assert translated.shape == (2, *target)
    assert 0 <= float(translated.detach().min()) <= float(translated.detach().max()) <= 1
    score, features = MADE["discriminator", "conv"](shape, width=4)(torch.rand(2, *shape))
    assert score.shape == (2, 1)
    assert [feature.shape[1] for feature in features] == [8, 16, 32]


def test_a_size_that_cannot_be_halved_is_refused_with_the_nearest_that_can():
    with pytest.raises(ValueError, match="must be multiples of 16; got 100x60, try 96x64"):
        MADE["generator", "conv"]((3, 100, 60), (3, 100, 60))


def test_the_first_and_the_last_layer_have_no_batch_norm():
    layers = list(MADE["generator", "conv"](SQUARE, SQUARE).layers)
    assert isinstance(layers[1], nn.LeakyReLU)
    assert isinstance(layers[-2], nn.ConvTranspose2d)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in layers) == 6


@pytest.mark.parametrize(
    ("preset", "last", "scale_low", "scale_high"),
    [("torch", 1 / (3 * 16) ** 0.5, 1, 1), ("skt2017", 1 / (64 * 16) ** 0.5, 0, 1), ("dcgan", None, 0.8, 1.2)],
)
def test_presets_of_initial_weights(preset, last, scale_low, scale_high):
    torch.manual_seed(0)
    network = MADE["generator", "conv"](SQUARE, SQUARE, init=preset)
    weight = network.layers[-2].weight.detach()
    if last is not None:
        assert 0.8 * last < float(weight.abs().max()) <= last * 1.0001
    scale = network.layers[3].weight.detach()
    assert isinstance(network.layers[3], nn.BatchNorm2d)
    assert scale_low <= float(scale.min()) <= float(scale.max()) <= scale_high
    if preset == "dcgan":
        assert float(weight.std()) == pytest.approx(0.02, rel=0.1)


def test_the_last_relu_starts_alive_at_the_target_mean():
    mean = torch.tensor([3.0, 4.0])
    for seed in range(20):
        torch.manual_seed(seed)
        made = MADE["generator", "mlp"]((2,), (2,), mean, output="relu")(torch.rand(500, 2))
        assert (made > 0).all()
        assert float((made.mean(0) - mean).abs().max().detach()) < 0.6


def test_layer_counts_of_the_toy_networks_are_the_papers():
    generator = MADE["generator", "mlp"]((2,), (2,), torch.zeros(2))
    discriminator = MADE["discriminator", "mlp"]((2,))
    assert sum(isinstance(layer, nn.Linear) for layer in generator.modules()) == 3
    assert sum(isinstance(layer, nn.Linear) for layer in discriminator.modules()) == 5
