"""The perceptual loss against torchvision's network itself, and where its weights may come from."""

from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from ganforge import InputError
from ganforge.testing import components_of

(Perceptual,) = (component.factory for component in components_of("ganforge_losses") if component.name == "perceptual")
SMALL = {"network": "squeezenet1_1", "layers": ["features.1", "features.3"], "factors": [0.5, 2.0]}
PLAIN = {"mean": (0.0, 0.0, 0.0), "deviation": (1.0, 1.0, 1.0)}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return torchvision.models.squeezenet1_1().eval()


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file(network.state_dict(), path)
    return path


def distance(network, x, y, of):
    with torch.no_grad():
        parts = [(0.5, network.features[:2]), (2.0, network.features[:4])]
        return sum(factor * of(part(x) - part(y)).mean() for factor, part in parts)


@pytest.mark.parametrize(("name", "of"), [("l1", torch.abs), ("l2", torch.square)])
def test_it_is_the_weighted_distance_of_the_layers_that_are_named(name, of, file, network):
    x, y = torch.rand(2, 2, 3, 16, 16)
    mean, deviation = (torch.tensor(three)[:, None, None] for three in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    found = Perceptual(weights=file, distance=name, **SMALL).generator(x, y)
    torch.testing.assert_close(found, distance(network, (x - mean) / deviation, (y - mean) / deviation, of))
    found = Perceptual(weights=file, distance=name, mean=(0.5,) * 3, deviation=(0.5,) * 3, **SMALL).generator(x, y)
    torch.testing.assert_close(found, distance(network, 2 * x - 1, 2 * y - 1, of))


def test_layers_that_work_in_place_do_not_change_the_ones_before(file, network):
    loss = Perceptual(
        weights=file, network="squeezenet1_1", layers=["features.0", "features.1"], factors=[1.0, 0.0], **PLAIN
    )
    x, y = torch.rand(2, 1, 3, 16, 16)
    first = network.features[0]
    torch.testing.assert_close(loss.generator(x, y), (first(x) - first(y)).abs().mean().detach())


def test_grey_pictures_count_as_colour(file):
    x, y = torch.rand(2, 2, 1, 16, 16)
    loss = Perceptual(weights=file, **SMALL)
    torch.testing.assert_close(loss.generator(x, y), loss.generator(x.expand(-1, 3, -1, -1), y.expand(-1, 3, -1, -1)))


def test_pictures_learn_by_it_and_the_network_does_not(file):
    loss = Perceptual(weights=file, **SMALL).train()
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    loss.generator(x, torch.rand(1, 3, 16, 16)).backward()
    assert x.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    assert not any(module.training for module in loss.modules())


def test_the_defaults_are_the_layers_of_pix2pixhd():
    whole = torchvision.models.vgg19
    with torch.device("meta"):
        features = whole().features
    settings = {c.name: c for c in components_of("ganforge_losses")}["perceptual"].signature.settings
    names, factors = settings["layers"].default, settings["factors"].default
    layers = [int(name.removeprefix("features.")) for name in names]
    pools = [index for index, layer in enumerate(features) if isinstance(layer, torch.nn.MaxPool2d)]
    assert layers == [1, *(pool + 2 for pool in pools[:4])]  # the ReLU of the first convolution of each block
    assert all(isinstance(features[layer], torch.nn.ReLU) for layer in layers)
    assert factors == [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1]


def test_torchvisions_own_weights_are_read_of_its_cache(network, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"are not in .*; set download = true to fetch https://.*squeeze") as error:
        Perceptual(weights="DEFAULT", **SMALL)
    assert error.value.key == "weights"
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    name = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT.url.rpartition("/")[2]
    torch.save(network.state_dict(), tmp_path / "hub" / "checkpoints" / name)
    x, y = torch.rand(2, 1, 3, 16, 16)
    found = Perceptual(weights="DEFAULT", **SMALL, **PLAIN).generator(x, y)
    torch.testing.assert_close(found, distance(network, x, y, torch.abs))


def test_a_download_that_fails_is_one_line(tmp_path, monkeypatch):
    def offline(url, **_):
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    with pytest.raises(InputError, match=r"https://.* cannot be downloaded: .*no route to host") as error:
        Perceptual(weights="DEFAULT", download=True, **SMALL)
    assert error.value.key == "weights"


@pytest.mark.parametrize(
    ("settings", "key", "message"),
    [
        ({"network": "vgg18"}, "network", "torchvision has no network 'vgg18'; did you mean 'vgg1"),
        ({"layers": ["features.1", "feature.3"]}, "layers", "has no layer 'feature.3'; did you mean 'features.3'"),
        ({"factors": [1.0]}, "factors", "2 layers need as many factors, got 1"),
        ({"deviation": (0.1, 0.0, 0.1)}, "deviation", "> 0"),
        ({"weights": "no.safetensors"}, "weights", "'no.safetensors' cannot be read"),
        ({"network": "vgg11"}, "weights", "does not hold the weights of vgg11: see 'features"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_settings_are_told_with_their_place(settings, key, message, file):
    with pytest.raises(InputError, match=message) as error:
        Perceptual(**{"weights": file, **SMALL, **settings})
    assert error.value.key == key


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9), "shapes differ"),
        (torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8), r"pictures of 1 or 3 channels, not for \[1, 2, 8, 8\]"),
        (torch.zeros(4, 3), torch.zeros(4, 3), r"not for \[4, 3\]"),
    ],
    ids=["shapes", "channels", "points"],
)
def test_what_is_no_picture_is_refused(x, y, message, file):
    with pytest.raises(ValueError, match=message):
        Perceptual(weights=file, **SMALL).generator(x, y)
