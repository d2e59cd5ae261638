"""Networks for pictures: sizes, what is refused and how, initial weights, activations, spectral norm."""

import math

import pytest
import torch
from torch import nn

from ganforge.testing import components_of

MADE = {(c.kind, c.name): c.factory for c in components_of("ganforge_networks")}
resnet, unet, conv = (MADE["generator", name] for name in ("resnet", "unet", "conv"))
patch, dcgan = MADE["discriminator", "patch"], MADE["discriminator", "dcgan"]
from_noise = MADE["generator", "dcgan"]


@pytest.mark.parametrize("size", [(5, 5), (17, 30), (64, 33)])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 3), (3, 7)])
@pytest.mark.parametrize("up", ["deconvolution", "antialiased", "resize"])
@pytest.mark.parametrize("down", ["strided", "antialiased"])
def test_a_resnet_takes_any_size_that_leaves_two_pixels(size, inputs, outputs, up, down):
    made = resnet((inputs, *size), (outputs, *size), width=4, blocks=1, up=up, down=down)(torch.rand(2, inputs, *size))
    assert made.shape == (2, outputs, *size)
    assert 0 <= float(made.detach().min()) <= float(made.detach().max()) <= 1


@pytest.mark.parametrize("levels", [2, 3, 5, 6])
@pytest.mark.parametrize("up", ["deconvolution", "resize"])
@pytest.mark.parametrize("norm", ["instance", "batch", "group", "none"])
def test_a_unet_of_few_levels_and_any_norm(levels, up, norm):
    shape = (3, 2**levels, 3 * 2**levels)
    made = unet(shape, (2, *shape[1:]), width=4, levels=levels, up=up, norm=norm)(torch.rand(2, *shape))
    assert made.shape == (2, 2, *shape[1:])


def test_a_unet_has_dropout_in_use_whatever_the_mode_but_not_at_rate_0():
    x = torch.rand(1, 3, 64, 64)
    network = unet((3, 64, 64), (3, 64, 64), width=4, levels=6, init="torch").eval()
    assert not torch.equal(network(x), network(x))
    network = unet((3, 64, 64), (3, 64, 64), width=4, levels=6, dropout=0.0).eval()
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize(("levels", "blocks"), [(2, 0), (3, 1), (6, 1), (7, 2), (8, 3)])
def test_dropout_stands_after_the_innermost_block(levels, blocks):
    with torch.device("meta"):
        decoder = unet((3, 256, 256), (3, 256, 256), width=1, levels=levels).decoder
    rates = [getattr(block[-1], "rate", 0.0) for block in decoder]
    assert rates == [0.0, *[0.5] * blocks, *[0.0] * (levels - 1 - blocks)]


@pytest.mark.parametrize("side", [8, 16, 64])
@pytest.mark.parametrize("channels", [1, 3, 7])
@pytest.mark.parametrize("norm", ["batch", "instance", "group", "none"])
def test_dcgan_makes_squares_of_noise_and_judges_them(side, channels, norm):
    shape = (channels, side, side)
    for source in ((5,), (5, 1, 1)):
        made = from_noise(source, shape, width=4, norm=norm)(torch.randn(2, *source))
        assert made.shape == (2, *shape)
        assert 0 <= float(made.detach().min()) <= float(made.detach().max()) <= 1
    score, features = dcgan(shape, width=4, norm=norm)(made)
    assert score.shape == (2, 1)
    assert [feature.shape[2] for feature in features] == [side // 2**level for level in range(1, len(features) + 1)]


def test_the_layers_of_dcgan_are_those_of_figure_1():
    layers = list(from_noise((100,), (3, 64, 64), width=128).layers)
    deconvolutions = [layer for layer in layers if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in deconvolutions] == [1024, 512, 256, 128, 3]
    assert all(layer.bias is None for layer in deconvolutions)
    assert [type(layer) for layer in layers[:3]] == [nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU]
    assert [type(layer) for layer in layers[-2:]] == [nn.ConvTranspose2d, nn.Tanh]
    judge = dcgan((3, 64, 64))
    norms = [any(isinstance(layer, nn.BatchNorm2d) for layer in block) for block in judge.halvings]
    assert norms == [False, True, True, True]
    assert judge.judge.kernel_size == (4, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: resnet((2,), (2,)), r"'resnet' needs pictures \[channels, height, width\], got samples \[2\]"),
        (lambda: resnet((3, 4, 9), (3, 4, 9)), "with 2 halvings needs pictures of 5x5 or more; got 4x9, set fewer halvings"),
        (lambda: resnet((3, 8, 8), (3, 9, 9)), "'resnet' keeps the size of pictures, but they differ: 8x8, 9x9"),
        (lambda: unet((3, 96, 64), (3, 96, 64)), "'unet' halves pictures 8 times, but 96x64 can be halved 5 times; set levels to 5 or less"),
        (lambda: unet((3, 30, 30), (3, 30, 30)), "30x30 can be halved 1 times; use another size"),
        (lambda: patch((3, 23, 40)), "with 3 layers and scales = 1 needs pictures of 24x24 or more; got 23x40, set fewer layers or scales"),
        (lambda: patch((3, 46, 46), scales=2), "scales = 2 needs pictures of 47x47 or more"),
        (lambda: dcgan((3, 64, 32)), "'dcgan' takes squares whose side is 8, 16, 32, 64 and so on; got 64x32"),
        (lambda: dcgan((3, 4, 4)), "got 4x4"),
        (lambda: dcgan((3, 48, 48)), "got 48x48"),
        (lambda: from_noise((3, 8, 8), (3, 8, 8)), r"'dcgan' needs noise \[n\] or \[n, 1, 1\], got samples \[3, 8, 8\]"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_what_would(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_least_sizes_that_are_named_do():
    for norm in ("instance", "batch"):
        for shape, settings in (
            ((3, 24, 24), {}),
            ((3, 47, 47), {"scales": 2}),
            ((3, 3, 1), {"padding": 2, "layers": 2}),
        ):
            score, _ = patch(shape, width=4, norm=norm, **settings)(torch.rand(2, *shape))
            assert isinstance(score, torch.Tensor) or len(score) == 2


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_generator_gives_its_activations_and_computes_no_more(norm):
    shape = (3, 32, 32)
    for network, layers in (
        (resnet(shape, shape, width=4, blocks=2, norm=norm), [0, 3, 11]),
        (unet(shape, shape, width=4, levels=4, norm=norm), [0, 2]),
        (conv(shape, shape, width=4), [1, 3, 4]),
    ):
        sequence = getattr(network, "layers", None) or network.encoder
        after = sequence[max(layers) + 1]
        after.register_forward_hook(lambda *_: pytest.fail("it was computed further"))
        found = network.features(torch.rand(2, *shape), layers[::-1])
        assert len(found) == len(layers)
        again = network.features(torch.rand(2, *shape), [])
        assert again == []


def test_activations_stay_as_they_are_where_the_next_layer_writes_over_them():
    network = conv((3, 16, 16), (3, 16, 16), width=4)
    x = torch.rand(2, 3, 16, 16)
    first, second = network.features(x, [0, 1])
    assert torch.equal(first, network.layers[0](x))
    assert torch.equal(second, nn.functional.leaky_relu(first, 0.2))


@pytest.mark.parametrize("number", [-1, 29])
def test_a_layer_that_is_not_there_is_named(number):
    network = resnet((3, 32, 32), (3, 32, 32), width=4, blocks=9)
    with pytest.raises(ValueError, match=f"no layer {number}: the generator has the layers 0 to 27"):
        network.features(torch.rand(1, 3, 32, 32), [0, number])


def test_initial_weights_have_the_spread_of_their_preset():
    torch.manual_seed(0)
    shape = (3, 32, 32)

    def weight(preset):
        network = resnet(shape, shape, width=32, blocks=1, norm="batch", init=preset)
        convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        if preset != "torch":
            assert all(m.bias is None or not m.bias.any() for m in convolutions)
            scales = [m.weight for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
            assert 0.01 < float(torch.cat(scales).detach().std()) < 0.03
        return network.layers[4].weight.detach()  # [64, 32, 3, 3]

    assert float(weight("dcgan").std()) == pytest.approx(0.02, rel=0.05)
    assert float(weight("xavier").std()) == pytest.approx(0.02 * math.sqrt(2 / (32 * 9 + 64 * 9)), rel=0.05)
    assert float(weight("kaiming").std()) == pytest.approx(math.sqrt(2 / (32 * 9)), rel=0.05)
    rows = weight("orthogonal").flatten(1)
    torch.testing.assert_close(rows @ rows.T, 0.02**2 * torch.eye(64), rtol=1e-4, atol=1e-7)
    assert float(weight("torch").abs().max()) <= 1 / math.sqrt(32 * 9)


@pytest.mark.parametrize("make", [lambda: patch((3, 32, 32), width=8, norm="none", spectral=True, scales=1),
                                  lambda: dcgan((3, 32, 32), width=8, norm="none", spectral=True)])  # fmt: skip
def test_with_spectral_norm_the_largest_singular_value_is_one(make):
    torch.manual_seed(0)
    network = make()
    for _ in range(30):
        network(torch.rand(2, 3, 32, 32))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert float(torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2)) == pytest.approx(1, rel=0.02)


def test_a_penalty_goes_through_spectral_norm_twice():
    network = patch((3, 24, 24), width=4, spectral=True).double()
    x = torch.rand(2, 3, 24, 24, dtype=torch.double, requires_grad=True)
    (slope,) = torch.autograd.grad(network(x)[0].sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters() if parameter.grad is not None)
