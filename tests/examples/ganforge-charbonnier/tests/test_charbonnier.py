import pytest
import torch
from ganforge_charbonnier.loss import charbonnier

from ganforge.testing import assert_sound, components_of


@pytest.mark.parametrize("component", components_of("ganforge_charbonnier"), ids=str)
def test_sound(component):
    assert_sound(component)


def test_far_from_zero_it_is_l1():
    assert float(charbonnier(torch.tensor([3.0, -4.0]), torch.zeros(2), eps=1e-6)) == pytest.approx(3.5)
