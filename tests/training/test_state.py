"""State of losses, values and updates: all that changes is saved, however it changes, and looking changes nothing."""

import pytest
import torch
from torch import nn

from ganforge.training.state import Held, looking

CPU = torch.device("cpu")


class Teaching(nn.Module):
    """A module with every kind of state."""

    def __init__(self):
        super().__init__()
        self.own, self.teacher = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("grid", torch.arange(3.0), persistent=False)
        self.calls = 0

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


def in_place(module):
    with torch.no_grad():
        module.teacher.weight.mul_(0.5)


def by_data(module):
    module.teacher.weight.data.mul_(0.5)


def replaced(module):
    module.teacher.weight.data = module.teacher.weight.data * 0.5


def beside(module):
    module.grid = module.grid + 1


@pytest.mark.parametrize(
    ("change", "saved"),
    [(in_place, "teacher.weight"), (by_data, "teacher.weight"), (replaced, "teacher.weight"), (beside, "grid")],
)
def test_what_seldom_changes_is_saved_once_it_has_changed_however(change, saved):
    held = Held(module := Teaching())
    usual = {"own.weight", "own.bias", "mean", "_extra_state"}
    assert held.state().keys() == usual
    change(module)
    module.calls = 3
    state = held.state()
    assert state.keys() == usual | {saved}
    other = Held(Teaching())
    other.restore(state, CPU)
    assert other.module.calls == 3
    for name in ("own.weight", "teacher.weight", "mean", "grid"):
        mine, theirs = (
            {**dict(made.named_parameters()), **dict(made.named_buffers())} for made in (module, other.module)
        )
        if name in state:
            assert torch.equal(mine[name], theirs[name]), name


def test_a_buffer_that_is_restored_stays_the_same_tensor_unless_its_shape_changes():
    held = Held(module := Teaching())
    module.mean += 1
    state, before = held.state(), module.mean
    module.mean += 1
    held.restore(state, CPU)
    assert module.mean is before
    assert before.tolist() == [1, 1]
    held.restore({"mean": torch.ones(3)}, CPU)
    assert module.mean.shape == (3,)


def test_looking_leaves_generators_of_modules_as_they_were():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.source = torch.Generator().manual_seed(0)

        def forward(self, x):
            return x + torch.rand(x.shape, generator=self.source)

    module, other = Noisy(), Noisy()
    x = torch.zeros(3)
    module(x), other(x)
    with looking({"G": module}, 0):
        module(x)
    assert torch.equal(module(x), other(x))
