"""Names, plugins and duplicates."""

import pytest

from ganforge.components.registry import Register, Registry
from ganforge.errors import InputError, PluginError


def loss(reconstructed, source, *, weightless: float = 1.0):
    """A loss."""


def registry_of(*registers):
    registry = Registry()
    for register in registers:
        registry.add(register.components.values())
    return registry


def test_short_names_work_while_they_are_unique():
    one, two = Register("one"), Register("two")
    one.loss("near", loss)
    registry = registry_of(one)
    assert registry.find("loss", "near") is registry.find("loss", "one/near")
    two.loss("near", loss)
    registry = registry_of(one, two)
    assert registry.find("loss", "two/near").plugin == "two"
    with pytest.raises(InputError, match="several plugins offer the loss 'near': write 'one/near' or 'two/near'"):
        registry.find("loss", "near")


def test_a_name_registered_twice_names_both_places():
    register = Register("one")
    register.loss("near", loss)
    with pytest.raises(PluginError, match=r"registered twice, at .*test_registry.py:\d+ and .*test_registry.py:\d+"):
        register.loss("near", loss)


def test_one_name_may_stand_for_different_kinds():
    register = Register("one")
    register.generator("conv", lambda source_shape, target_shape: None)
    register.discriminator("conv", lambda shape: None)


def test_what_the_engine_does_not_give_is_refused_at_registration():
    with pytest.raises(
        PluginError, match="asks for 'width', but the engine gives source_shape, target_shape, target_mean"
    ):
        Register("one").generator("wide", lambda source_shape, width: None)


def test_a_loss_cannot_have_a_setting_that_every_loss_has():
    def weighted(source, *, weight: float = 1.0):
        """A loss."""

    with pytest.raises(PluginError, match="the setting 'weight' is a key of every loss"):
        Register("one").loss("weighted", weighted)
