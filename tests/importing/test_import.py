"""Weights of public code: imported, they give the pictures that the modules gave which they were saved from."""

import copy
import json
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ganforge import InputError, Translator, load_trained
from ganforge.runs.checkpoint import read_tensors
from tests.networks.public import (
    PublicDiscoDiscriminator,
    PublicDiscoGenerator,
    PublicPatch,
    PublicPixel,
    PublicResnet,
    PublicSample,
    PublicUnet,
    randomise,
)


class Apart(nn.Module):
    """A network that is given pictures one by one, as the public test commands do."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pictures):
        return torch.cat([self.network(one[None]) for one in pictures])


def save(network, path):
    torch.save(network.state_dict(), path)
    return network


def assert_translates_as(reference, folder, direction, inputs, size, signed=True):
    """Compare what an imported direction makes with what the module made, in the module's own range of pixels."""
    torch.manual_seed(1)
    pictures = torch.rand(2, inputs, *size)
    theirs = reference(pictures * 2 - 1 if signed else pictures).detach()
    mine = Translator.load(folder, direction, device="cpu")(pictures)
    torch.testing.assert_close(mine * 2 - 1 if signed else mine, theirs, rtol=0, atol=1e-6)
    assert theirs.std() > 0.01


RESNETS = {
    "nine blocks": ({"inputs": 3, "outputs": 3, "ngf": 8, "blocks": 9}, "cyclegan"),
    "six blocks": ({"inputs": 3, "outputs": 3, "ngf": 32, "blocks": 6}, "resnet_6blocks"),
    "channels": ({"inputs": 1, "outputs": 4, "ngf": 4, "blocks": 2}, "cyclegan"),
    "batch": ({"inputs": 4, "outputs": 1, "ngf": 4, "blocks": 3, "norm": "batch"}, "cyclegan"),
    "dropout": ({"inputs": 3, "outputs": 3, "ngf": 4, "blocks": 3, "dropout": True}, "cyclegan"),
    "antialiased": ({"inputs": 3, "outputs": 3, "ngf": 4, "blocks": 9, "antialiased": True}, "cut"),
    "antialiased, batch, dropout": (
        {"inputs": 1, "outputs": 1, "ngf": 4, "blocks": 2, "norm": "batch", "antialiased": True, "dropout": True},
        "cut",
    ),
    "no_antialias": ({"inputs": 3, "outputs": 3, "ngf": 4, "blocks": 4}, "cut"),
    "of many pixels": ({"inputs": 3, "outputs": 3, "ngf": 2, "blocks": 2, "halvings": 4}, "cyclegan"),
    "zeros": ({"inputs": 3, "outputs": 3, "ngf": 4, "blocks": 3, "padding_type": "zero"}, "cyclegan"),
    "zeros, batch, dropout": (
        {"inputs": 3, "outputs": 3, "ngf": 4, "blocks": 2, "norm": "batch", "dropout": True, "padding_type": "zero"},
        "cyclegan",
    ),
    "replicate": ({"inputs": 3, "outputs": 3, "ngf": 4, "blocks": 2, "padding_type": "replicate"}, "cyclegan"),
}


@pytest.mark.parametrize("case", RESNETS)
def test_a_resnet_translates_as_the_public_module_did(case, ganforge, tmp_path):
    settings, name = RESNETS[case]
    reference = save(randomise(PublicResnet(**settings)), tmp_path / "latest_net_G.pth")
    told = ("--set", "generator.padding=replicate") if settings.get("padding_type") == "replicate" else ()
    result = ganforge("import", "latest_net_G.pth", "--as", name, "--out", "weights", *told)
    assert result.status == 0, result.err
    if settings.get("norm") == "batch":  # as the public test command has it, but for dropout
        for module in reference.modules():
            module.train(isinstance(module, nn.BatchNorm2d))
        reference = Apart(reference)
    assert_translates_as(reference, "weights", "AB", settings["inputs"], (32, 48))


@pytest.mark.parametrize(("levels", "norm", "inputs", "outputs"), [(7, "instance", 3, 1), (8, "batch", 1, 3)])
def test_a_unet_translates_as_the_public_module_did(levels, norm, inputs, outputs, ganforge, tmp_path):
    reference = save(randomise(PublicUnet(inputs, outputs, 4, levels, norm)), tmp_path / "latest_net_G.pth")
    words = ("--as", "pix2pix", "--out", "weights", "--set", "generator.dropout=0.0")
    result = ganforge("import", "latest_net_G.pth", *words)
    assert result.status == 0, result.err
    recipe = tomllib.loads((tmp_path / "weights" / "recipe.toml").read_text())
    assert recipe["generator"]["levels"] == levels
    assert recipe["dataset"]["size"] == [2**levels, 2**levels]
    if norm == "batch":  # as the public test command has it
        reference = Apart(reference.train())
    assert_translates_as(reference, "weights", "AB", inputs, (2**levels, 2 ** (levels + 1)))


def test_a_unet_of_pix2pix_draws_its_dropout_and_one_of_cyclegan_has_none(ganforge, tmp_path):
    reference = save(randomise(PublicUnet(3, 3, 4, 7, "instance", dropout=True)), tmp_path / "G.pth")
    for method in ("pix2pix", "unet_128", "cyclegan"):
        result = ganforge("import", "G.pth", "--as", method, "--out", method)
        assert result.status == 0, result.err
        rate = 0.0 if method == "cyclegan" else 0.5
        assert f"no tensor shows a U-Net's dropout: {rate} is assumed" in result.out
        recipe = tomllib.loads((tmp_path / method / "recipe.toml").read_text())
        assert recipe["generator"]["dropout"] == rate
    assert_translates_as(reference, "cyclegan", "AB", 3, (128, 128))


@pytest.mark.parametrize("extra", [False, True])
def test_discogans_generator_translates_as_the_reference_did(extra, ganforge, tmp_path):
    reference = save(randomise(PublicDiscoGenerator(width=8, extra=extra)), tmp_path / "model_gen_A-2.pth")
    result = ganforge("import", "model_gen_A-2.pth", "--as", "discogan", "--out", "weights")
    assert result.status == 0, result.err
    assert "discogan" in result.out
    assert "becomes G_BA, translates B to A" in result.out
    assert "add --bgr for weights that it has trained" in result.out
    assert_translates_as(copy.deepcopy(reference).train(), "weights", "BA", 3, (64, 64), signed=False)
    assert_translates_as_one(reference, extra)


def assert_translates_as_one(reference, extra):
    picture = torch.rand(1, 3, 64, 64)
    if extra:
        with pytest.raises(InputError, match="or use another norm than 'batch'"):
            Translator.load("weights", device="cpu")(picture)
    mine = Translator.load("weights", device="cpu", norm="running")(picture)
    torch.testing.assert_close(mine, reference(picture).detach(), rtol=0, atol=1e-6)


def test_colours_that_a_network_saw_with_blue_first_change_places(ganforge, tmp_path, plugins):
    reference = save(randomise(PublicDiscoGenerator(width=4)), tmp_path / "gen_B.pth").train()
    cycle = save(randomise(PublicResnet(3, 3, 4, 1)), tmp_path / "G_A.pth")
    assert ganforge("import", "gen_B.pth", "--as", "discogan", "--bgr", "--out", "disco").status == 0
    assert ganforge("import", "G_A.pth", "--as", "cyclegan", "--bgr", "--out", "cycle").status == 0
    assert_translates_as(lambda x: reference(x.flip(1)).flip(1), "disco", "AB", 3, (64, 64), signed=False)
    assert_translates_as(lambda x: cycle(x.flip(1)).flip(1), "cycle", "AB", 3, (32, 32))
    pairs = save(randomise(PublicPatch(6, 4, 1)), tmp_path / "D.pth")
    assert ganforge("import", "D.pth", "--as", "pix2pix", "--bgr", "--out", "pairs").status == 0
    judge = load_trained(tmp_path / "pairs", plugins, torch.device("cpu")).networks["D"].eval()
    x = torch.rand(1, 6, 32, 32)
    swapped = x[:, [2, 1, 0, 5, 4, 3]]
    torch.testing.assert_close(judge(x)[0], pairs(swapped * 2 - 1), rtol=0, atol=1e-6)
    save(randomise(PublicResnet(1, 3, 4, 1)), tmp_path / "grey.pth")
    refused = ganforge("import", "grey.pth", "--as", "cyclegan", "--bgr")
    assert refused.status == 2
    assert "--bgr: grey.pth has 1 channels, not three colours" in refused.err


JUDGES = {
    "basic": (lambda: PublicPatch(3, 8), "cyclegan", 3),
    "n_layers": (lambda: PublicPatch(1, 4, 2, "batch"), "cyclegan", 1),
    "antialiased": (lambda: PublicPatch(3, 4, 3, "instance", True), "cut", 3),
    "pixel": (lambda: PublicPixel(3, 4, "batch"), "cyclegan", 3),
    "pairs": (lambda: PublicPatch(6, 4, 3, "batch"), "pix2pix", 6),
    "discogan": (lambda: PublicDiscoDiscriminator(3, 4), "discogan", 3),
}


@pytest.mark.parametrize("case", JUDGES)
def test_a_discriminator_judges_as_the_public_module_did(case, ganforge, tmp_path, plugins):
    make, name, channels = JUDGES[case]
    reference = save(randomise(make()), tmp_path / "net.pth")
    network = "D_B" if name in ("cyclegan", "discogan") else "D"
    result = ganforge("import", "net.pth", "--as", name, "--out", "weights")
    assert result.status == 0, result.err
    trained = load_trained(tmp_path / "weights", plugins, torch.device("cpu"), "running")
    x = torch.rand(2, channels, 64, 64)
    score, _ = trained.networks[network].eval()(x)
    signed = name != "discogan"
    theirs = reference(x * 2 - 1 if signed else x)
    torch.testing.assert_close(score if signed else score.sigmoid(), theirs.reshape(score.shape), rtol=0, atol=1e-6)


def test_the_networks_of_a_run_are_known_by_the_names_of_their_files(ganforge, tmp_path):
    for name, outputs in (("G_A", 1), ("G_B", 3)):
        save(randomise(PublicResnet(4 - outputs, outputs, 4, 1 if outputs == 1 else 2)), tmp_path / f"9_net_{name}.pth")
    save(randomise(PublicPatch(1, 4)), tmp_path / "9_net_D_A.pth")  # which judges B
    save(randomise(PublicPatch(3, 4)), tmp_path / "9_net_D_B.pth")
    files = sorted(path.name for path in tmp_path.glob("*.pth"))
    result = ganforge("import", *files, "--as", "cyclegan")
    assert result.status == 0, result.err
    assert "9_net_D_A.pth: basic" in result.out
    assert "becomes D_B, discriminator of B" in result.out
    assert "becomes G_AB, translates A to B" in result.out
    folder = tmp_path / "9_net_D_A"
    assert sorted(path.stem for path in folder.glob("*.safetensors")) == ["D_A", "D_B", "G_AB", "G_BA"]
    lock = tomllib.loads((folder / "recipe.toml").read_text())
    assert lock["dataset"]["A"]["channels"] == 3
    assert lock["dataset"]["B"]["channels"] == 1
    assert lock["generator"]["blocks"] == 1
    assert lock["generator"]["BA"]["blocks"] == 2
    assert lock["lock"]["imported"]["G_AB"].startswith("9_net_G_A.pth sha256 ")


def test_cuts_heads_go_where_its_training_would_have_them(ganforge, tmp_path):
    save(randomise(PublicResnet(3, 3, 4, 9, antialiased=True)), tmp_path / "latest_net_G.pth")
    save(PublicSample([3, 8, 16, 16, 16], 32), tmp_path / "latest_net_F.pth")
    result = ganforge("import", "latest_net_F.pth", "latest_net_G.pth", "--as", "cut", "--out", "weights")
    assert result.status == 0, result.err
    state = torch.load(tmp_path / "latest_net_F.pth", weights_only=True)
    tensors, about = read_tensors(tmp_path / "weights" / "H.safetensors")
    assert torch.equal(tensors["mlps.4.2.weight"], state["mlp_4.2.weight"])
    assert about["step"] == "0"


def old_instance_norm(state):
    """What torch 0.3 saved of instance norms, which had running statistics that nobody used."""
    extra = {"model.2.running_mean": torch.ones(4), "model.2.running_var": torch.ones(4)}
    return {**state, **extra, "model.2.num_batches_tracked": torch.tensor(3)}


FORMS = {
    "DataParallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "compiled in parallel": lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
    "of a module": lambda state: {f"netG.{key}": value for key, value in state.items()},
    "state_dict": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"state": {}, "param_groups": []}},
    "model": lambda state: {"model": {f"module.{key}": value for key, value in state.items()}, "args": None},
    "old instance norm": old_instance_norm,
    "sorted": lambda state: dict(sorted(state.items(), reverse=True)),
    "half": lambda state: {key: value.double() for key, value in state.items()},
}


@pytest.mark.parametrize("form", FORMS)
def test_state_dicts_are_taken_in_any_wrapping(form, ganforge, tmp_path):
    reference = randomise(PublicResnet(3, 3, 4, 2))
    torch.save(FORMS[form](reference.state_dict()), tmp_path / "horse2zebra.pth")
    result = ganforge("import", "horse2zebra.pth", "--as", "cyclegan")
    assert result.status == 0, result.err
    assert_translates_as(reference, "horse2zebra", "AB", 3, (32, 32))


def test_a_batch_norm_of_old_torch_has_no_count(ganforge, tmp_path):
    reference = randomise(PublicResnet(3, 3, 4, 2, "batch"))
    state = {key: value for key, value in reference.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "G.pth")
    assert ganforge("import", "G.pth", "--as", "cyclegan").status == 0
    pictures = torch.rand(1, 3, 32, 32)
    mine = Translator.load("G", device="cpu", norm="running")(pictures)  # the public --eval
    torch.testing.assert_close(mine * 2 - 1, reference(pictures * 2 - 1).detach(), rtol=0, atol=1e-6)


class Harmful:
    def __reduce__(self):
        return (Path.touch, (Path("harmed"),))


def broken(tmp_path):
    network = PublicResnet(3, 3, 4, 2)
    state = network.state_dict()
    torch.save(network, "module.pth")
    torch.save({"state_dict": state, "more": Harmful()}, "harmful.pth")
    torch.save({"G_A": state, "G_B": state}, "several.pth")
    torch.save(torch.zeros(3), "tensor.pth")
    torch.save({}, "nothing.pth")
    torch.save({"fc.weight": torch.zeros(3, 3), "fc.bias": torch.zeros(3)}, "other.pth")
    torch.save({f"layer{n}.conv1.weight": torch.zeros(2) for n in range(9)} | {"conv1.weight": torch.zeros(2)}, "o.pth")
    torch.save({key: value for key, value in state.items() if ".5." not in key}, "lacking.pth")
    torch.save({**state, "extra.weight": torch.zeros(2)}, "extra.pth")
    torch.save({**state, "model.1.bias": torch.zeros(5)}, "shape.pth")
    torch.save({**state, "model.1.bias": torch.zeros(4, dtype=torch.int64)}, "whole.pth")
    torch.save({**state, "model.1.bias": torch.zeros(4).to_sparse()}, "sparse.pth")
    torch.save(PublicResnet(3, 3, 4, 2, antialiased=True).state_dict(), "sound.pth")
    content = Path("sound.pth").read_bytes()
    Path("cut.pth").write_bytes(content[: len(content) // 2])
    Path("text.pth").write_text("hello world")
    Path("empty.pth").write_text("")
    Path("folder.pth").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Conv2d(3, 3, 3)), "script.pth")


REFUSED = {
    "module": "module.pth holds Python objects (tests.networks.public.PublicResnet), which may run code when they are "
    "loaded; in the program that made it, save only the tensors: torch.save(network.state_dict(), FILE)",
    "harmful": "harmful.pth holds Python objects (",
    "several": "several.pth holds several networks: G_A, G_B; save each state dict in its own file",
    "tensor": "tensor.pth holds no state dict",
    "nothing": "nothing.pth holds no state dict",
    "other": "other.pth is not a known network: it holds fc.weight, fc.bias ...; known are the ResNet, U-Net, ",
    "o": "o.pth is not a known network: it holds layer0.conv1.weight, ",
    "lacking": "lacking.pth does not fit 'resnet_2blocks', the nearest known network: "
    "model.10.conv_block.5.weight is missing; ",
    "extra": "extra.pth does not fit 'resnet_2blocks', the nearest known network: extra.weight does not belong to it",
    "shape": "model.1.bias has the shape [5], expected [4]",
    "whole": "model.1.bias holds int64",
    "sparse": "sparse.pth: model.1.bias is not a plain tensor",
    "cut": "cut.pth is damaged, or was not written by torch.save",
    "text": "text.pth is damaged, or was not written by torch.save",
    "empty": "empty.pth is damaged, or was not written by torch.save",
    "script": "script.pth is a TorchScript program: save its state_dict() instead",
    "folder": "no file 'folder.pth'",
    "sounds": "no file 'sounds.pth'; did you mean 'sound.pth'?",
}


@pytest.mark.slow
def test_what_does_not_fit_is_refused_in_a_line_that_says_why(ganforge, tmp_path):
    ganforge("import", "--help")
    broken(tmp_path)
    for name, message in REFUSED.items():
        result = ganforge("import", f"{name}.pth", "--as", "cyclegan", "--out", "weights")
        assert result.status == 2, name
        assert result.err.count("\n") == 1, result.err
        assert message in result.err
    assert not (tmp_path / "harmed").exists()
    assert not (tmp_path / "weights").exists()


def test_weights_that_are_not_finite_are_told_of(ganforge, tmp_path):
    state = PublicResnet(3, 3, 4, 2).state_dict()
    torch.save({**state, "model.4.bias": torch.full((8,), torch.nan)}, tmp_path / "G.pth")
    result = ganforge("import", "G.pth", "--as", "cyclegan")
    assert result.status == 0
    assert "note: G_AB.layers.4.bias holds numbers that are not finite" in result.out


def test_sizes_of_the_recipe_are_those_that_are_asked_for_where_the_network_takes_them(ganforge, tmp_path):
    save(PublicUnet(3, 3, 4, 7, "batch"), tmp_path / "latest_net_G.pth")
    for words, size, load in (
        ((), 128, 143),
        (("--size", "256"), 256, 286),
        (("--set", "dataset.load=[300, 200]"), 128, 0),
    ):
        out = f"weights{size}{load}"
        result = ganforge("import", "latest_net_G.pth", "--as", "pix2pix", "--out", out, *words)
        assert result.status == 0, result.err
        dataset = tomllib.loads((tmp_path / out / "recipe.toml").read_text())["dataset"]
        assert dataset["size"] == [size, size]
        assert dataset["load"] == ([load, load] if load else [300, 200])
    result = ganforge("import", "latest_net_G.pth", "--as", "pix2pix", "--size", "100")
    assert result.status == 2
    assert "'unet' halves pictures 7 times, but 100x100 can be halved 2 times" in result.err


def test_more_than_a_few_tensors_are_counted(ganforge, tmp_path):
    torch.save({f"model.{n}.weight": torch.zeros(2, 2) for n in range(30)}, tmp_path / "G.pth")
    result = ganforge("import", "G.pth", "--as", "cyclegan")
    assert result.status == 2
    assert "does not fit" in result.err
    assert result.err.rstrip().endswith(" more")


WRONG = {
    ("G.pth=G_A",): "no network 'G_A'; G_A in their code is G_AB",
    ("G.pth=D_A",): "G.pth is a generator 'resnet_2blocks', so it cannot become D_A",
    ("G.pth", "G.pth=G_AB"): "G.pth and G.pth both become G_AB: write FILE=NETWORK",
    ("G.pth", "--set", "generator.blocks=3"): "the recipe's generator has other layers than 'resnet_2blocks' in G.pth",
    ("G.pth", "--set", "generator.width=8"): "model.1.weight has the shape [4, 3, 7, 7], expected [8, 3, 7, 7]",
    ("G.pth", "--set", "dataset.oops=8"): "dataset.oops: unknown setting 'oops'",
    ("G.pth", "--out", "taken"): "'taken' exists already: choose another --out",
}


def test_wrong_words_are_told_and_nothing_is_written(ganforge, tmp_path):
    save(PublicResnet(3, 3, 4, 2), tmp_path / "G.pth")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    for words, message in WRONG.items():
        result = ganforge("import", *words, "--as", "cyclegan")
        assert result.status == 2, words
        assert message in result.err
    result = ganforge("import", "G.pth", "--as", "resnet_9blocks")
    assert (
        "G.pth is 'resnet_2blocks', not 'resnet_9blocks'; to accept any network, give --as a method: cyclegan, pix2pix"
        in result.err
    )
    result = ganforge("import", "G.pth", "--as", "stylegan2")
    assert result.status == 2
    assert "resnet_9blocks" in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["G.pth", "taken"]


def pictures(folder):
    random = np.random.default_rng(0)
    for part in ("trainA", "trainB", "testA", "testB"):
        (folder / part).mkdir(parents=True)
        for number in range(3):
            array = random.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(array).save(folder / part / f"{number}.png")


def test_a_stranger_translates_evaluates_exports_packs_and_trains_on_with_them(ganforge, tmp_path):
    generators = {name: randomise(PublicResnet(3, 3, 4, 1)) for name in ("G_A", "G_B")}
    judges = {name: randomise(PublicPatch(3, 4, 1)) for name in ("D_A", "D_B")}
    for name, network in {**generators, **judges}.items():
        save(network, tmp_path / f"latest_net_{name}.pth")
    pictures(tmp_path / "data")
    files = sorted(path.name for path in tmp_path.glob("*.pth"))
    assert ganforge("import", *files, "--as", "cyclegan", "--size", "16", "--out", "weights").status == 0

    result = ganforge("translate", "weights", "data/testA", "--direction", "AB", "--out", "made")
    assert result.status == 0, result.err
    with Image.open(tmp_path / "data" / "testA" / "0.png") as picture, Image.open(tmp_path / "made" / "0.png") as made:
        x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
        theirs = ((generators["G_A"](x * 2 - 1) + 1) / 2 * 255).detach()[0].permute(1, 2, 0)
        assert np.abs(np.asarray(made) - theirs.numpy()).max() <= 0.5 + 1e-3

    result = ganforge("evaluate", "weights", "--set", "dataset.root=data", "--out", "found")
    assert result.status == 0, result.err
    result = ganforge("pack", "weights", "--out", "pack", "--with-discriminators", "--no-preview")
    assert result.status == 0, result.err
    assert "| imported from | D" in (tmp_path / "pack" / "README.md").read_text()
    run = ("run", "weights/recipe.toml", "--set", "dataset.root=data", "--set", "train.steps=1")
    frozen = ("--set", "optimizer.generator.lr=0.0", "--set", "optimizer.discriminator.lr=0.0")
    result = ganforge(*run, *frozen, "--set", "train.start=pack")
    assert result.status == 0, result.err
    (newest,) = (tmp_path / "runs").glob("*/0001/checkpoints/step-00000001")
    for name in ("G_AB", "G_BA", "D_A", "D_B"):
        before = read_tensors(tmp_path / "weights" / f"{name}.safetensors")[0]
        after = read_tensors(newest / f"{name}.safetensors")[0]
        assert all(torch.equal(after[key], before[key]) for key in before)
    lock = tomllib.loads((newest.parents[1] / "recipe.lock.toml").read_text())
    assert sorted(lock["lock"]["start"]) == ["D_A", "D_B", "G_AB", "G_BA"]
    assert json.loads((newest.parents[1] / "metrics.json").read_text())["step"] == 1


def test_a_folder_that_cannot_be_written_is_told_of_and_nothing_is_left(ganforge, tmp_path, monkeypatch):
    save(PublicResnet(3, 3, 4, 2), tmp_path / "G.pth")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    result = ganforge("import", "G.pth", "--as", "cyclegan", "--out", "weights")
    assert result.status == 1
    assert "weights' cannot be written: No space left on device" in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["G.pth"]
