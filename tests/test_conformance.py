"""Every registered component keeps the rules of its kind; whoever adds one inherits this test."""

from pathlib import Path

import pytest
from attrs import NOTHING
from PIL import Image

from ganforge.components.component import Component
from ganforge.testing import assert_sound, components_of
from ganforge_check.checks import narrow

COMPONENTS = components_of()
REQUIRED = {"stargan": {"domains": 3}, "accumulate": {"turns": 2}}  # what a recipe must give
LEARNT = ("attributes", "azimuth", "fid", "kid", "precision-recall", "lpips-diversity")  # evaluations by networks
NETWORKS = ("generator", "discriminator", "network")


def marked(component: Component) -> object:
    """A case of its own; those that take seconds are slow."""
    takes_seconds = component.kind == "evaluation" and component.name in LEARNT
    large = component.name in (
        "stylegan2",
        "local-enhancer",
        "turntable",
        "mlflow",
        "wandb",
        "patch-nce",
        "munit",
        "mode-coverage",
    )
    marks = [pytest.mark.slow] if takes_seconds or large else []
    return pytest.param(component, id=f"{component.kind}-{component.qualified}", marks=marks)


def required(component: Component) -> dict[str, int]:
    known = component.signature.settings
    settings = REQUIRED.get(component.name, {})
    return {name: value for name, value in settings.items() if name in known and known[name].default is NOTHING}


@pytest.mark.parametrize("component", [marked(component) for component in COMPONENTS])
def test_component_is_sound(component: Component):
    small = narrow(component) if component.kind in (*NETWORKS, "dataset", "evaluation") else {}
    assert_sound(component, **{**small, **required(component)})


@pytest.mark.slow
@pytest.mark.parametrize("component", COMPONENTS, ids=lambda one: f"{one.kind}-{one.qualified}")
def test_component_is_sound_with_its_own_settings_and_compiled(component: Component):
    assert_sound(component, slow=True, **required(component))


def draw(folder: Path, count: int, size: tuple[int, int]) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.effect_noise(size, 60).convert("RGB").save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("name", ["edges2photo", "pairs"])
def test_a_data_set_of_pairs_is_sound(name: str, tmp_path: Path):
    draw(tmp_path / "train", 6, (48, 24))
    draw(tmp_path / "val", 3, (48, 24))
    (component,) = (one for one in COMPONENTS if one.kind == "dataset" and one.name == name)
    assert_sound(component, root=tmp_path, size=16)


def test_a_data_set_of_folders_is_sound(tmp_path: Path):
    folders = {domain: draw(tmp_path / domain, 20, (24, 24)) for domain in "ab"}
    (component,) = (one for one in COMPONENTS if one.kind == "dataset" and one.name == "folders")
    assert_sound(component, **folders, size=16)
