"""Tests of the value `example`."""

from pathlib import Path

import pytest
import torch
from ganforge.testing import assert_sound, components_of

from .example import example


def test_sound() -> None:
    for component in components_of(Path(__file__).with_name("example.py")):
        assert_sound(component)


def test_the_noise_has_the_given_deviation() -> None:
    torch.manual_seed(0)
    fake = torch.ones(10_000, 2)
    assert torch.equal(example(fake, deviation=0.0), fake)
    assert float((example(fake, deviation=0.5) - fake).std()) == pytest.approx(0.5, rel=0.05)
