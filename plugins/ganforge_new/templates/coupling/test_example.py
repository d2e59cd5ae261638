"""Tests of the coupling `example`."""

from pathlib import Path

from ganforge.testing import assert_sound, components_of

from .example import Example


def test_sound() -> None:
    for component in components_of(Path(__file__).with_name("example.py")):
        assert_sound(component)


def test_its_generators_translate_in_both_directions() -> None:
    assert {one.name: one.domains for one in Example().networks} == {
        "G_AB": ("A", "B"),
        "G_BA": ("B", "A"),
        "D_B": ("B",),
    }
