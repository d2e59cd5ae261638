"""LPIPS against the authors' package on the same weights; diversity of translators that are known."""

import importlib
import json
import math

import pytest
import torch
from attrs import evolve
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from ganforge import InputError
from tests.conftest import as_trained

lpips = importlib.import_module("ganforge_evaluations.fidelity.lpips")


@pytest.fixture(scope="module")
def state():
    """Random weights of AlexNet, and random layers above it, none of which is negative."""
    from torchvision.models import alexnet

    torch.manual_seed(0)
    features = alexnet(weights=None).features
    found = {f"features.{name}": value for name, value in features.state_dict().items()}
    for number, tap in enumerate((0, 3, 6, 8, 10)):
        found[f"lin{number}.model.1.weight"] = torch.rand(1, features[tap].out_channels, 1, 1)
    return found


@pytest.fixture
def fetched(state, tmp_path, monkeypatch):
    """The weights where `ganforge data fetch lpips` puts them."""
    (tmp_path / "home" / "lpips").mkdir(parents=True)
    save_file(state, tmp_path / "home" / "lpips" / "weights.safetensors")
    monkeypatch.setenv("GANFORGE_DATA", str(tmp_path / "home"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("side", [64, 31])
def test_the_distance_is_that_of_the_authors_package(side, state):
    package = pytest.importorskip("lpips")
    network = package.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False).eval()
    places = dict(zip(("features.0", "features.3", "features.6", "features.8", "features.10"), "12345", strict=True))
    for name, value in network.net.state_dict().items():
        part, layer, kind = name.split(".")
        value.copy_(state[f"features.{layer}.{kind}"])
        assert places[f"features.{layer}"] == part[-1]
    for number, layer in enumerate(network.lins):
        layer.model[1].weight.data.copy_(state[f"lin{number}.model.1.weight"])
    one, other = torch.rand(2, 3, 3, side, side)
    with torch.no_grad():
        expected = network(one, other, normalize=True).flatten()
        torch.testing.assert_close(lpips.LPIPS(state)(one, other), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_the_published_layers_have_the_names_that_are_read():
    package = pytest.importorskip("lpips")
    network = package.LPIPS(net="alex", pnet_rand=True, verbose=False)
    names = {f"lin{number}.model.1.weight" for number in range(5)}
    assert names <= network.state_dict().keys()
    assert all((network.state_dict()[name] >= 0).all() for name in names)


def test_equal_pictures_have_no_distance_and_grey_ones_count_as_colour(state):
    network = lpips.LPIPS(state)
    grey = torch.rand(2, 1, 32, 32)
    assert network.distances(grey, grey).tolist() == [0, 0]
    one, other = grey.expand(-1, 3, -1, -1), grey.flip(0).expand(-1, 3, -1, -1)
    torch.testing.assert_close(network.distances(grey, grey.flip(0)), network.distances(one, other))


@pytest.fixture
def make(tmp_path, understand):
    """Two folders of pictures, and any networks."""

    def call(count, others, networks, coupling="discogan", size=32):
        for name, number in (("a", count), ("b", others)):
            (tmp_path / name).mkdir()
            for place in range(number):
                picture = Image.effect_noise((size, size), 60 + 9 * place).convert("RGB")
                picture.save(tmp_path / name / f"{place}.png")
        table = {"use": "folders", "size": size, "a": str(tmp_path / "a"), "b": str(tmp_path / "b")}
        table |= {"test_a": str(tmp_path / "a"), "test_b": str(tmp_path / "b")}
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
        base = {"discogan": "base_64", "munit": "base_munit"}[coupling]
        (tmp_path / "x.toml").write_text(f'extends = "{base}"\n[dataset]\n{lines}\n')
        return as_trained(understand(tmp_path / "x.toml"), networks, 1)

    return call


class Constant(nn.Module):
    """Makes the same of everything."""

    def forward(self, samples):
        return torch.full_like(samples, 0.5)


def evaluate(trained, **settings):
    with trained.evaluating():
        return lpips.lpips_diversity(trained, **settings)


def test_a_collapse_has_no_diversity_and_an_identity_that_of_its_inputs(make, fetched):
    found = evaluate(make(4, 3, {"G_AB": Constant(), "G_BA": nn.Identity()}))
    assert found.metrics["lpips_AB"] == 0
    assert found.metrics["lpips_BA"] == pytest.approx(found.metrics["lpips_real_AB"])  # both are of B's pictures
    assert found.metrics["lpips_BA"] > 0
    assert found.about["between_AB"] == "translations of different inputs"
    assert (found.about["pictures_AB"], found.about["real_AB"], found.about["pairs_AB"]) == (4, 3, 4 * 3)
    assert (found.about["network"], len(found.about["network_digest"])) == ("AlexNet with LPIPS 0.1", 16)


class Decoder(nn.Module):
    """Shows a style's first number as brightness."""

    def forward(self, content, style):
        return (0.5 + 0.1 * style[:, :1, None, None]).expand(-1, 3, 32, 32).clamp(0, 1)


def test_where_noise_is_drawn_pairs_are_of_one_input(make, fetched):
    class Blind(Decoder):
        def forward(self, content, style):
            return content

    networks = {f"Ec_{domain}": nn.Identity() for domain in "AB"}
    found = evaluate(make(4, 3, {**networks, "G_B": Decoder(), "G_A": Blind()}, "munit"), pairs=2)
    assert found.about["between_AB"] == "translations of one input"
    assert (found.about["pictures_AB"], found.about["pairs_AB"]) == (4, 8)
    assert found.metrics["lpips_AB"] > 0
    assert found.metrics["lpips_BA"] == 0  # it makes of each input one picture, however different these are


def test_one_picture_has_no_pair_and_pictures_that_are_not_finite_no_distance(make, fetched):
    class Broken(nn.Module):
        def forward(self, samples):
            return samples * torch.nan

    found = evaluate(make(4, 1, {"G_AB": Broken(), "G_BA": nn.Identity()}))
    assert math.isnan(found.metrics["lpips_AB"])
    assert math.isnan(found.metrics["lpips_real_AB"])
    assert math.isnan(found.metrics["lpips_BA"])
    assert math.isfinite(found.metrics["lpips_real_BA"])
    assert found.warnings[1] == "lpips_BA cannot be measured: one picture, or pictures that are not finite"


def test_a_rehearsal_compares_two_pictures(make, fetched):
    found = evaluate(evolve(make(4, 3, {"G_AB": Constant(), "G_BA": nn.Identity()}), rehearsal=16))
    assert (found.about["pictures_AB"], found.about["pairs_AB"]) == (2, 2)


def test_pictures_that_alexnet_cannot_look_at_are_refused(make, fetched):
    with pytest.raises(InputError, match=r"at least 31 pixels high and wide; got 3 x 16 x 16"):
        evaluate(make(2, 2, {"G_AB": Constant()}, size=16))


def test_without_the_weights_the_command_is_named(make, tmp_path, monkeypatch):
    monkeypatch.setenv("GANFORGE_DATA", str(tmp_path))
    with pytest.raises(
        InputError, match=r"needs the weights 'lpips', .*; fetch them once with `ganforge data fetch lpips`"
    ):
        evaluate(make(2, 2, {"G_AB": Constant()}))


def test_weights_of_another_network_are_refused(state):
    for key in ("features.0.weight", "lin3.model.1.weight"):
        with pytest.raises(InputError, match="not those of LPIPS on AlexNet"):
            lpips.LPIPS({name: value for name, value in state.items() if name != key})
