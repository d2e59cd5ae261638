"""Every registered component keeps the rules of its kind; whoever adds one inherits this test."""

import pytest

from ganforge.components.registry import Component
from ganforge.testing import assert_sound, components_of


@pytest.mark.parametrize("component", components_of(), ids=lambda component: f"{component.kind}-{component.qualified}")
def test_component_is_sound(component: Component):
    assert_sound(component)


def test_an_observer_that_answers_an_unknown_hook_is_found(tmp_path):
    file = tmp_path / "misspelt_plugin.py"
    file.write_text(
        "from ganforge import hookimpl\n"
        "class Observer:\n"
        "    'Looks on.'\n"
        "    @hookimpl\n"
        "    def ganforge_loged(self): ...\n"
        "@hookimpl\n"
        "def ganforge_register(register):\n"
        "    register.observer('misspelt', Observer)\n"
    )
    (component,) = components_of(file)
    with pytest.raises(AssertionError, match="'ganforge_loged', which is no hook; did you mean 'ganforge_logged'"):
        assert_sound(component)


def test_a_loss_that_returns_no_scalar_is_found(tmp_path):
    file = tmp_path / "unsound_plugin.py"
    file.write_text(
        "from ganforge import hookimpl\n"
        "def every(reconstructed, source, *, power: float = 2.0):\n"
        "    'Distance of each sample.'\n"
        "    return (reconstructed - source).abs().pow(power).flatten(1).mean(1)\n"
        "@hookimpl\n"
        "def ganforge_register(register):\n"
        "    register.loss('every', every)\n"
    )
    (component,) = components_of(file)
    with pytest.raises(AssertionError, match="must return a scalar, not \\[4\\]"):
        assert_sound(component)
