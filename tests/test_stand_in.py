"""The paper's recipes run: on stand-ins in the data sets' own layouts, where they lie beside the checkout; on a GPU.

Those of the other methods are trained in `tests/proof`: narrow, and, where they need no data, as they are shipped.
"""

import json
import tarfile

import pytest
import torch

from ganforge.components.plugins import Plugins
from ganforge.recipe import layers as recipes
from tests.conftest import SHARED

NARROW = ["generator.width=4", "discriminator.width=4", "train.batch=8", "train.steps=4"]
SMALL = ["generator.hidden=8", "discriminator.hidden=8", "train.steps=20"]
RENDERED = ["dataset.models=3", "dataset.test_models=2"]
DATA = {  # stand-in, and what is overridden to use it, for each data set
    "edges2photo": ("edges2shoes", ["root=edges2shoes"]),
    "photos": ("edges2shoes", ["a=edges2shoes", "b=edges2shoes"]),
    "celeba": ("celeba", ["root=celeba"]),
    "folders": ("celeba", ["a=celeba/img_align_celeba", "b=celeba/img_align_celeba"]),
    "azimuth": ("cars", ["root=cars"]),
}
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def shipped():
    plugins = Plugins()
    plugins.load_installed()
    return {name: path for name, path in plugins.recipes().items() if not name.startswith("base_")}


PAPER = [name for name in shipped() if name.startswith(("discogan_", "gan_"))]
OFTEN = ("discogan_toy", "gan_toy", "gan_recon_toy", "discogan_edges2shoes", "discogan_celeba_hair", "discogan_car2car")


def dataset_of(name):
    return recipes.load(name, (), shipped()).table["dataset"]


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stand_ins")

    def unpack(name):
        if not (SHARED / f"{name}.tar.gz").is_file():
            pytest.skip(f"the stand-in {name}.tar.gz is not here")
        if not (folder / name).exists():
            with tarfile.open(SHARED / f"{name}.tar.gz") as tar:
                tar.extractall(folder, filter="data")
        return folder

    return unpack


def quick(recipe):
    """Let networks that evaluations train learn for a step only."""
    roles = recipes.load(recipe, (), shipped()).table.get("evaluations", {})
    learning = [role for role, table in roles.items() if table["use"] in ("azimuth", "attributes")]
    return [f"evaluations.{role}.steps=1" for role in learning]


def overrides(recipe, stand_ins):
    """Say where a recipe finds its data; two classes of things are found in one folder."""
    table = dataset_of(recipe)
    if table["use"] == "mixture":
        return []
    if table["use"] == "turntable":
        return RENDERED
    archive, settings = DATA[table["use"]]
    if table["use"] == "azimuth" and "a" in table:
        settings = ["a=cars", "b=cars"]
    folder = stand_ins(archive)
    return [f"dataset.{key}={folder / place}" for key, place in (setting.split("=") for setting in settings)]


@pytest.mark.parametrize(
    "recipe", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in PAPER]
)
def test_every_shipped_recipe_runs_with_nothing_but_its_data_set_overridden(recipe, stand_ins, ganforge, tmp_path):
    sets = overrides(recipe, stand_ins) + quick(recipe) + (SMALL if "toy" in recipe else NARROW)
    result = ganforge("run", recipe, *(word for setting in sets for word in ("--set", setting)))
    assert result.status == 0, result.err
    run = tmp_path / "runs" / recipe / "0001"
    assert list((run / "samples").glob("step-000000*.png"))
    assert list((run / "checkpoints").glob("step-*/G_AB.safetensors"))


@pytest.mark.parametrize("recipe", shipped())
def test_every_shipped_recipe_names_what_there_is(recipe, understand):
    plan = understand(recipe)
    assert plan.losses
    assert plan.train.steps >= 1


@pytest.mark.slow
@pytest.mark.parametrize("recipe", PAPER)
def test_every_shipped_recipe_makes_20_steps_in_its_own_width_on_all_of_the_data(recipe, stand_ins, ganforge):
    sets = [setting for setting in overrides(recipe, stand_ins) if setting not in RENDERED]
    sets += ["train.steps=20", "train.batch=16"]
    result = ganforge("run", recipe, *(word for setting in sets for word in ("--set", setting)))
    assert result.status == 0, result.err


def test_a_photo_of_the_stand_in_is_translated(stand_ins, ganforge, tmp_path):
    root = stand_ins("edges2shoes") / "edges2shoes"
    sets = [word for setting in (f"dataset.root={root}", *NARROW) for word in ("--set", setting)]
    assert ganforge("run", "discogan_edges2shoes", *sets).status == 0
    run, photo = tmp_path / "runs" / "discogan_edges2shoes" / "0001", root / "val" / "1_AB.jpg"
    assert ganforge("translate", run, photo, "--direction", "AB", "--out", "out").status == 0
    assert (tmp_path / "out" / "1_AB.png").exists()


@gpu
@pytest.mark.parametrize("residency", ["device", "host", "disk"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_commands_run_on_cuda_and_their_weights_translate_on_a_cpu(
    precision, residency, pairs, ganforge, tmp_path
):
    settings = [f"dataset.root={pairs}", "train.batch=4", "train.steps=4", f"compute.residency={residency}"]
    sets = [word for setting in settings for word in ("--set", setting)]
    result = ganforge(
        "run", "discogan_edges2shoes", *sets, "--set", f"compute.precision={precision}", "--device", "cuda"
    )
    assert result.status == 0, result.err
    run = tmp_path / "runs" / "discogan_edges2shoes" / "0001"
    assert ganforge("resume", run, "--set", "train.steps=6", "--device", "cuda").status == 0
    words = ["translate", run, pairs / "val" / "1_AB.jpg", "--direction", "AB", "--device", "cpu", "--out", "out"]
    assert ganforge(*words).status == 0


@gpu
def test_the_toy_runs_on_cuda_as_on_the_cpu(toy, ganforge, tmp_path):
    for device in ("cpu", "cuda"):
        assert ganforge("run", toy, "--device", device, "--out", device).status == 0
    logs = []
    for device in ("cpu", "cuda"):
        lines = (tmp_path / device / "toy" / "0001" / "log.jsonl").read_text().splitlines()
        logs.append(next(line["losses"] for line in map(json.loads, lines) if "losses" in line))
    assert logs[0] == pytest.approx(logs[1], rel=1e-3)
