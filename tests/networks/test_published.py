"""Weights of the public reference networks give the same pictures in ours, tensor for tensor.

The references stand in `public.py`; they take and make pixels in [-1, 1].
"""

import pytest
import torch

from ganforge.testing import components_of
from tests.networks.public import PublicResnet, PublicScales, public_patch, public_pixel, public_unet

MADE = {(c.kind, c.name): c.factory for c in components_of("ganforge_networks")}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


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
