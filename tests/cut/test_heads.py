"""The heads, PatchNCE by hand, and what is said where a generator has no such layers."""

import math

import pytest
import torch
from torch import nn

from ganforge.testing import components_of
from tests.proof.small import draw_folders, settings

MADE = {(c.kind, c.name): c.factory for c in (*components_of("ganforge_cut"), *components_of("ganforge_networks"))}
Heads, patch_nce = MADE["network", "patch-heads"], MADE["loss", "patch-nce"]
GAN = '[discriminator]\nuse = "conv"\nwidth = 2\n[losses.adversarial]\nuse = "gan"\n'


class Itself(nn.Module):
    """A generator whose only layer is the picture."""

    def features(self, pictures, layers):
        return [pictures for _ in layers]


class Vectors(nn.Module):
    """Heads that project nothing."""

    layers = (0,)

    def forward(self, activations, places):
        return [layer.flatten(2)[:, :, place].transpose(1, 2) for layer, place in zip(activations, places, strict=True)]


def test_the_published_heads_have_560384_parameters():
    shape = (3, 256, 256)
    with torch.device("meta"):
        generator = MADE["generator", "resnet"](shape, shape, down="antialiased", up="antialiased")
        heads = Heads(generator, shape)
    assert [mlp[0].in_features for mlp in heads.mlps] == [3, 128, 256, 256, 256]
    assert sum(parameter.numel() for parameter in heads.parameters()) == 560_384


def test_heads_start_small_and_give_vectors_of_length_one():
    torch.manual_seed(0)
    shape = (3, 16, 16)
    generator = MADE["generator", "resnet"](shape, shape, width=8, blocks=1)
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    heads = Heads(generator, shape, layers=[1, 4, 10], width=64)
    assert all(torch.equal(value, generator.state_dict()[key]) for key, value in before.items())
    assert float(heads.mlps[1][2].weight.detach().std()) == pytest.approx(0.02 * math.sqrt(2 / 128), rel=0.05)
    assert all(not mlp[0].bias.any() and not mlp[2].bias.any() for mlp in heads.mlps)
    found = generator.features(torch.rand(2, *shape), heads.layers)
    for vectors in heads(found, [torch.arange(4)] * 3):
        assert vectors.shape == (2, 4, 64)
        torch.testing.assert_close(vectors.norm(dim=2), torch.ones(2, 4), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("made", ["resnet", "conv", "unet"])
def test_any_generator_with_activations_will_do(made):
    shape = (3, 32, 32)
    more = {"levels": 4} if made == "unet" else {}
    generator = MADE["generator", made](shape, shape, width=4, **more)
    heads = Heads(generator, shape, layers=[0, 2])
    x = torch.rand(2, *shape)
    patch_nce(generator, heads, x, generator(x), None, patches=4).backward()
    assert all(parameter.grad is not None for parameter in heads.parameters())


def test_patch_nce_by_hand():
    # Two places with the vectors (1, 0) and (0, 1) in source and fake: each query has the logits 1/tau and 0.
    x = torch.eye(2).reshape(1, 2, 1, 2)
    expected = math.log(1 + math.exp(-1 / 0.5))
    assert float(patch_nce(Itself(), Vectors(), x, x, None, tau=0.5)) == pytest.approx(expected)
    # Two such pictures, whose patches are each other's negatives: the same vector stands there twice.
    both = patch_nce(Itself(), Vectors(), x.repeat(2, 1, 1, 1), x.repeat(2, 1, 1, 1), None, tau=0.5, negatives="batch")
    assert float(both) == pytest.approx(math.log(2 + 2 * math.exp(-1 / 0.5)))


def test_patches_of_a_mirrored_translation_are_compared_with_their_places():
    torch.manual_seed(0)
    x = nn.functional.normalize(torch.randn(2, 5, 3, 4), dim=1)
    for patches in (3, 256):
        torch.manual_seed(1)
        straight = patch_nce(Itself(), Vectors(), x, x, torch.tensor(False), patches=patches)
        torch.manual_seed(1)
        mirrored = patch_nce(Itself(), Vectors(), x, x.flip(3), torch.tensor(True), patches=patches)
        torch.manual_seed(1)
        never = patch_nce(Itself(), Vectors(), x, x, None, patches=patches)
        assert straight == mirrored == never


def test_keys_are_cut_off_and_extremes_are_finite():
    x = torch.zeros(1, 2, 4, 4, requires_grad=True)
    fake = (torch.rand(1, 2, 4, 4) * 1e4).requires_grad_()
    loss = patch_nce(Itself(), Vectors(), x, fake / fake.norm(dim=1, keepdim=True), None)
    loss.backward()
    assert x.grad is None
    assert torch.isfinite(loss)
    assert torch.isfinite(fake.grad).all()


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ('[generator]\nuse = "conv"\nwidth = 2\n[heads]\nuse = "patch-heads"\nlayers = [0, 3]\n', ""),
        ('[generator]\nuse = "conv"\nwidth = 2\n[heads]\nuse = "patch-heads"\nlayers = [0, 40]\n', "heads: no layer 40"),
        ('[generator]\nuse = "mlp"\n[heads]\nuse = "patch-heads"\n', "heads: needs a generator with the method `features`, such as 'resnet'"),
        ('[generator]\nuse = "conv"\nwidth = 2\n[heads]\nuse = "patch-heads"\nlayers = []\n', "heads: set layers to one or more"),
        ('[generator]\nuse = "conv"\nwidth = 2\n[heads]\nuse = "patch-heads"\nlayers = [-1]\n', "no layer -1"),
        ('[generator]\nuse = "conv"\nwidth = 2\n[heads]\nuse = "patch-head"\n', "did you mean 'patch-heads'"),
    ],
)  # fmt: skip
def test_validate_says_what_the_heads_need(tables, message, ganforge, tmp_path):
    recipe = settings("cut", draw_folders(tmp_path / "data")).replace("size = 8", "size = 16") + GAN + tables
    (tmp_path / "case.toml").write_text(recipe + '[losses.nce]\nuse = "patch-nce"\n')
    result = ganforge("validate", tmp_path / "case.toml")
    assert result.status == (2 if message else 0), result.err
    assert message in result.err
