"""Every registered component keeps the rules of its kind; whoever adds one inherits this test."""

from pathlib import Path

import pytest
from PIL import Image

from ganforge.components.registry import Component
from ganforge.testing import assert_sound, components_of
from ganforge_check.checks import narrow

COMPONENTS = components_of()
REQUIRED = {"stargan": {"domains": 3}, "accumulate": {"turns": 2}}  # what a recipe must give
TRAINING = ("attributes", "azimuth")  # evaluations that train a network of their own
NETWORKS = ("generator", "discriminator", "network")


def marked(component: Component) -> object:
    """A case of its own; those that take seconds are slow."""
    takes_seconds = component.kind == "evaluation" and component.name in TRAINING
    large = component.name in ("stylegan2", "local-enhancer", "turntable", "mlflow", "patch-nce")
    marks = [pytest.mark.slow] if takes_seconds or large else []
    return pytest.param(component, id=f"{component.kind}-{component.qualified}", marks=marks)


def required(component: Component) -> dict[str, int]:
    settings = REQUIRED.get(component.name, {})
    return {name: value for name, value in settings.items() if name in component.signature.settings}


@pytest.mark.parametrize("component", [marked(component) for component in COMPONENTS])
def test_component_is_sound(component: Component):
    small = narrow(component) if component.kind in (*NETWORKS, "dataset", "evaluation") else {}
    assert_sound(component, **{**small, **required(component)})


@pytest.mark.slow
@pytest.mark.parametrize("component", COMPONENTS, ids=lambda one: f"{one.kind}-{one.qualified}")
def test_component_is_sound_with_its_own_settings_and_compiled(component: Component):
    assert_sound(component, slow=True, **required(component))


@pytest.mark.parametrize("name", ["edges2photo", "pairs"])
def test_a_data_set_of_files_is_sound(name: str, pairs: Path):
    (component,) = (one for one in COMPONENTS if one.kind == "dataset" and one.name == name)
    assert_sound(component, root=pairs, size=16)


def test_a_data_set_of_folders_is_sound(tmp_path: Path):
    for place, domain in enumerate("ab"):
        (tmp_path / domain).mkdir()
        for number in range(12):
            colour = (20 * number, 100 * place, 50)
            Image.effect_noise((24, 24), 60).convert("RGB").save(tmp_path / domain / f"{number}.png")
            Image.new("RGB", (24, 24), colour).save(tmp_path / domain / f"{number}_plain.png")
    (component,) = (one for one in COMPONENTS if one.kind == "dataset" and one.name == "folders")
    assert_sound(component, a=[tmp_path / "a"], b=[tmp_path / "b"], size=16)
