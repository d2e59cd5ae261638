"""fid, kid and precision-recall: their networks and resizings against torch-fidelity and clean-fid, and what they say."""

import importlib
import json
import math
import sys
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest
import torch
from attrs import evolve
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from ganforge import InputError
from tests.conftest import as_trained

kept = importlib.import_module("ganforge_evaluations.kept")
evaluations, compared, networks, resize, archives = (
    importlib.import_module(f"ganforge_evaluations.fidelity.{name}")
    for name in ("evaluations", "compared", "networks", "resize", "archives")
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def state():
    """Random weights of the Inception network of the FID literature, with which activations keep their size."""
    parts = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    unfilled = patch.object(parts.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
    with patch.object(parts, "load_state_dict_from_url", lambda *_, **__: {}), unfilled, torch.device("meta"):
        shapes = parts.FeatureExtractorInceptionV3("any", ["2048"]).state_dict()
    random = torch.Generator().manual_seed(0)
    found = {}
    for name, tensor in shapes.items():
        if tensor.ndim > 1:
            found[name] = torch.randn(tensor.shape, generator=random) * math.sqrt(2 / tensor[0].numel())
        elif name.endswith("num_batches_tracked"):
            found[name] = torch.tensor(1)
        else:  # of batch normalisation
            found[name] = 1 + 0.2 * torch.randn(tensor.shape, generator=random).abs()
    return found


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    save_file(state, path)
    return path


@pytest.fixture
def torch_fidelitys(state):
    """torch-fidelity's own network with these weights."""
    parts = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    with patch.object(parts, "load_state_dict_from_url", lambda *_, **__: state):
        return parts.FeatureExtractorInceptionV3("any", ["2048"])


@pytest.fixture
def clean_fids(state):
    """clean-fid's own network with these weights; a function of pictures in [0, 255] of the network's size."""
    pytest.importorskip("cleanfid")
    module = importlib.import_module("cleanfid.inception_pytorch")
    with patch.object(module, "load_state_dict_from_url", lambda *_, **__: state):
        network = module.InceptionV3([3], resize_input=False).eval()
    # It takes 2 x - 1; clean-fid's default network, which lies in a file of TorchScript, (x - 128) / 128.
    return lambda pictures: network(pictures / 256)[0].flatten(1)


def pictures_of(count, side=40, seed=0, channels=3):
    """Smooth random pictures, uint8."""
    random = torch.Generator().manual_seed(seed)
    small = torch.rand(count, channels, 8, 8, generator=random)
    return (255 * nn.functional.interpolate(small, (side, side + 8), mode="bicubic").clamp(0, 1)).to(torch.uint8)


def test_the_legacy_features_are_torch_fidelitys(file, torch_fidelitys):
    pictures = torch.cat([pictures_of(2), pictures_of(1, seed=1)])
    with torch.no_grad():
        expected = torch_fidelitys(pictures)[0]
        found = networks.find_network(file, CPU).features(pictures, "legacy")
    assert found.shape == (3, 2048)
    assert 1e-3 < expected.mean() < 1e3
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_the_clean_features_are_clean_fids(file, clean_fids):
    pictures = pictures_of(2, side=320)  # to be made smaller, which is where resizings differ most
    fit = importlib.import_module("cleanfid.resize").build_resizer("clean")
    large = torch.stack([torch.tensor(fit(one.permute(1, 2, 0).numpy())).permute(2, 0, 1) for one in pictures])
    torch.testing.assert_close(resize.clean(pictures, (299, 299)), large, rtol=0, atol=0)
    with torch.no_grad():
        expected = clean_fids(large)
        found = networks.find_network(file, CPU).features(pictures, "clean")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_resizings_differ_where_pictures_are_made_smaller():
    """Columns of black and white: their mean, or every other one of them."""
    pictures = torch.tensor([0, 255], dtype=torch.uint8).repeat(8).expand(1, 3, 16, 16).contiguous()
    assert resize.clean(pictures, (8, 8))[..., 2:-2].sub(127.5).abs().max() < 20
    pytest.importorskip("torch_fidelity")
    assert resize.legacy(pictures, (8, 8)).max() == 0
    for fit in (resize.clean, resize.legacy):
        torch.testing.assert_close(fit(pictures, (16, 16)), pictures.float())
        assert fit(pictures, (9, 21)).shape == (1, 3, 9, 21)


@pytest.fixture
def make(tmp_path, understand):
    """Two folders of pictures and two identities, so that AB and BA compare the same two sets."""

    def call(first, second, size=16, **settings):
        for name, pictures in (("a", first), ("b", second)):
            (tmp_path / name).mkdir(exist_ok=True)
            for number, one in enumerate(pictures):
                Image.fromarray(one.permute(1, 2, 0).squeeze(2).numpy()).save(tmp_path / name / f"{number}.png")
        table = {"use": "folders", "size": size, "a": str(tmp_path / "a"), "b": str(tmp_path / "b")}
        table |= {"test_a": str(tmp_path / "a"), "test_b": str(tmp_path / "b"), **settings}
        path = tmp_path / "folders.toml"
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
        path.write_text(f'extends = "base_64"\n[dataset]\n{lines}\n')
        return as_trained(understand(path), {"G_AB": nn.Identity(), "G_BA": nn.Identity()}, 1)

    return call


def few(count, seed=0, channels=3, side=16):
    return pictures_of(count, side, seed, channels)[..., :side]


class Network(nn.Module):
    """A small network of one's own field."""

    def __init__(self, channels=3):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, pictures):
        return self.layers(pictures)


@pytest.fixture
def own(monkeypatch):
    """The small network in place of the Inception network; returns how many pictures it has read."""
    network, read = Network().eval(), []

    def features(pictures):
        read.append(len(pictures))
        return network(pictures / 255)

    found = networks.FeatureNetwork("own", "0123", 3, (12, 12), features)
    monkeypatch.setattr(compared, "find_network", lambda path, device: found)
    compared._kept.clear()
    return read


def evaluate(evaluation, trained, **settings):
    with trained.evaluating():
        return evaluation(trained, **settings)


def test_both_directions_compare_the_same_two_sets(make, own):
    trained = make(few(8), few(6, 1))
    found = evaluate(evaluations.fid, trained)
    assert set(found.metrics) == {f"{name}_{way}" for name in ("fid", "kid", "kid_error") for way in ("AB", "BA")}
    assert found.metrics["fid_AB"] == pytest.approx(found.metrics["fid_BA"], rel=1e-6)
    assert found.about == {
        "network": "own",
        "network_digest": "0123",
        "resizing": "clean",
        "dimensions": 6,
        "pictures_AB": 8,
        "real_AB": 6,
        "pictures_BA": 6,
        "real_BA": 8,
    }
    kernel = evaluate(evaluations.kid, trained)
    assert {name: found.metrics[name] for name in kernel.metrics} == kernel.metrics
    assert (kernel.about["subsets"], kernel.about["subset_size"]) == (100, 1000)
    manifold = evaluate(evaluations.precision_recall, trained).metrics
    assert manifold["precision_AB"] == manifold["recall_BA"]


def test_a_warning_says_that_fid_is_biased_and_kid_stands_beside_it(make, own, monkeypatch):
    trained = make(few(8), few(1, 1).repeat(6, 1, 1, 1))
    found = evaluate(evaluations.fid, trained)
    assert len(found.warnings) == 2
    value, error = found.metrics["kid_AB"], found.metrics["kid_error_AB"]
    assert found.warnings[0] == (
        "fid_AB is biased: it compares 8 translations with 6 real pictures, and below 2,048 on a side it is far too "
        f"large; compare it only with values for the same counts, or compare kid_AB = {value:.4g} ± {error:.2g}"
    )
    monkeypatch.setattr(evaluations, "ENOUGH", 6)
    found = evaluate(evaluations.fid, trained)
    assert (set(found.metrics), found.warnings) == ({"fid_AB", "fid_BA"}, [])


def test_features_are_read_once(make, own, tmp_path, monkeypatch):
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    trained = make(few(8), few(6, 1))
    first = evaluate(evaluations.fid, trained)
    assert sum(own) == 2 * (8 + 6)
    assert evaluate(evaluations.fid, trained).metrics == first.metrics
    evaluate(evaluations.kid, trained)
    assert sum(own) == 2 * (8 + 6)
    compared._kept.clear()  # as in another process: only those of real pictures are on the disk
    evaluate(evaluations.fid, trained)
    assert sum(own) == 3 * (8 + 6)
    evaluate(evaluations.fid, trained, resizing="clean", limit=5)
    assert sum(own) == 3 * (8 + 6) + 2 * (5 + 5)


def test_data_clear_empties_the_features_too(make, own, tmp_path, monkeypatch, ganforge):
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    evaluate(evaluations.fid, make(few(8), few(6, 1)))
    assert (tmp_path / "cache" / "features").is_dir()
    result = ganforge("data", "clear")
    assert result.status == 0, result.err
    assert not (tmp_path / "cache" / "features").exists()


@pytest.mark.parametrize("damage", ["cut", "bytes", "emptied", "folder", "other"])
def test_a_damaged_cache_is_remade(damage, make, own, tmp_path, monkeypatch):
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    trained = make(few(8), few(6, 1))
    first = evaluate(evaluations.fid, trained).metrics
    kept = sorted((tmp_path / "cache" / "features").glob("*.safetensors"))
    assert len(kept) == 2
    for path in kept:
        content = path.read_bytes()
        if damage == "folder":
            path.unlink()
            path.mkdir()
        elif damage == "other":
            save_file({"other": torch.zeros(2)}, path)
        else:
            path.write_bytes({"cut": content[:-9], "bytes": content[:-9] + bytes(9), "emptied": b""}[damage])
    assert evaluate(evaluations.fid, trained).metrics == first
    assert sum(own) == 2 * (8 + 6) + (8 + 6)
    if damage != "folder":
        assert evaluate(evaluations.fid, trained).metrics == first
        assert sum(own) == 2 * (8 + 6) + (8 + 6)


def test_other_pictures_and_other_weights_have_other_features(make, own, tmp_path, monkeypatch):
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    first = evaluate(evaluations.fid, make(few(8), few(6, 1))).metrics
    second = evaluate(evaluations.fid, make(few(8), few(6, 2))).metrics
    assert second["fid_AB"] != pytest.approx(first["fid_AB"])
    other = networks.FeatureNetwork("own", "4567", 3, (12, 12), lambda pictures: pictures.flatten(1)[:, :6])
    monkeypatch.setattr(compared, "find_network", lambda path, device: other)
    assert evaluate(evaluations.fid, make(few(8), few(6, 2))).metrics["fid_AB"] != pytest.approx(second["fid_AB"])


def test_a_cache_that_cannot_be_written_is_told_and_does_no_harm(make, own, tmp_path, monkeypatch):
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "write_file", partial(_refuse, 28, "No space left on device"))
    found = evaluate(evaluations.fid, make(few(8), few(6, 1)))
    assert math.isfinite(found.metrics["fid_AB"])
    (warning,) = [text for text in found.warnings if "not cached" in text]
    assert warning.endswith("cannot be written: No space left on device")


def _refuse(number, text, *_, **__):
    raise OSError(number, text)


@pytest.mark.parametrize("evaluation", ["fid", "kid", "precision_recall"])
@pytest.mark.parametrize(("counts", "told"), [((5, 1), "5 translations with 1 real picture are too few")])
def test_of_one_picture_nothing_is_measured_and_a_warning_says_so(evaluation, counts, told, make, own):
    found = evaluate(getattr(evaluations, evaluation), make(few(counts[0]), few(counts[1], 1)))
    assert all(map(math.isnan, found.metrics.values()))
    assert not any("biased" in text for text in found.warnings)
    names = [name for name in found.metrics if name.endswith("AB")]
    assert f"{', '.join(names)} cannot be measured: {told}" in found.warnings


def test_two_pictures_and_constant_ones_are_measured(make, own):
    constant = torch.full((2, 3, 16, 16), 9, dtype=torch.uint8)
    found = evaluate(evaluations.fid, make(constant, constant + 90)).metrics
    assert found["fid_AB"] > 0
    assert math.isnan(found["kid_error_AB"])
    assert evaluate(evaluations.fid, make(constant, constant)).metrics["fid_AB"] == pytest.approx(0, abs=1e-9)


class Broken(nn.Module):
    """No number in one of the pictures."""

    def forward(self, pictures):
        return torch.cat([pictures[:1] * torch.nan, pictures[1:]])


@pytest.mark.parametrize("evaluation", ["fid", "kid", "precision_recall"])
def test_translations_that_are_not_finite_have_no_distance(evaluation, make, own):
    trained = make(few(8), few(6, 1))
    trained.scheme.modules["G_AB"] = Broken()
    found = evaluate(getattr(evaluations, evaluation), trained)
    assert all(math.isnan(value) == name.endswith("_AB") for name, value in found.metrics.items())
    assert any(text.endswith("the features of translations are not finite") for text in found.warnings)


def test_grey_pictures_count_as_three_equal_channels(make, own):
    grey = few(8, channels=1)
    found = evaluate(evaluations.fid, make(grey, few(6, 1, channels=1), channels=1)).metrics
    colour = evaluate(evaluations.fid, make(grey.expand(-1, 3, -1, -1), few(6, 1, channels=1).expand(-1, 3, -1, -1)))
    assert found == colour.metrics


def test_pictures_of_other_channels_are_refused(own):
    network = networks.FeatureNetwork("own", "0123", 3, (12, 12), Network())
    for channels in (2, 4, 7):
        with pytest.raises(InputError, match=f"own takes pictures of 1 or 3 channels, got {channels}"):
            network.require(channels)


def test_pictures_are_looked_at_as_they_are_saved():
    pictures = torch.tensor([-1.0, 0.0, 0.4999 / 255, 0.5001 / 255, 0.5, 254.6 / 255, 1.0, 7.0]).reshape(1, 1, 2, 4)
    whole, finite = compared.eight_bits(pictures)
    assert whole.flatten().tolist() == [0, 0, 0, 1, 128, 255, 255, 255]
    assert finite.tolist() == [True]
    assert compared.eight_bits(torch.tensor([[[[math.inf]]], [[[0.5]]]]))[1].tolist() == [False, True]


def test_a_rehearsal_reads_two_pictures_of_a_side_and_keeps_none(make, own, tmp_path, monkeypatch):
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    found = evaluate(evaluations.fid, evolve(make(few(8), few(6, 1)), rehearsal=16))
    assert (found.about["pictures_AB"], found.about["real_AB"], own) == (2, 2, [2, 2, 2, 2])
    assert not (tmp_path / "cache" / "features").exists()


def test_more_pictures_than_fit_at_a_time_are_translated_in_parts(make, own, monkeypatch):
    trained = make(few(8), few(6, 1))
    whole = evaluate(evaluations.fid, trained)
    monkeypatch.setattr(importlib.import_module("ganforge_evaluations.pictures"), "PART", 3)
    parts = evaluate(evaluations.fid, trained)
    assert parts.metrics == pytest.approx(whole.metrics)
    assert parts.about == whole.about


def test_features_are_of_full_precision_however_a_run_trains(monkeypatch):
    found = []
    network = networks.FeatureNetwork(
        "own", "0", 3, (4, 4), lambda pictures: found.append(torch.backends.cudnn.allow_tf32) or pictures.flatten(1)
    )
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    network.features(few(1), "clean")
    assert (found, torch.backends.cudnn.allow_tf32) == ([False], True)


# What networks may be, and what is said where none is.


def test_without_the_weights_the_command_is_named(make, tmp_path, monkeypatch):
    monkeypatch.setenv("GANFORGE_DATA", str(tmp_path / "home"))
    with pytest.raises(InputError) as error:
        evaluations.fid(make(few(2), few(2)))
    assert str(error.value) == (
        f"needs the weights 'inception', which are not in '{tmp_path}/home/inception'; "
        "fetch them once with `ganforge data fetch inception`"
    )


def test_fetched_weights_that_are_damaged_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GANFORGE_DATA", str(tmp_path))
    (tmp_path / "inception").mkdir()
    (tmp_path / "inception" / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match=r"cannot be read: .*; delete '.*' and fetch them again with `ganforge data"):
        networks.find_network(None, CPU)
    save_file({"a": torch.ones(1)}, tmp_path / "inception" / "weights.safetensors")
    with pytest.raises(InputError, match="the fetched file does not hold the weights of the Inception"):
        networks.find_network(None, CPU)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.safetensors", None, "cannot be read: No such file"),
        ("empty.safetensors", b"", "cannot be read"),
        ("other.safetensors", {"a": torch.ones(1)}, "does not hold the weights of torchvision's inception_v3"),
        ("other.safetensors", {"fc.bias": torch.ones(1008)}, "does not hold the weights of the Inception network of"),
        ("pickle.pth", b"\x80\x04.", "cannot be read"),
        ("broken.onnx", b"\x08\x07", "is not an ONNX network"),
    ],
)
def test_what_is_no_feature_network_is_refused(name, content, message, tmp_path):
    if name.endswith("onnx"):
        pytest.importorskip("onnxruntime")
    if isinstance(content, dict):
        save_file(content, tmp_path / name)
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        networks.find_network(tmp_path / name, CPU)
    assert error.value.key == "features"


def test_without_torch_fidelity_the_extra_is_named(file, monkeypatch):
    for name in ("torch_fidelity", "torch_fidelity.interpolate_compat_tensorflow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"needs the package torch-fidelity: pip install 'ganforge\[fid\]'"):
        networks.find_network(file, CPU)
    with pytest.raises(InputError, match=r"pip install 'ganforge\[fid\]'") as error:
        resize.legacy(few(1), (9, 9))
    assert error.value.key == "resizing"


@pytest.mark.filterwarnings("ignore")
def test_torchvisions_weights_are_known_by_their_shape(tmp_path):
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    whole = inception_v3(weights=None, init_weights=False).eval()
    save_file(
        {name: value.half() if value.is_floating_point() else value for name, value in whole.state_dict().items()},
        tmp_path / "x.safetensors",
    )
    network = networks.find_network(tmp_path / "x.safetensors", CPU)
    whole.load_state_dict(load_file(tmp_path / "x.safetensors"))
    whole.fc = nn.Identity()
    mean, deviation = (torch.tensor(three)[:, None, None] for three in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    pictures = few(1)
    with torch.no_grad():
        expected = whole((resize.clean(pictures, (299, 299)) / 255 - mean) / deviation)
        torch.testing.assert_close(network.features(pictures, "clean"), expected, rtol=1e-4, atol=1e-6)
    assert network.name == "torchvision's inception_v3"


@pytest.mark.filterwarnings("ignore")
def test_a_network_of_ones_own_field_takes_the_pictures_that_it_was_exported_for(tmp_path):
    pytest.importorskip("onnxscript")
    own, path = Network(5).eval(), tmp_path / "own.onnx"
    dynamic = ({0: torch.export.Dim.DYNAMIC},)
    torch.onnx.export(
        own, (torch.rand(2, 5, 20, 24),), path, dynamic_shapes=dynamic, external_data=False, verbose=False
    )
    network = networks.find_network(path, CPU)
    assert (network.name, network.channels, network.size) == ("own.onnx", 5, (20, 24))
    pictures = pictures_of(3, channels=5)
    with torch.no_grad():
        expected = own(resize.clean(pictures, (20, 24)) / 255)
    torch.testing.assert_close(network.features(pictures, "clean"), expected, rtol=1e-4, atol=1e-6)
    network.require(1)
    with pytest.raises(InputError, match=r"own.onnx takes pictures of 1 or 5 channels, got 3"):
        network.require(3)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([2, 3, 8, 8], r"takes tensor\(float\) \[2, 3, 8, 8\], expected float \[N, C, H, W\] with a dynamic N"),
        (["N", 3, "H", "W"], r"\['N', 3, 'H', 'W'\], expected float"),
        (["N", 12], r"\['N', 12\], expected float"),
        (["N", 3, 8, 8], r"returns \[1, 3, 8, 8\], expected features \[N, F\]"),
    ],
    ids=str,
)
def test_a_network_that_takes_no_pictures_or_returns_no_features_is_refused(shape, message, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "same", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    (tmp_path / "own.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=message) as error:
        networks.find_network(tmp_path / "own.onnx", CPU).features(few(1), "clean")
    assert error.value.key == "features"


# Whole measurements on the same weights; that of 2,048 features takes minutes where a core is slow.


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_the_metrics_are_those_of_torch_fidelity(make, state, file, tmp_path):
    import torch_fidelity

    first, second = few(12), few(12, 1)
    trained = make(first, second)
    path = tmp_path / "state.pth"
    torch.save(state, path)
    told = {"cuda": False, "cache": False, "verbose": False, "feature_extractor_weights_path": str(path)}
    told |= {"feature_extractor": "inception-v3-compat"}  # by default precision and recall are those of VGG-16
    expected = torch_fidelity.calculate_metrics(
        input1=Listed(first), input2=Listed(second), fid=True, kid=True, prc=True, kid_subset_size=12, **told
    )
    found = evaluate(evaluations.fid, trained, features=file, resizing="legacy").metrics
    found |= evaluate(evaluations.precision_recall, trained, features=file, resizing="legacy").metrics
    assert found["fid_AB"] == pytest.approx(expected["frechet_inception_distance"], rel=1e-4)
    assert found["kid_AB"] == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-4)
    assert found["precision_AB"] == pytest.approx(expected["precision"])
    assert found["recall_AB"] == pytest.approx(expected["recall"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_the_metrics_are_those_of_clean_fid(make, file, clean_fids):
    measure, fit = importlib.import_module("cleanfid.fid"), importlib.import_module("cleanfid.resize")
    fit = fit.build_resizer("clean")
    sets = few(12), few(12, 1)
    trained = make(*sets)
    with torch.no_grad():
        large = [
            torch.stack([torch.tensor(fit(one.permute(1, 2, 0).numpy())).permute(2, 0, 1) for one in s]) for s in sets
        ]
        # In single precision its kernel distance would be 1e-4 off.
        first, second = (clean_fids(pictures).double().numpy() for pictures in large)
    found = evaluate(evaluations.fid, trained, features=file).metrics
    one, other = ((features.mean(0), np.cov(features, rowvar=False)) for features in (first, second))
    assert found["fid_AB"] == pytest.approx(measure.frechet_distance(*one, *other), rel=1e-4)
    assert found["kid_AB"] == pytest.approx(measure.kernel_distance(first, second, num_subsets=1), rel=1e-4)


class Listed(torch.utils.data.Dataset):
    """Pictures as torch-fidelity takes them."""

    def __init__(self, pictures):
        self.pictures = pictures

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, index):
        return self.pictures[index]
