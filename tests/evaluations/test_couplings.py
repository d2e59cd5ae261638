"""Evaluations on couplings of one direction, of three domains, and of none."""

import json
import math

import pytest

ONE_WAY = """\
[dataset]
use = "coats"
size = 16
pictures = 8
test_pictures = 4
channels = {channels}
[coupling]
use = "gan"
[generator]
use = "conv"
width = 2
[discriminator]
use = "conv"
width = 2
[losses.adversarial]
use = "gan"
[optimizer]
use = "adam"
[train]
steps = 1
batch = 2
[record]
sample_every = 0
"""

THREE = """\
from itertools import permutations
from attrs import frozen
from ganforge import Coupling, Network, View, hookimpl

PAIRS = tuple(permutations("ABC", 2))


def view(one, other):
    networks = {"generator": f"G_{one}{other}", "inverse": f"G_{other}{one}", "discriminator": f"D_{other}"}
    return View(one + other, (one, other), {"source": one, "real": other}, networks)


@frozen
class Three(Coupling):
    "A generator for each pair of three domains."
    networks = (
        *(Network(f"G_{one}{other}", "generator", (one, other)) for one, other in PAIRS),
        *(Network(f"D_{domain}", "discriminator", (domain,)) for domain in "ABC"),
    )
    views = tuple(view(one, other) for one, other in PAIRS)


@hookimpl
def ganforge_register(register):
    register.coupling("three", Three)
"""


@pytest.fixture
def evaluated(tmp_path, ganforge):
    """Train a step, evaluate, and return the result with the metrics that were found."""

    def call(recipe, *evaluations, sets=()):
        tables = "".join(f'[evaluations.{name}]\nuse = "{name}"\n' for name in evaluations)
        (tmp_path / "few.toml").write_text(recipe + tables)
        result = ganforge("run", "few.toml", *(word for one in sets for word in ("--set", one)))
        path = tmp_path / "runs" / "few" / "0001" / "metrics.json"
        return result, json.loads(path.read_text())["test"] if path.exists() else {}

    return call


def flat(metrics):
    """All metrics that `metrics.json` holds, by their last names."""
    found = {}
    for key, value in metrics.items():
        found |= flat(value) if isinstance(value, dict) else {key.rpartition(".")[2]: value}
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_one_direction_is_measured_against_the_truth(channels, evaluated):
    result, metrics = evaluated(ONE_WAY.format(channels=channels), "paired-error", "diversity", "grid")
    assert result.status == 0, result.err
    found = flat(metrics)
    wanted = {f"{name}_{guess}AB" for name in ("l1", "psnr", "ssim") for guess in ("", "mean_", "identity_")}
    assert wanted | {"diversity_AB"} <= set(found)
    assert not [name for name in found if name.endswith("BA")]
    assert 0 < found["l1_identity_AB"] < 0.3
    assert found["psnr_identity_AB"] > 8


def test_attributes_of_one_direction_of_coats(evaluated):
    sets = ("evaluations.attributes.steps=2", "dataset.test_pictures=12", "dataset.pictures=12")
    result, metrics = evaluated(ONE_WAY.format(channels=3), "attributes", sets=sets)
    assert result.status == 0, result.err
    assert "changed_AB" in flat(metrics)


@pytest.mark.parametrize(
    ("evaluation", "line"),
    [
        ("reconstruction", "needs a coupling with a way back, such as 'gan-recon' or 'discogan'"),
        ("azimuth", "azimuth needs pictures with the label 'azimuth'"),
    ],
)
def test_what_one_direction_cannot_have_is_said_in_a_line(evaluation, line, evaluated):
    result, _ = evaluated(ONE_WAY.format(channels=3), evaluation)
    assert line in " ".join(result.err.split())
    assert "Traceback" not in result.err


def test_one_direction_of_a_turntable_is_read(evaluated):
    recipe = ONE_WAY.format(channels=3).replace('"coats"', '"turntable"\npaired = true')
    recipe = recipe.replace("pictures = 8\n", "models = 2\n").replace("test_pictures = 4\n", "test_models = 1\n")
    result, metrics = evaluated(recipe, "azimuth", "paired-error", sets=("evaluations.azimuth.steps=2",))
    assert result.status == 0, result.err
    found = flat(metrics)
    assert {"rmse_AB", "l1_AB"} <= set(found)
    assert "rmse_BA" not in found


def test_all_directions_between_three_domains_are_measured(tmp_path, evaluated):
    (tmp_path / "three.py").write_text(THREE)
    recipe = 'plugins = ["three.py"]\n' + ONE_WAY.format(channels=3).replace(
        '"gan"\n[generator]', '"three"\n[generator]'
    )
    recipe = recipe.replace("size = 16", 'size = 16\ncoats = ["plain", "striped", "spotted"]')
    sets = ("evaluations.attributes.steps=2", "dataset.test_pictures=12", "dataset.pictures=12")
    result, metrics = evaluated(recipe, "paired-error", "reconstruction", "diversity", "grid", "attributes", sets=sets)
    assert result.status == 0, result.err
    found = flat(metrics)
    directions = ("AB", "AC", "BA", "BC", "CA", "CB")
    assert {f"{name}_{one}" for name in ("l1", "cycle_l1", "diversity") for one in directions} <= set(found)
    assert "changed_AB" in found
    assert math.isfinite(found["l1_CB"])


def test_pairs_are_measured(tmp_path, pairs, evaluated):
    recipe = ONE_WAY.format(channels=3).replace('"coats"', f'"pairs"\nroot = "{pairs}"')
    recipe = recipe.replace("pictures = 8\n", "").replace("test_pictures = 4\n", "")
    result, metrics = evaluated(recipe, "paired-error")
    assert result.status == 0, result.err
    assert {"l1_AB", "psnr_AB", "ssim_AB"} <= set(flat(metrics))
