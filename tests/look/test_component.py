"""`ganforge show KIND NAME`: what is said of components, their tensors and who uses them."""

import json
from pathlib import Path

import pytest

MINE = '''\
"""Mine: distances of features."""

from typing import Annotated

from attrs import frozen
from attrs.validators import ge

from ganforge import Coupling, hookimpl


def edges(source):
    """Edges of x, [N, 1, H, W]."""
    return source


class Far:
    """How far edges are from each other (Nobody 2020, Eq. 7).

    Args:
        eps: how far
            is near.
    """

    def __init__(self, *, eps: Annotated[float, ge(0)] = 0.5) -> None:
        self.eps = eps

    def generator(self, edges, fake):
        """Mean distance to [N, C, H, W]."""
        return fake.mean()

    def discriminator(self, no_such_value):
        """Nothing."""
        return no_such_value


@frozen
class Broken(Coupling):
    """It cannot be made."""

    networks = views = ()

    def __attrs_post_init__(self):
        raise RuntimeError("never")


@hookimpl
def ganforge_register(register):
    register.value("edges", edges)
    register.loss("far", Far)
    register.coupling("broken", Broken)
'''


def shown(ganforge, *words):
    result = ganforge("show", *words, "--json")
    assert result.status == 0, result.err
    return json.loads(result.out)


def test_a_loss_says_its_tensors_with_meaning_and_shape_who_offers_them_and_who_uses_it(ganforge):
    found = shown(ganforge, "loss", "l1")
    assert found["tensors"][0] == {
        "tensor": "reconstructed",
        "meaning": "x_ABA = G_BA(x_AB), Eq. 2: [N, *source shape].",
    }
    assert found["tensors"][1]["meaning"].startswith("samples, [N, *shape]: the field A in the direction AB of ")
    assert {"discogan", "cyclegan", "gan-recon"} <= set(found["couplings"])
    assert not {"gan", "pix2pix", "from-noise"} & set(found["couplings"])  # there is no way back
    assert {"cyclegan_coats", "cyclegan_horse2zebra"} <= set(found["recipes"])
    assert not {"discogan_toy", "base_cyclegan"} & set(found["recipes"])
    file, _, line = found["place"].rpartition(":")
    assert Path(file).read_text().splitlines()[int(line) - 1].startswith("def l1(")
    text = ganforge("show", "loss", "l1").out
    assert "offered by the couplings: " in text
    assert "used by the recipes: " in text
    assert found["place"] in text.replace("\n", "")


def test_a_plugin_files_class_is_shown_with_its_methods_and_a_broken_coupling_harms_nobody(ganforge, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    found = shown(ganforge, "loss", "far", "--plugin", "mine.py")
    assert found["heading"] == "Mine: distances of features."
    assert found["methods"] == {"generator": "Mean distance to [N, C, H, W].", "discriminator": "Nothing."}
    tensors = {row["tensor"]: row["meaning"] for row in found["tensors"]}
    assert tensors["edges"] == "Edges of x, [N, 1, H, W]."
    assert tensors["fake"] == "x_AB = G_AB(x_A), Eq. 1: [N, *target shape]."
    assert tensors["no_such_value"] == ""
    assert "discogan" in found["couplings"]
    assert "broken" not in found["couplings"]
    assert found["recipes"] == []
    assert found["place"] == f"{tmp_path / 'mine.py'}:16"
    (row,) = found["settings"]
    assert (row["setting"], row["range"], row["doc"]) == ("eps", "x >= 0", "how far is near.")
    text = ganforge("show", "loss", "far", "--plugin", "mine.py").out
    assert "how far is near." in text
    assert "Args:" not in text  # which the table of settings tells


@pytest.mark.parametrize(
    ("kind", "name", "recipe"),
    [
        ("generator", "unet", "pix2pix_facades"),
        ("network", "patch-heads", "cut_turntable"),
        pytest.param("dataset", "mixture", "discogan_toy", marks=pytest.mark.slow),
        pytest.param("coupling", "discogan", "discogan_toy", marks=pytest.mark.slow),
        pytest.param("optimizer", "adam", "gan_toy", marks=pytest.mark.slow),
        ("evaluation", "mode-coverage", "gan_toy"),
    ],
)
def test_recipes_that_use_a_component_of_any_kind_are_found(ganforge, kind, name, recipe):
    found = shown(ganforge, kind, name)
    assert recipe in found["recipes"]
    assert found["couplings"] == found["tensors"] == []


@pytest.mark.parametrize("table", ["train", "compute", "record", "losses", "values"])
def test_every_key_of_the_engines_tables_is_described(ganforge, table):
    rows = shown(ganforge, table)["settings"]
    assert rows
    assert all(row["doc"] for row in rows)
